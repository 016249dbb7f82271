"""The methods of discovery side by side: effect, leakage and preservation, against what they cost.

Every method finds the same concepts in the same model, from several seeds; every direction steers the same seeds of
all twenty occupations at strength 1, and the same judge looks.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from directrix.concept import Concept
from directrix.directions.direction import Direction
from directrix.discovery import DEFAULT_METHOD, discover
from directrix.discovery.checkpoint import Checkpoint
from directrix.discovery.settings import grouped
from directrix.errors import DirectrixError, NoEffectError
from directrix.experiments.cache import cached
from directrix.experiments.cost.measure import cost_of_gradient, measured
from directrix.experiments.emoji_world.caption import with_article
from directrix.experiments.methods.default_directions import directions
from directrix.experiments.methods.tasks import BUDGETS, CONTENDERS, EIGHT, PAPER, TASKS, Contender, Task
from directrix.measurement.calibration.calibrate import calibrate
from directrix.measurement.calibration.dose_response import SUBJECT, DoseResponse, Verdicts
from directrix.measurement.judges.emoji_vocabulary import OCCUPATIONS
from directrix.measurement.metrics import bootstrap, pooled_mean
from directrix.measurement.reports.leakage import largest
from directrix.models.steerable import SteerableModel
from directrix.progress import Progress, labelled, silent

if TYPE_CHECKING:
    from directrix.measurement.judges import Judge


def discovery(
    pipeline: Any,
    judge: Judge,
    folder: Path,
    *,
    contenders: Mapping[str, Contender] = CONTENDERS,
    tasks: Sequence[Task] = TASKS,
    eight: Sequence[Concept] = EIGHT,
    by_budget: Mapping[str, Sequence[Mapping[str, int]]] = BUDGETS,
    images_of_directions: int = 20,
    seeds: Sequence[int] = (0, 1, 2),
    images_per_prompt: int = 2,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Compare the contenders; see the module. Returns what `results/discovery.json` holds.

    Args:
        folder: keeps directions and their figures, so that a stopped run goes on where it stopped. Seconds compare on
            one machine only: a row that another one made has null there, and is left out of their means.
            MismatchError where it holds figures of another model or other settings.
        eight: concepts of one neutral prompt, whose cost together is measured for each method but the first.
        by_budget: settings at rising cost that the first task's concept is found with, for the curve.
        images_of_directions: of each prompt that the default's directions are tested on; see ``directions``.
        seeds: of the discoveries, two or more; the images' seeds are always the same.
    """
    if len(seeds) < 2:
        raise DirectrixError("One seed says nothing of how discoveries differ.", "two seeds or more.", "--seeds 3.")
    # Figures of another model or other settings must not be taken over.
    Checkpoint(
        folder,
        {
            "model": SteerableModel.of(pipeline).identity.fingerprint,
            "images_per_prompt": images_per_prompt,
            "contenders": {name: asdict(each) for name, each in contenders.items()},
            "tasks": [asdict(task) for task in tasks],
            "budgets": {name: list(rows) for name, rows in by_budget.items()},
            "images_of_directions": images_of_directions,
        },
    )
    run = _Comparison(pipeline, judge, folder, images_per_prompt, progress)
    methods: dict[str, Any] = {}
    threads: set[int] = set()
    for name, contender in contenders.items():
        rows = {seed: run.found(name, contender, tasks, seed) for seed in seeds}
        threads |= {row["threads"] for each in rows.values() for row in each.values()}
        methods[name] = run.summary(rows, name, tasks)
        if name != PAPER:
            methods[name]["eight"] = cached(folder / f"{name}-eight.json", partial(run.together, contender, eight))
    found = {
        "default": DEFAULT_METHOD,
        "seeds": list(seeds),
        "pictures": {"occupations": len(OCCUPATIONS), "each": images_per_prompt},
        "gradient_cost": run.gradient_cost,
        "threads": sorted(threads),
        "unsteered": {task.concept.name: run.unsteered(task) for task in tasks},
        "methods": methods,
        "budgets": {
            name: [
                cached(folder / f"budget-{name}-{index}.json", partial(run.at_budget, tasks[0], name, settings))
                for index, settings in enumerate(rows)
            ]
            for name, rows in by_budget.items()
            if name in contenders
        },
    }
    if images_of_directions:
        found["directions"] = directions(
            pipeline, judge, folder, images_per_prompt=images_of_directions, progress=progress
        )
    if PAPER in methods and DEFAULT_METHOD in methods:
        found["ratio"] = _ratio(methods)
    return found


@dataclass(frozen=True)
class _Comparison:
    """What every part of a comparison needs; ``folder`` keeps each part's figures."""

    pipeline: Any
    judge: Judge
    folder: Path
    images_per_prompt: int
    progress: Progress

    @cached_property
    def gradient_cost(self) -> float:
        """Of an evaluation of the denoiser with a gradient, in plain ones."""
        return cost_of_gradient(self.pipeline)

    @cached_property
    def _dose_responses(self) -> dict[str, DoseResponse]:
        return {}

    def dose_response(self, task: Task) -> DoseResponse:
        """All occupations in the task's frame, always with the same seeds; drawn once."""
        if task.frame not in self._dose_responses:
            prompts = [task.frame.format(with_article(occupation)) for occupation in OCCUPATIONS]
            drawn = DoseResponse(self.pipeline, self.judge, prompts, self.images_per_prompt, seed=77)
            self._dose_responses[task.frame] = drawn
        return self._dose_responses[task.frame]

    def unsteered(self, task: Task) -> dict[str, Any]:
        row = self._labels(self.dose_response(task).plain, task)
        return {key: _by_occupation([row[key]]) for key in ("effect", "subject")}

    def found(self, name: str, contender: Contender, tasks: Sequence[Task], seed: int) -> dict[str, Any]:
        """One contender from one seed: its labels and its cost by concept; ``folder`` keeps its directions."""
        return {
            task.concept.name: cached(
                self._file(name, seed, task.concept.name, ".json"), partial(self._row, name, contender, task, seed)
            )
            for task in tasks
        }

    def _file(self, name: str, seed: int, concept: str, ending: str) -> Path:
        return self.folder / f"{name}-{seed}-{concept.replace(' ', '-')}{ending}"

    def _row(self, name: str, contender: Contender, task: Task, seed: int) -> dict[str, Any]:
        bars = labelled(self.progress, f"{name}, seed {seed}, {task.concept.name}: ")
        # No checkpoint: what is written while it runs would be timed too.
        with measured() as cost:
            raw = discover(
                self.pipeline, task.concept, contender.method, seed=seed, progress=bars, **grouped(contender.settings)
            )
        direction, seen, label = raw, True, task.target_label
        with measured() as calibrating:
            if contender.calibrated:
                try:
                    # How far beyond 1.0 one may go is not compared.
                    direction = calibrate(self.pipeline, raw, self.judge, target_label=label, sweep=(), progress=bars)
                except NoEffectError:
                    seen = False
        row = {
            **self._labels(self.dose_response(task).verdicts(direction, 1.0), task),
            "effect_seen": seen,
            "evaluations": dict(raw.recipe["denoiser_evaluations"]),
            "seconds": cost.seconds,
            "seconds_calibrating": calibrating.seconds,
            "memory_mb": cost.memory_mb,
            "threads": torch.get_num_threads(),
        }
        direction.save(self._file(name, seed, task.concept.name, ".safetensors"))
        return row

    def _labels(self, after: Verdicts, task: Task) -> dict[str, Any]:
        """Image by image: whether the concept is there, and whether the subject is the one asked for."""
        before = self.dose_response(task).plain
        wanted = [occupation for occupation in OCCUPATIONS for _ in range(len(after) // len(OCCUPATIONS))]
        found: dict[str, Any] = {"leakage": largest(before, after, task.target_label.attribute)}
        for key, verdicts in (("", after), ("_unsteered", before)):
            found[f"effect{key}"] = [task.target_label.shown(verdict) for verdict in verdicts]
            found[f"subject{key}"] = [v[SUBJECT].label == name for v, name in zip(verdicts, wanted, strict=True)]
        return found

    def summary(self, runs: Mapping[int, Mapping[str, Any]], name: str, tasks: Sequence[Task]) -> dict[str, Any]:
        """The figures of one contender over its seeds, by concept."""
        keys = ("effect", "effect_seen", "leakage", "preservation", "cosine_across_seeds")
        found: dict[str, Any] = {key: {} for key in keys}
        for concept in (task.concept.name for task in tasks):
            rows = [run[concept] for run in runs.values()]
            found["effect"][concept] = _by_occupation([row["effect"] for row in rows])
            found["preservation"][concept] = _by_occupation([row["subject"] for row in rows])
            found["effect_seen"][concept] = all(row["effect_seen"] for row in rows)
            found["leakage"][concept] = spread([row["leakage"] for row in rows])
            repeated = [Direction.load(self._file(name, seed, concept, ".safetensors")) for seed in runs]
            cosines = [one.cosine(other) for place, one in enumerate(repeated) for other in repeated[:place]]
            found["cosine_across_seeds"][concept] = spread(cosines)
        every = [row for run in runs.values() for row in run.values()]
        return {
            **found,
            "evaluations": spread([self._total(row["evaluations"]) for row in every]),
            **{
                key: spread([row[key] for row in every if row[key] is not None])
                for key in ("seconds", "seconds_calibrating", "memory_mb")
            },
        }

    def together(self, contender: Contender, concepts: Sequence[Concept]) -> dict[str, Any]:
        """What it costs to find several concepts in one run, per concept."""
        settings = {**grouped(contender.settings), "seed": 0, "progress": self.progress}
        with measured() as cost:
            together = discover(self.pipeline, concepts, contender.method, **settings)
        each = len(concepts)
        return {
            "concepts": each,
            "evaluations": round(self._total(together[0].recipe["denoiser_evaluations"]) / each, 1),
            "seconds": round(cost.seconds / each, 3),
            "memory_mb": round(cost.memory_mb, 1),
        }

    def at_budget(self, task: Task, method: str, settings: Mapping[str, int]) -> dict[str, Any]:
        """What more images or steps buy: settings, "evaluations", and "effect" at strength 1, not calibrated."""
        bars = labelled(self.progress, f"{method}, {settings}: ")
        direction = discover(self.pipeline, task.concept, method, seed=0, progress=bars, **grouped(settings))
        verdicts = self.dose_response(task).verdicts(direction, 1.0)
        return {
            **settings,
            "evaluations": self._total(direction.recipe["denoiser_evaluations"]),
            "effect": _by_occupation([[task.target_label.shown(verdict) for verdict in verdicts]]),
        }

    def _total(self, evaluations: Mapping[str, int]) -> float:
        """Evaluations of the denoiser in all; one with a gradient counts as ``gradient_cost`` without."""
        plain = evaluations["collecting"] + evaluations["forward"]
        return plain + self.gradient_cost * evaluations["forward_backward"]


def _ratio(methods: Mapping[str, Any]) -> dict[str, Any]:
    """How many times less the default costs than the paper's recipe, per concept: alone, and as one of eight.

    The paper's recipe shares nothing between concepts: eight cost it eight times one.
    """
    paper, quick = methods[PAPER], methods[DEFAULT_METHOD]
    return {
        key: {
            "1": round(paper[key]["value"] / quick[key]["value"], 1),
            str(quick["eight"]["concepts"]): round(paper[key]["value"] / quick["eight"][key], 1),
        }
        for key in ("evaluations", "seconds")
    }


def _by_occupation(runs: Sequence[Sequence[bool]]) -> dict[str, float | int]:
    """The share of all images of all seeds, with the interval of a bootstrap over occupations."""
    each = len(runs[0]) // len(OCCUPATIONS)
    clusters = {name: [run[i * each + j] for run in runs for j in range(each)] for i, name in enumerate(OCCUPATIONS)}
    return bootstrap(clusters, pooled_mean).as_dict()


def spread(values: Sequence[float]) -> dict[str, float | int]:
    """The mean of a few values, and from the least to the largest of them: too few for an interval of chance."""
    found = {"value": statistics.fmean(values), "low": min(values), "high": max(values)}
    return {**{key: round(value, 4) for key, value in found.items()}, "n": len(values)}
