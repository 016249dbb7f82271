"""The methods of discovery side by side: effect, leakage and preservation, against what they cost.

Every method finds the same concepts in the same model, from several seeds; every direction steers the same seeds of
all twenty occupations at strength 1, and the same judge looks.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from directrix import models
from directrix.concept import Concept
from directrix.directions.direction import Direction
from directrix.discovery import DEFAULT_METHOD, discover
from directrix.discovery.checkpoint import Checkpoint
from directrix.discovery.settings import grouped
from directrix.errors import DirectrixError, NoEffectError
from directrix.experiments.cache import cached
from directrix.experiments.cost.measure import cost_of_gradient, measured
from directrix.experiments.emoji_world.caption import with_article
from directrix.experiments.methods.budgets import BUDGETS, budgets, total
from directrix.experiments.methods.default_directions import directions
from directrix.experiments.methods.tasks import CONTENDERS, EIGHT, PAPER, TASKS, Contender, Task
from directrix.measurement.calibration.calibrate import calibrate
from directrix.measurement.calibration.dose_response import SUBJECT, DoseResponse, Verdicts
from directrix.measurement.judges.emoji_vocabulary import OCCUPATIONS
from directrix.measurement.metrics import bootstrap, pooled_mean
from directrix.measurement.reports.leakage import largest
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
        images_of_directions: pictures of each prompt that the default's directions are tried on; see ``directions``.
        seeds: of the discoveries, two or more; the pictures' seeds are always the same.
    """
    if len(seeds) < 2:
        raise DirectrixError("One seed says nothing of how discoveries differ.", "two seeds or more.", "--seeds 3.")
    # Figures of another model or other settings must not be taken over.
    Checkpoint(
        folder,
        {
            "model": models.identity(pipeline).fingerprint,
            "images_per_prompt": images_per_prompt,
            "contenders": {name: asdict(each) for name, each in contenders.items()},
            "tasks": [asdict(task) for task in tasks],
            "budgets": {name: list(rows) for name, rows in by_budget.items()},
            "images_of_directions": images_of_directions,
        },
    )
    test_sets: dict[str, DoseResponse] = {}

    def dose_response(frame: str) -> DoseResponse:
        if frame not in test_sets:
            prompts = [frame.format(with_article(occupation)) for occupation in OCCUPATIONS]
            test_sets[frame] = DoseResponse(pipeline, judge, prompts, images_per_prompt, seed=77)
        return test_sets[frame]

    gradient_cost = cost_of_gradient(pipeline)
    methods: dict[str, Any] = {}
    threads: set[int] = set()
    for name, contender in contenders.items():
        runs = {
            seed: _run(pipeline, judge, folder, name, contender, tasks, seed, dose_response, progress) for seed in seeds
        }
        threads |= {row["threads"] for run in runs.values() for row in run.values()}
        methods[name] = _summary(runs, folder, name, tasks, gradient_cost)
        if name != PAPER:
            methods[name]["eight"] = cached(
                folder / f"{name}-eight.json", partial(_together, pipeline, contender, eight, gradient_cost, progress)
            )
    found = {
        "default": DEFAULT_METHOD,
        "seeds": list(seeds),
        "pictures": {"occupations": len(OCCUPATIONS), "each": images_per_prompt},
        "gradient_cost": gradient_cost,
        "threads": sorted(threads),
        "unsteered": {task.concept.name: _unsteered(dose_response(task.frame), task) for task in tasks},
        "methods": methods,
    }
    first = tasks[0]
    found["budgets"] = budgets(
        pipeline,
        first.concept,
        first.target_label,
        dose_response(first.frame),
        folder,
        methods={name: rows for name, rows in by_budget.items() if name in contenders},
        gradient_cost=gradient_cost,
        progress=progress,
    )
    if images_of_directions:
        found["directions"] = directions(
            pipeline, judge, folder, images_per_prompt=images_of_directions, progress=progress
        )
    if PAPER in methods and DEFAULT_METHOD in methods:
        found["ratio"] = _ratio(methods)
    return found


def _unsteered(dose_response: DoseResponse, task: Task) -> dict[str, Any]:
    row = _labels(dose_response.plain, dose_response.plain, task, dose_response)
    return {"effect": _by_occupation([row["effect"]]), "subject": _by_occupation([row["subject"]])}


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


def _run(
    pipeline: Any,
    judge: Judge,
    folder: Path,
    name: str,
    contender: Contender,
    tasks: Sequence[Task],
    seed: int,
    dose_response: Callable[[str], DoseResponse],
    progress: Progress,
) -> dict[str, Any]:
    """One contender from one seed: its labels and its cost by concept; its directions are kept in ``folder``."""

    def row(task: Task, stem: Path) -> dict[str, Any]:
        bars = labelled(progress, f"{name}, seed {seed}, {task.concept.name}: ")
        # No checkpoint: what is written while it runs would be timed too.
        with measured() as cost:
            direction = discover(
                pipeline, task.concept, contender.method, seed=seed, progress=bars, **grouped(contender.settings)
            )
        raw = direction
        seen = True
        with measured() as calibrating:
            if contender.calibrated:
                try:
                    # How far beyond 1.0 one may go is not compared.
                    direction = calibrate(
                        pipeline, direction, judge, target_label=task.target_label, sweep=(), progress=bars
                    )
                except NoEffectError:
                    seen = False
        here = dose_response(task.frame)
        found = {
            **_labels(here.plain, here.verdicts(direction, 1.0), task, here),
            "effect_seen": seen,
            "evaluations": dict(raw.recipe["denoiser_evaluations"]),
            "seconds": cost.seconds,
            "seconds_calibrating": calibrating.seconds,
            "memory_mb": cost.memory_mb,
            "threads": torch.get_num_threads(),
        }
        direction.save(stem.with_suffix(".safetensors"))
        return found

    rows: dict[str, Any] = {}
    for task in tasks:
        stem = folder / f"{name}-{seed}-{task.concept.name.replace(' ', '-')}"
        rows[task.concept.name] = cached(stem.with_suffix(".json"), partial(row, task, stem))
    return rows


def _labels(before: Verdicts, after: Verdicts, task: Task, dose_response: DoseResponse) -> dict[str, Any]:
    """What was seen, picture by picture: whether the concept is there, and whether the subject is the one asked for."""
    wanted = [occupation for occupation in OCCUPATIONS for _ in range(len(after) // len(dose_response.prompts))]
    return {
        "effect": [task.target_label.shown(verdict) for verdict in after],
        "effect_unsteered": [task.target_label.shown(verdict) for verdict in before],
        "subject": [v[SUBJECT].label == name for v, name in zip(after, wanted, strict=True)],
        "subject_unsteered": [v[SUBJECT].label == name for v, name in zip(before, wanted, strict=True)],
        "leakage": largest(before, after, task.target_label.attribute),
    }


def _summary(
    runs: Mapping[int, Mapping[str, Any]], folder: Path, name: str, tasks: Sequence[Task], gradient_cost: float
) -> dict[str, Any]:
    """The figures of one contender over its seeds, by concept."""
    keys = ("effect", "effect_seen", "leakage", "preservation", "cosine_across_seeds")
    found: dict[str, Any] = {key: {} for key in keys}
    for task in tasks:
        concept = task.concept.name
        rows = [run[concept] for run in runs.values()]
        found["effect"][concept] = _by_occupation([row["effect"] for row in rows])
        found["preservation"][concept] = _by_occupation([row["subject"] for row in rows])
        found["effect_seen"][concept] = all(row["effect_seen"] for row in rows)
        found["leakage"][concept] = spread([row["leakage"] for row in rows])
        repeated = [Direction.load(folder / f"{name}-{seed}-{concept.replace(' ', '-')}.safetensors") for seed in runs]
        found["cosine_across_seeds"][concept] = spread(
            [a.cosine(b) for i, a in enumerate(repeated) for b in repeated[:i]]
        )
    every = [row for run in runs.values() for row in run.values()]
    totals = [total(row["evaluations"], gradient_cost) for row in every]
    return {
        **found,
        "evaluations": spread(totals),
        **{
            key: spread([row[key] for row in every if row[key] is not None])
            for key in ("seconds", "seconds_calibrating", "memory_mb")
        },
    }


def _by_occupation(runs: Sequence[Sequence[bool]]) -> dict[str, float | int]:
    """The share of all pictures of all seeds, with the interval of a bootstrap over occupations."""
    each = len(runs[0]) // len(OCCUPATIONS)
    clusters = {name: [run[i * each + j] for run in runs for j in range(each)] for i, name in enumerate(OCCUPATIONS)}
    return bootstrap(clusters, pooled_mean).as_dict()


def spread(values: Sequence[float]) -> dict[str, float | int]:
    """The mean of a few values, and from the least to the largest of them: too few for an interval of chance."""
    return {
        "value": round(statistics.fmean(values), 4),
        "low": round(min(values), 4),
        "high": round(max(values), 4),
        "n": len(values),
    }


def _together(
    pipeline: Any, contender: Contender, concepts: Sequence[Concept], gradient_cost: float, progress: Progress
) -> dict[str, Any]:
    """What it costs to find several concepts in one run, per concept."""
    with measured() as cost:
        together = discover(
            pipeline, concepts, contender.method, seed=0, progress=progress, **grouped(contender.settings)
        )
    each = len(concepts)
    return {
        "concepts": each,
        "evaluations": round(total(together[0].recipe["denoiser_evaluations"], gradient_cost) / each, 1),
        "seconds": round(cost.seconds / each, 3),
        "memory_mb": round(cost.memory_mb, 1),
    }
