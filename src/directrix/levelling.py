"""Levelling: what a direction changes beside its concept is put back, by a little of the directions for that.

A direction that leaves another attribute alone at the site may still shift it in the pictures: what is added passes
through the layers behind the site many times, and they are not linear. So the shift is measured where it matters, on
pictures: shares of the other attribute's labels, unsteered and steered, over the same seeds. A little of each of that
attribute's own directions, added on top, tells how much it moves those shares; least squares gives the amounts that
move them back.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from directrix import models
from directrix.aims import calibration_prompts, concept_of
from directrix.errors import DirectrixError
from directrix.progress import Progress, silent
from directrix.trial import Aim, Trial, Verdicts

if TYPE_CHECKING:
    from directrix.direction import Direction
    from directrix.judges import Judge

# Pictures that a shift is measured on: a share's change is then known to about .03.
PICTURES = 280
# How much of each other direction is added to see what it does, as a share of its own strength.
PROBE = 0.12
# Never more than this of any of them: more would be another picture.
MOST = 0.5
# Keeps amounts small that the pictures tell little of.
RIDGE = 0.05


def level(
    pipeline: Any,
    direction: Direction,
    others: Mapping[Direction, Aim],
    judge: Judge,
    *,
    prompts: Sequence[str] | None = None,
    images_per_prompt: int | None = None,
    num_inference_steps: int | None = None,
    seed: int = 3000,
    progress: Progress = silent,
) -> Direction:
    """The direction with as much of others added as keeps what they stand for as it was at strength 1.

    Args:
        direction: calibrated.
        others: directions of another attribute, calibrated, each with what the judge sees where it acts.
        judge: knows the attributes of these aims.
        prompts: to measure on; None for ``calibration_prompts``. images_per_prompt: None for so many that there are
            ``PICTURES`` in all.
        num_inference_steps: None for half of the model's own.

    Returns a new direction, or the same tensor where no amounts make the largest shift smaller;
    provenance["levelled"] says what was added and the shifts before and after, by label.

    Raises:
        DirectrixError: no others, or directions of another model or shape.
    """
    if not others:
        raise DirectrixError(
            "There is nothing to level by.", "directions of another attribute.", "discover them first."
        )
    listed = list(prompts or calibration_prompts(pipeline, concept_of(direction)))
    each = images_per_prompt or math.ceil(PICTURES / len(listed))
    steps = num_inference_steps or max(1, models.facts(pipeline).num_inference_steps // 2)
    aims = list(others.values())
    with progress(len(others) + 3, "Levelling") as bar:
        trial = Trial(pipeline, judge, listed, each, num_inference_steps=steps, seed=seed)
        bar.advance(1)

        def shares(amounts: Sequence[float]) -> np.ndarray:
            verdicts = trial.verdicts(_with(direction, list(others), amounts), 1.0)
            bar.advance(1)
            return _shares(verdicts, aims)

        unsteered = _shares(trial.plain, aims)
        none = [0.0] * len(aims)
        shift = shares(none) - unsteered
        probes = np.eye(len(aims)) * PROBE
        response = np.stack([(shares(list(probe)) - unsteered - shift) / PROBE for probe in probes], axis=1)
        normal = response.T @ response + RIDGE * np.eye(len(aims))
        amounts = np.clip(-np.linalg.solve(normal, response.T @ shift), -MOST, MOST)
        after = shares(list(amounts)) - unsteered
    better = float(abs(after).max()) < float(abs(shift).max())
    kept = [float(amount) for amount in amounts] if better else none
    names = [other.name for other in others]
    found = {
        "judge": judge.name,
        "aims": [asdict(aim) for aim in aims],
        "added": dict(zip(names, (round(amount, 4) for amount in kept), strict=True)),
        "before": _by_label(aims, shift),
        "after": _by_label(aims, after if better else shift),
        "prompts": listed,
        "images_per_prompt": each,
        "num_inference_steps": steps,
        "seed": seed,
    }
    levelled = _with(direction, list(others), kept)
    return levelled.with_(provenance={**direction.provenance, "levelled": found})


def _with(direction: Direction, others: Sequence[Direction], amounts: Sequence[float]) -> Direction:
    """The direction plus amounts of the others, each times its own default strength."""
    total = direction
    for other, amount in zip(others, amounts, strict=True):
        if amount:
            total = total + other * (amount * other.strengths.default)
    return direction.with_(tensor=total.tensor)


def _shares(verdicts: Verdicts, aims: Sequence[Aim]) -> np.ndarray:
    """Of each aim, the share of pictures that show it."""
    return np.array([sum(map(aim.shown, verdicts)) / len(verdicts) for aim in aims])


def _by_label(aims: Sequence[Aim], values: np.ndarray) -> dict[str, float]:
    return {str(aim): round(float(value), 4) for aim, value in zip(aims, values, strict=True)}
