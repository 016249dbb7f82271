"""The methods of discovery side by side, each as found and calibrated: effect, leakage and subjects, against the cost.

Every method finds the same concepts in the same model. Every direction steers the same seeds of the ten test
occupations at strength 1, and several judges look. The first judge calibrates, on development prompts; nothing is
fitted to the others. A calibrated direction's cost is that of its discovery and of its calibration. `controls` says
what the default method's directions are compared with beside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import torch

from directrix.concept import ATTRIBUTE_SETS
from directrix.directions.direction import Direction
from directrix.discovery import DEFAULT_METHOD, discover
from directrix.discovery.checkpoint import Checkpoint
from directrix.discovery.settings import grouped
from directrix.errors import NoEffectError
from directrix.experiments.cache import cached
from directrix.experiments.cost.measure import cost_of_gradient, counted, measured, spread
from directrix.experiments.judged import JudgedImages
from directrix.experiments.methods.controls import random_like, reversed_of
from directrix.experiments.methods.default_directions import directions
from directrix.experiments.methods.tasks import (
    CALIBRATION,
    CONTENDERS,
    PAPER,
    STEPS,
    TASKS,
    TEST,
    Contender,
    Task,
    photos,
    right_subjects,
    share,
    worded,
)
from directrix.interventions.steering import Steering
from directrix.measurement.calibration.calibrate import LOST, calibrate
from directrix.measurement.reports.leakage import largest
from directrix.models.steerable import SteerableModel
from directrix.progress import Progress, labelled, silent

if TYPE_CHECKING:
    from directrix.measurement.judges import Judge
    from directrix.measurement.judges.base import Verdicts

Row = Mapping[str, Any]
Rows = Mapping[str, Sequence[Row]]  # by concept, one a seed
SIDES = ("as_found", "calibrated")
CONTROLS = ("random", "reversed", "words")
_spread = partial(spread, middle=fmean)
# Of the images that are judged; discovery and calibration have others.
SEED = 77


def discovery(
    pipeline: Any,
    judges: Mapping[str, Judge],
    folder: Path,
    *,
    contenders: Mapping[str, Contender] = CONTENDERS,
    tasks: Sequence[Task] = TASKS,
    seeds: int = 2,
    images_per_prompt: int = 2,
    images_of_directions: int = 2,
    num_inference_steps: int = STEPS,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Compare the contenders; see the module. Returns what `results/discovery.json` holds.

    Args:
        judges: by the name that figures have for them; the first one calibrates.
        folder: keeps directions and their figures, so that a stopped run goes on where it stopped. MismatchError where
            it holds figures of another model or other settings.
        seeds: at most so many discoveries of each concept by each contender; the images' seeds are always the same.
        images_of_directions: of each prompt that the default's directions are tested on; 0 for no such test.

    Under "methods", each method has "as_found" and "calibrated", and "controls" holds sides of the same form. The
    "value" of a side's "effect", "subject" and "leakage" by judge, and of its "evaluations" and "seconds", is over the
    concepts in "compared_on", which every contender finds; "by_concept" has all. "does_not_reach" names concepts that
    no strength shows in as many development images as calibration asks for.
    """
    model = SteerableModel.of(pipeline)
    # Figures of another model or other settings must not be taken over.
    Checkpoint(
        folder,
        {
            "model": model.identity.fingerprint,
            "judges": list(judges),
            "images_per_prompt": images_per_prompt,
            "num_inference_steps": num_inference_steps,
            "contenders": {name: asdict(each) for name, each in contenders.items()},
            "calibration": dict(CALIBRATION),
            "tasks": [asdict(task) for task in tasks],
            "images_of_directions": images_of_directions,
        },
    ).begin()
    by_contender = {
        name: [task for task in tasks if each.concepts is None or task.concept.name in each.concepts]
        for name, each in contenders.items()
    }
    shared = [task for task in tasks if all(task in own for own in by_contender.values())]
    run = _Comparison(pipeline, judges, folder, images_per_prompt, num_inference_steps, shared, progress)
    methods = {}
    for name, contender in contenders.items():
        range_of_seeds = range(min(seeds, contender.seeds))
        rows = {
            task.concept.name: [
                cached(run.file(name, seed, task, ".json"), run.row, name, contender, task, seed)
                for seed in range_of_seeds
            ]
            for task in by_contender[name]
        }
        methods[name] = run.method(name, rows, by_contender[name])
    found: dict[str, Any] = {
        "model": model.identity.name,
        "default": DEFAULT_METHOD,
        "judges": list(judges),
        "split": "test",
        "pictures": {"occupations": len(TEST), "each": images_per_prompt, "steps": num_inference_steps},
        "compared_on": [task.concept.name for task in shared],
        "gradient_cost": run.gradient_cost,
        "unsteered": run.side({task.concept.name: [run.labels(run.images.plain, task)] for task in tasks}),
        "methods": methods,
    }
    if DEFAULT_METHOD in contenders:
        found["controls"] = {each: run.controls(each, by_contender[DEFAULT_METHOD]) for each in CONTROLS}
        if PAPER in contenders:
            found["ratio"] = _ratio(methods)
    if images_of_directions:
        settings: Any = {"images_per_prompt": images_of_directions, "num_inference_steps": num_inference_steps}
        found["directions"] = directions(pipeline, judges, folder, **settings, progress=progress)
    return found


@dataclass(frozen=True)
class _Comparison:
    """What every part of a comparison needs; ``folder`` keeps each part's figures."""

    pipeline: Any
    judges: Mapping[str, Judge]
    folder: Path
    images_per_prompt: int
    num_inference_steps: int
    shared: Sequence[Task]
    progress: Progress

    @cached_property
    def gradient_cost(self) -> float:
        """Of an evaluation of the denoiser with a gradient, in plain ones."""
        note = cached(self.folder / "gradient.json", lambda: {"cost": cost_of_gradient(self.pipeline)})
        return note["cost"]

    @cached_property
    def images(self) -> JudgedImages:
        return self._drawn(photos())

    def _drawn(self, prompts: Sequence[str]) -> JudgedImages:
        settings: Any = {"num_inference_steps": self.num_inference_steps, "seed": SEED}
        return JudgedImages(self.pipeline, self.judges, prompts, self.images_per_prompt, **settings)

    def file(self, name: str, seed: int, task: Task, ending: str) -> Path:
        return self.folder / f"{name}-{seed}-{task.concept.name.replace(' ', '-')}{ending}"

    def row(self, name: str, contender: Contender, task: Task, seed: int) -> dict[str, Any]:
        """One contender from one seed, as found and calibrated; ``folder`` keeps both directions."""
        bars = labelled(self.progress, f"{name}, seed {seed}, {task.concept.name}: ")
        judge = next(iter(self.judges.values()))
        settings: Any = {**grouped(contender.settings), "seed": seed, "progress": bars}
        # No checkpoint: what is written while it runs would be timed too.
        with measured() as finding:
            raw = discover(self.pipeline, task.concept, contender.method, **settings)
        direction, no_effect = raw, False
        with measured() as calibrating, counted(self.pipeline) as evaluations:
            try:
                settings = {"target_label": task.target_label, "progress": bars, **CALIBRATION}
                direction = calibrate(self.pipeline, raw, judge, **settings)
            except NoEffectError:
                no_effect = True
        cost = {"evaluations": self._total(raw.recipe["denoiser_evaluations"]), "seconds": finding.seconds}
        more = {"evaluations": evaluations.count, "seconds": calibrating.seconds}
        for side, each in zip(SIDES, (raw, direction), strict=True):
            each.save(self.file(name, seed, task, f".{side}.safetensors"))
        as_found = self.labels(self.images.under(Steering({raw: 1.0})), task)
        calibrated = as_found if no_effect else self.labels(self.images.under(Steering({direction: 1.0})), task)
        return {
            "as_found": {**as_found, **cost},
            "calibrated": {**calibrated, **{key: cost[key] + more[key] for key in cost}},
            "reaches": not no_effect and _reaches(direction),
            "settings": {key: raw.recipe[key] for key in ("images", "steps")},
            "memory_mb": finding.memory_mb,
            "threads": torch.get_num_threads(),
        }

    def labels(self, found: Mapping[str, Verdicts], task: Task) -> dict[str, Any]:
        """By judge, image by image: whether the concept and the right subject are there; and the leakage."""
        before, label = self.images.plain, task.target_label
        return {
            name: {
                "effect": [label.shown(verdict) for verdict in after],
                "subject": right_subjects(after),
                "leakage": largest(before[name], after, label.attribute),
            }
            for name, after in found.items()
        }

    def controls(self, control: str, tasks: Sequence[Task]) -> dict[str, Any]:
        """The figures of one control over the concepts of the default method."""
        rows: dict[str, list[Row]] = {}
        for task in tasks:
            name = task.concept.name
            rows[name] = [cached(self.folder / f"{control}-{name}.json", self.control, control, task)]
        return self.side(rows)

    def control(self, control: str, task: Task) -> dict[str, Any]:
        """A control of the default's calibrated direction, at what that costs; words cost nothing."""
        if control == "words":
            (group,) = [each for each in ATTRIBUTE_SETS.values() if task.concept in each.concepts]
            after = self._drawn(worded(group, task.concept.name)).plain
            return {**self.labels(after, task), "evaluations": 0, "seconds": 0}
        direction = Direction.load(self.file(DEFAULT_METHOD, 0, task, ".calibrated.safetensors"))
        other = random_like(direction) if control == "random" else reversed_of(direction)
        cost = cached(self.file(DEFAULT_METHOD, 0, task, ".json"), dict)["calibrated"]
        after = self.images.under(Steering({other: 1.0}))
        return {**self.labels(after, task), **{key: cost[key] for key in ("evaluations", "seconds")}}

    def method(self, name: str, rows: Rows, tasks: Sequence[Task]) -> dict[str, Any]:
        """The figures of one contender over its seeds."""
        cosines = {}
        for task in tasks:
            seeds = range(len(rows[task.concept.name]))
            found = [Direction.load(self.file(name, seed, task, ".as_found.safetensors")) for seed in seeds]
            between = [one.cosine(other) for place, one in enumerate(found) for other in found[:place]]
            cosines |= {task.concept.name: _spread(between)} if between else {}
        every = [row for each in rows.values() for row in each]
        sides = {}
        for side in SIDES:
            sides[side] = self.side({concept: [row[side] for row in each] for concept, each in rows.items()})
        sides["calibrated"]["does_not_reach"] = [
            concept for concept, each in rows.items() if not all(row["reaches"] for row in each)
        ]
        return {
            **every[0]["settings"],
            "seeds": max(map(len, rows.values())),
            **sides,
            "cosine_across_seeds": cosines,
            "memory_mb": _spread([row["memory_mb"] for row in every]),
            "threads": sorted({row["threads"] for row in every}),
        }

    def side(self, rows: Rows) -> dict[str, Any]:
        """The figures of rows by concept, their "value" over the concepts that every contender finds."""
        compared = [row for task in self.shared for row in rows[task.concept.name]]
        found: dict[str, Any] = {key: {} for key in ("effect", "subject", "leakage")}
        for judge in self.judges:
            for key, row in found.items():
                joined = _spread if key == "leakage" else lambda each: share(*each)
                by_concept = {concept: joined([each[judge][key] for each in rows[concept]]) for concept in rows}
                row[judge] = {**joined([each[judge][key] for each in compared]), "by_concept": by_concept}
        costs = [key for key in ("evaluations", "seconds") if key in compared[0]]
        return {**found, **{key: _spread([row[key] for row in compared]) for key in costs}}

    def _total(self, evaluations: Mapping[str, int]) -> float:
        """Evaluations of the denoiser in all; one with a gradient counts as ``gradient_cost`` without."""
        plain = evaluations["collecting"] + evaluations["forward"]
        return plain + self.gradient_cost * evaluations["forward_backward"]


def _reaches(direction: Direction) -> bool:
    """Whether calibration found a strength with the effect that it asked for, and with the subjects."""
    found: Any = direction.provenance["calibration"]
    row = min(found["strengths"], key=lambda each: abs(each["strength"] - 1))
    effect, retained = row["effect"]["value"], row["subject_retained"]["value"]
    return effect >= found["effect_asked_for"] and retained >= 1 - LOST


def _ratio(methods: Mapping[str, Any]) -> dict[str, Any]:
    """How many times as much the paper's objective costs as the default, as found and for the same effect.

    A default that asks the denoiser nothing has no ratio of evaluations as found.
    """
    paper, quick = methods[PAPER], methods[DEFAULT_METHOD]
    return {
        side: {
            key: round(paper[side][key]["value"] / quick[side][key]["value"], 1)
            for key in ("evaluations", "seconds")
            if quick[side][key]["value"]
        }
        for side in SIDES
    }
