"""The methods of discovery side by side: effect, leakage and preservation, against what they cost.

Every method finds the same concepts in the same model, from several seeds; every direction steers the same seeds of
all twenty occupations at strength 1, and the same judge looks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache, cached_property, partial
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import torch

from directrix.concept import Concept
from directrix.directions.direction import Direction
from directrix.discovery import DEFAULT_METHOD, discover
from directrix.discovery.checkpoint import Checkpoint
from directrix.discovery.settings import grouped
from directrix.errors import DirectrixError, NoEffectError
from directrix.experiments.cache import cached
from directrix.experiments.cost.measure import cost_of_gradient, measured, spread
from directrix.experiments.methods.default_directions import directions
from directrix.experiments.methods.tasks import (
    BUDGETS,
    CONTENDERS,
    EIGHT,
    PAPER,
    TASKS,
    Contender,
    Task,
    photos,
    right_subjects,
    share,
)
from directrix.measurement.calibration.calibrate import calibrate
from directrix.measurement.calibration.dose_response import DoseResponse, Verdicts
from directrix.measurement.judges.emoji_vocabulary import OCCUPATIONS
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
        rows: dict[int, dict[str, Any]] = {seed: {} for seed in seeds}
        for seed, task in product(seeds, tasks):
            note = run.file(name, seed, task.concept.name, ".json")
            rows[seed][task.concept.name] = cached(note, run.row, name, contender, task, seed)
        threads |= {row["threads"] for each in rows.values() for row in each.values()}
        methods[name] = run.summary(rows, name, tasks)
        if name != PAPER:
            methods[name]["eight"] = cached(folder / f"{name}-eight.json", run.together, contender, eight)
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
                cached(folder / f"budget-{name}-{index}.json", run.at_budget, tasks[0], name, settings)
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
    def _drawn(self) -> Callable[..., DoseResponse]:
        return cache(partial(DoseResponse, self.pipeline, self.judge))

    def dose_response(self, task: Task) -> DoseResponse:
        """All occupations in the task's frame, always with the same seeds; drawn once."""
        return self._drawn(photos(frame=task.frame), self.images_per_prompt, seed=77)

    def unsteered(self, task: Task) -> dict[str, Any]:
        row = self._labels(self.dose_response(task).plain, task)
        return {key: share(row[key]) for key in ("effect", "subject")}

    def file(self, name: str, seed: int, concept: str, ending: str) -> Path:
        return self.folder / f"{name}-{seed}-{concept.replace(' ', '-')}{ending}"

    def row(self, name: str, contender: Contender, task: Task, seed: int) -> dict[str, Any]:
        """One contender from one seed: its labels and its cost; ``folder`` keeps its direction."""
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
        direction.save(self.file(name, seed, task.concept.name, ".safetensors"))
        return row

    def _labels(self, after: Verdicts, task: Task) -> dict[str, Any]:
        """Image by image: whether the concept is there, and whether the subject is the one asked for."""
        before, label = self.dose_response(task).plain, task.target_label
        return {
            "leakage": largest(before, after, label.attribute),
            "effect": [label.shown(verdict) for verdict in after],
            "subject": right_subjects(after),
        }

    def summary(self, runs: Mapping[int, Mapping[str, Any]], name: str, tasks: Sequence[Task]) -> dict[str, Any]:
        """The figures of one contender over its seeds, by concept."""
        rows = {task.concept.name: [run[task.concept.name] for run in runs.values()] for task in tasks}
        cosines: dict[str, list[float]] = {}
        for concept in rows:
            found = [Direction.load(self.file(name, seed, concept, ".safetensors")) for seed in runs]
            cosines[concept] = [one.cosine(other) for place, one in enumerate(found) for other in found[:place]]
        every = [row for each in rows.values() for row in each]
        return {
            "effect": {concept: share(*(row["effect"] for row in each)) for concept, each in rows.items()},
            "effect_seen": {concept: all(row["effect_seen"] for row in each) for concept, each in rows.items()},
            "leakage": {concept: spread([row["leakage"] for row in each], fmean) for concept, each in rows.items()},
            "preservation": {concept: share(*(row["subject"] for row in each)) for concept, each in rows.items()},
            "cosine_across_seeds": {concept: spread(each, fmean) for concept, each in cosines.items()},
            "evaluations": spread([self._total(row["evaluations"]) for row in every], fmean),
            **{
                key: spread([row[key] for row in every if row[key] is not None], fmean)
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
            "effect": share([task.target_label.shown(verdict) for verdict in verdicts]),
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
