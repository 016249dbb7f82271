"""Levelling: what a direction changes beside its concept is put back, by a little of the directions for that.

A direction that leaves another attribute alone at the site may still shift it in the pictures: what is added passes
through the layers behind the site many times, and they are not linear. So the shift is measured where it matters, on
pictures: shares of the other attribute's labels, unsteered and steered, over the same seeds. A little of each of that
attribute's own directions, added on top, tells how much it moves those shares; least squares gives the amounts that
move them back. Put in the place of what prompts say (`apply.replaced`), a direction may shift more than where it is
added; for one that is used so, both ways are measured, and the amounts are the best for both together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from directrix import models
from directrix.aims import calibration_prompts, concept_of
from directrix.apply.replaced import Replaced
from directrix.errors import DirectrixError
from directrix.progress import Progress, silent
from directrix.steer import Steering
from directrix.trial import Aim, Trial, Verdicts

if TYPE_CHECKING:
    from directrix.direction import Direction
    from directrix.intervention import Intervention
    from directrix.judges import Judge

# Pictures that a shift is measured on: a share's change is then known to about .03.
PICTURES = 280
# How much of each other direction is added to see what it does, as a share of its own strength.
PROBE = 0.12
# Never more than this of any of them: more would be another picture.
MOST = 0.5
# Shares that shift less are left alone: it is about what so many pictures can tell.
ENOUGH = 0.04
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
    among: Sequence[Direction] = (),
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
        among: all directions of its attribute, itself among them, where it is to be put in the place of what prompts
            say too; empty where it is only added.
        num_inference_steps: None for half of the model's own.

    Returns a new direction, or the same tensor where nothing shifts by more than ``ENOUGH``, or no amounts make the
    largest shift smaller; provenance["levelled"] says what was added and the shifts before and after, by label, the
    larger one of both ways.

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
    ways = 2 if among else 1
    with progress(ways * (len(others) + 2) + 1, "Levelling") as bar:
        trial = Trial(pipeline, judge, listed, each, num_inference_steps=steps, seed=seed)
        bar.advance(1)
        unsteered = np.tile(_shares(trial.plain, aims), ways)

        def shifts(amounts: Sequence[float]) -> np.ndarray:
            found = []
            for acting in _ways(_with(direction, list(others), amounts), among, len(trial.plain)):
                found.append(_shares(trial.verdicts_under(acting), aims))
                bar.advance(1)
            return np.concatenate(found) - unsteered

        none = [0.0] * len(aims)
        shift = shifts(none)
        amounts, after = none, shift
        if float(abs(shift).max()) > ENOUGH:
            probes = np.eye(len(aims)) * PROBE
            response = np.stack([(shifts(list(probe)) - shift) / PROBE for probe in probes], axis=1)
            normal = response.T @ response + RIDGE * np.eye(len(aims))
            amounts = list(np.clip(-np.linalg.solve(normal, response.T @ shift), -MOST, MOST))
            after = shifts(amounts)
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


def _ways(direction: Direction, among: Sequence[Direction], images: int) -> list[Intervention]:
    """The direction added and, where it is one among several, in the place of what prompts say."""
    added: Intervention = Steering({direction: 1.0})
    if not among:
        return [added]
    if direction.name not in [each.name for each in among]:
        raise DirectrixError(
            f"'{direction.name}' is not among {', '.join(each.name for each in among)}.",
            "all directions of its attribute, itself among them.",
        )
    categories = {each.name: {direction if each.name == direction.name else each: 1.0} for each in among}
    return [added, Replaced({"": categories}, [{"": direction.name}] * images, insist=False)]


def _shares(verdicts: Verdicts, aims: Sequence[Aim]) -> np.ndarray:
    """Of each aim, the share of pictures that show it."""
    return np.array([sum(map(aim.shown, verdicts)) / len(verdicts) for aim in aims])


def _by_label(aims: Sequence[Aim], values: np.ndarray) -> dict[str, float]:
    """The shift of each label; of several ways the larger one."""
    ways = values.reshape(-1, len(aims))
    largest = ways[abs(ways).argmax(0), range(len(aims))]
    return {str(aim): round(float(value), 4) for aim, value in zip(aims, largest, strict=True)}
