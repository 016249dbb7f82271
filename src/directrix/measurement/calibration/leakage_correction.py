"""Leakage compensation: what a direction changes beside its concept is put back, by some of the directions for that.

A direction that leaves another attribute alone at the site may still shift it in the images: what is added passes
through the layers behind the site many times, and they are not linear. So the shift is measured where it matters, on
images: shares of the other attribute's labels, unsteered and steered, over the same seeds. A little of each of that
attribute's own directions, added on top, tells how much it moves those shares; least squares gives the amounts that
move them back. Put in the place of the prompt's component (`interventions.project_and_set`), a direction may shift more
than where it is added; for one that is used so, both are measured, and the amounts are the best for both together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from directrix.directions.direction import Direction
from directrix.directions.target_label import TargetLabel
from directrix.discovery.checkpoint import Checkpoint
from directrix.errors import DirectrixError
from directrix.interventions.project_and_set import ProjectAndSet
from directrix.interventions.protocol import Intervention
from directrix.interventions.steering import Steering
from directrix.measurement.calibration.dose_response import DoseResponse, Verdicts
from directrix.measurement.calibration.target import calibration_prompts, concept_of, half_steps
from directrix.measurement.judges.base import Judge, for_fitting
from directrix.models.steerable import SteerableModel
from directrix.progress import Progress, silent

# Images that a shift is measured on: a share's change is then known to about .03.
PICTURES = 280
# How much of each other direction is added to see what it does, as a share of its own strength.
PROBE = 0.12
# Never more than this of any of them: more would be another image.
MOST = 0.5
# Shares that shift less are left alone: it is about what so many images can tell.
ENOUGH = 0.04
# Keeps amounts small that the images tell little of.
RIDGE = 0.05


def compensate_leakage(
    pipeline: Any,
    direction: Direction,
    others: Mapping[Direction, TargetLabel],
    judge: Judge,
    *,
    prompts: Sequence[str] | None = None,
    images_per_prompt: int | None = None,
    among: Sequence[Direction] = (),
    num_inference_steps: int | None = None,
    seed: int = 3000,
    checkpoint: Path | str | None = None,
    progress: Progress = silent,
) -> Direction:
    """The direction with as much of others added as keeps what they stand for as it was at strength 1.

    Args:
        direction: calibrated.
        others: directions of another attribute, calibrated, each with what the judge sees where it acts.
        judge: knows the attributes of these target labels.
        prompts: to measure on; None for `calibration_prompts`. images_per_prompt: None for so many that there are
            `PICTURES` in all.
        among: all directions of its attribute, itself among them, where it is to be put in the place of the prompt's
            component too; empty where it is only added.
        num_inference_steps: None for half of the model's own.
        checkpoint: as in `calibrate`.

    Returns a new direction, or the same tensor where nothing shifts by more than `ENOUGH`, or no amounts make the
    largest shift smaller; provenance["compensated"] says what was added and the shifts before and after, by label, the
    larger one of both ways.

    Raises:
        DirectrixError: no others, directions of another model or shape, or a held-out judge.
    """
    if not others:
        raise DirectrixError(
            "There is nothing to compensate with.", "directions of another attribute.", "discover them first."
        )
    for_fitting(judge)
    model = SteerableModel.of(pipeline)
    listed = list(prompts or calibration_prompts(model, concept_of(direction)))
    each = images_per_prompt or math.ceil(PICTURES / len(listed))
    steps = num_inference_steps or half_steps(model)
    target_labels = list(others.values())
    ways = 2 if among else 1
    stored = Checkpoint(checkpoint)
    with stored.locked(), progress(ways * (len(others) + 2) + 1, "Compensating") as bar:
        dose_response = DoseResponse(
            model, judge, listed, each, num_inference_steps=steps, seed=seed, checkpoint=stored
        )
        bar.advance(1)
        unsteered = np.tile(_shares(dose_response.plain, target_labels), ways)

        def shifts(amounts: Sequence[float]) -> np.ndarray:
            found = []
            for acting in _ways(_with(direction, list(others), amounts), among, len(dose_response.plain)):
                found.append(_shares(dose_response.verdicts_under(acting), target_labels))
                bar.advance(1)
            return np.concatenate(found) - unsteered

        amounts = [0.0] * len(target_labels)
        before = after = shifts(amounts)
        if float(abs(before).max()) > ENOUGH:
            probes = np.eye(len(target_labels)) * PROBE
            response = np.stack([(shifts(list(probe)) - before) / PROBE for probe in probes], axis=1)
            normal = response.T @ response + RIDGE * np.eye(len(target_labels))
            solved = np.clip(-np.linalg.solve(normal, response.T @ before), -MOST, MOST).tolist()
            compensated = shifts(solved)
            if float(abs(compensated).max()) < float(abs(before).max()):
                amounts, after = solved, compensated
    found = {
        "judge": judge.name,
        "target_labels": [asdict(target_label) for target_label in target_labels],
        "added": {other.name: round(amount, 4) for other, amount in zip(others, amounts, strict=True)},
        "before": _by_label(target_labels, before),
        "after": _by_label(target_labels, after),
        **dose_response.facts,
    }
    return _with(direction, list(others), amounts).with_(provenance={**direction.provenance, "compensated": found})


def _with(direction: Direction, others: Sequence[Direction], amounts: Sequence[float]) -> Direction:
    """The direction plus amounts of the others, each times its own default strength."""
    total = direction
    for other, amount in zip(others, amounts, strict=True):
        if amount:
            total = total + other * (amount * other.strengths.default)
    return direction.with_(parts=total.parts)


def _ways(direction: Direction, among: Sequence[Direction], images: int) -> list[Intervention]:
    """The direction added and, where it is one among several, in the place of the prompt's component."""
    added: Intervention = Steering({direction: 1.0})
    if not among:
        return [added]
    if direction.name not in [each.name for each in among]:
        raise DirectrixError(
            f"'{direction.name}' is not among {', '.join(each.name for each in among)}.",
            "all directions of its attribute, itself among them.",
        )
    categories = {each.name: {direction if each.name == direction.name else each: 1.0} for each in among}
    return [added, ProjectAndSet({"": categories}, [{"": direction.name}] * images, insist=False)]


def _shares(verdicts: Verdicts, target_labels: Sequence[TargetLabel]) -> np.ndarray:
    """Of each target label, the share of images that show it."""
    return np.array([sum(map(target_label.shown, verdicts)) / len(verdicts) for target_label in target_labels])


def _by_label(target_labels: Sequence[TargetLabel], values: np.ndarray) -> dict[str, float]:
    """The shift of each label; of several ways the larger one."""
    ways = values.reshape(-1, len(target_labels))
    largest = ways[abs(ways).argmax(0), range(len(target_labels))]
    return {
        str(target_label): round(float(value), 4) for target_label, value in zip(target_labels, largest, strict=True)
    }
