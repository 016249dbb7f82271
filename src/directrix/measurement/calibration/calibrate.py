"""Calibration: strength 1.0 becomes a stated effect, and the sensible strengths are measured.

What a raw vector does at 1.0 depends on the method, the model and the concept. Here the direction is tried at rising
strengths on images of the concept's neutral prompts, and of other subjects in their place, and a judge says how many
show the concept. The direction is then rescaled so that 1.0 is the least strength at which `EFFECT` of them do. The
same seeds unsteered tell what else changed: a strength is sensible while at most `LOST` of the subjects are lost.

Where a few images at the size that the direction already has show that it is right, there is no search: see
`natural_size`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import accumulate, takewhile
from pathlib import Path
from typing import Any

from directrix.checks import number
from directrix.concept import Concept
from directrix.deprecation import renamed
from directrix.directions.direction import Direction, Strengths
from directrix.directions.target_label import TargetLabel
from directrix.discovery.checkpoint import Checkpoint
from directrix.errors import NoEffectError
from directrix.measurement.calibration.concept_words import check_label
from directrix.measurement.calibration.dose_response import SIGNIFICANCE, DoseResponse, Step
from directrix.measurement.calibration.natural_size import at_natural_size
from directrix.measurement.calibration.target import (
    calibration_prompts,
    concept_of,
    find_target_label,
    half_steps,
    judge_for,
    others_of,
)
from directrix.measurement.judges.base import Judge, for_fitting
from directrix.measurement.metrics import sign_test
from directrix.models.steerable import SteerableModel
from directrix.progress import Progress, silent

# At strength 1.0 this share of the images shows the concept.
EFFECT = 0.98
# At a sensible strength no more than this share of the images loses its subject.
LOST = 0.1
# Strengths that are tried are 2 ** (place / STEPS) times the direction as it was found, places LEAST to GREATEST:
# by twos until the effect is there or no longer there, then the one between.
STEPS = 4
LEAST, GREATEST = -6, 12
# Then these, as multiples of the calibrated one, to see how far one can go.
SWEEP = (-1.5, -1.0, -0.5, 1.25, 1.5, 2.0)
# Fewer images than this of all prompts together could not show an effect beyond chance.
PICTURES = 40


@renamed(aim="target_label")
def calibrate(
    pipeline: Any,
    direction: Direction,
    judge: Judge | None = None,
    *,
    concept: Concept | None = None,
    target_label: TargetLabel | None = None,
    prompts: str | Sequence[str] | None = None,
    images_per_prompt: int = 4,
    effect: float = EFFECT,
    sweep: Sequence[float] = SWEEP,
    num_inference_steps: int | None = None,
    seed: int = 1000,
    force: bool = False,
    checkpoint: Path | str | None = None,
    thorough: bool = False,
    progress: Progress = silent,
) -> Direction:
    """The direction rescaled so that 1.0 has the stated effect, with its sensible strengths and how they were measured.

    Args:
        pipeline: a diffusers pipeline or a SteerableModel.
        judge: anything with `label`; one that knows a "subject" can tell when it is lost. None for `judge_for` the
            model.
        concept: whose prompts are used; None for the direction's own.
        target_label: what the judge is to see; None to find out (see `find_target_label`).
        prompts: to search with; None for `calibration_prompts`.
        images_per_prompt: of each, or more, so that there are `PICTURES` in all, in the search.
        effect: share of images in (0, 1] that show the concept at 1.0. Where no strength reaches it without losing
            more than `LOST` of the subjects, 1.0 is the one with the best sum of both, and the figures say so.
        sweep: further strengths that the search tries, as multiples of the calibrated one; with none, the sensible
            strengths keep their usual range.
        num_inference_steps: of the search; None for half of the model's own, enough to tell what images show.
        force: calibrate also where what the judge sees change says nothing of the concept's words.
        checkpoint: a folder for what was judged, such as that of the discovery: the same call goes on from it, with the
            same result. A judge that does not say its settings is asked anew.
        thorough: search in any case. Otherwise `natural_size` comes first, unless prompts are given.

    Returns:
        A new direction; provenance["calibration"] holds the target label, the prompts, every strength tried and its
        figures.

    Raises:
        NoEffectError: no effect can be seen, or that of something else (exit code 3 on the command line); it says why.
        DirectrixError: a held-out judge.
    """
    model = SteerableModel.of(pipeline)
    number("effect", effect, 0, 1, above=0)
    concept = concept or concept_of(direction)
    if judge is None:
        judge, known = judge_for(model, concept, *others_of(direction))
        target_label = target_label or known
    for_fitting(judge)
    steps = num_inference_steps or half_steps(model)
    facts: dict[str, Any] = {"judge": judge.name, "effect_asked_for": effect}
    stored = Checkpoint(checkpoint)
    if not thorough and prompts is None:
        asked: Any = {"lost": LOST, "effect": effect, "seed": seed, "force": force}
        with stored.locked():
            quick = at_natural_size(
                model, direction, judge, concept, target_label, **asked, checkpoint=stored, progress=progress
            )
        if quick is not None:
            return _calibrated(direction, quick.target_label, quick.unit, quick.rows, {**facts, **quick.facts}, True)
    words: dict[str, Any] = {}
    with stored.locked(), progress(3 + len(sweep), "Calibrating") as bar:
        if target_label is None:
            looked = {"num_inference_steps": steps, "seed": seed, "checkpoint": stored}
            target_label, old, new = find_target_label(model, concept, judge, **looked)
            if not force:
                check_label(model, concept, target_label, judge)
            words = {"neutral": old.as_dict(), "target": new.as_dict()}
        bar.advance(1)
        listed = [prompts] if isinstance(prompts, str) else list(prompts or calibration_prompts(model, concept))
        each = max(images_per_prompt, math.ceil(PICTURES / len(listed)))
        dose_response = DoseResponse(
            model, judge, listed, each, num_inference_steps=steps, seed=seed, checkpoint=stored, progress=progress
        )
        bar.advance(1)
        unit, climbed = _climb(dose_response, direction, target_label, effect)
        bar.advance(1)
        scaled = direction.scaled(unit)
        rows = list(climbed)
        for strength in sweep:
            row = dose_response.step(scaled, target_label, strength)
            rows.append(replace(row, strength=strength * unit))
            bar.advance(1)
    unsteered = dose_response.step(direction, target_label, 0.0).as_dict()
    facts |= {"words": words, **dose_response.facts, "unsteered": unsteered}
    return _calibrated(direction, target_label, unit, rows, facts, bool(sweep))


def _calibrated(
    direction: Direction,
    target_label: TargetLabel,
    unit: float,
    tried: Sequence[Step],
    facts: Mapping[str, Any],
    swept: bool,
) -> Direction:
    """The direction at a strength that becomes 1.0; `tried`: by strengths of the direction as it was found."""
    rows = sorted((replace(row, strength=row.strength / unit) for row in tried), key=lambda row: row.strength)
    measured = {"target_label": asdict(target_label), "unit": unit, "strengths": [row.as_dict() for row in rows]}
    return direction.scaled(unit).with_(
        strengths=_sensible(rows) if swept else Strengths(),
        provenance={**direction.provenance, "calibration": {**facts, **measured}},
    )


def _climb(
    dose_response: DoseResponse, direction: Direction, target_label: TargetLabel, effect: float
) -> tuple[float, list[Step]]:
    """The strength that becomes 1.0, and every strength that was tried to find it."""
    tried: dict[int, Step] = {}

    def has_effect(place: int) -> bool:
        if place not in tried:
            tried[place] = dose_response.step(direction, target_label, 2.0 ** (place / STEPS))
        return tried[place].effect.value >= effect

    place = 0
    if has_effect(place):
        while place > LEAST and has_effect(place - 2):
            place -= 2
    else:
        # Once most subjects are gone, more strength only destroys the image.
        while place < GREATEST and not has_effect(place) and tried[place].retained.value >= 0.5:
            place += 2
    has_effect(place - 1)
    rows = [tried[place] for place in sorted(tried)]
    reached = [row for row in rows if row.effect.value >= effect and row.retained.value >= 1 - LOST]
    best = reached[0] if reached else max(rows, key=lambda row: row.effect.value + row.retained.value)

    def by_chance(with_it: int, against_it: int) -> bool:
        switched = with_it + against_it
        return sign_test(with_it, switched) > SIGNIFICANCE / len(rows)

    if by_chance(best.gained, best.lost):
        # Where most images show the concept anyway, the other sign tells more.
        opposite = dose_response.step(direction, target_label, -best.strength)
        if by_chance(best.gained + opposite.lost, best.lost + opposite.gained):
            unsteered = dose_response.step(direction, target_label, 0.0).effect
            raise NoEffectError(
                f"No effect of the direction '{direction.name}' can be seen: '{target_label}' in "
                f"{unsteered.value:.2f} of {unsteered.n} images unsteered and in {best.effect.value:.2f} at strength "
                f"{best.strength:g}.",
                "a direction that changes images beyond chance.",
                "prompts that leave the concept open; more images for the discovery; another method or site.",
            )
    return best.strength, rows


def _sensible(rows: Sequence[Step]) -> Strengths:
    """The strengths next to which no subjects are lost beyond `LOST`, outwards from 0; rows by rising strength.

    Above 0 they also end before the effect falls by more than that: some values lie between others.
    """

    def furthest(outwards: Iterable[Step]) -> float:
        whole = takewhile(lambda row: row.retained.value >= 1 - LOST, outwards)
        return max((row.strength for row in whole), key=abs, default=0.0)

    above = [row for row in rows if row.strength > 0]
    best = accumulate((row.effect.value for row in above), max)
    rising = takewhile(lambda each: each[0].effect.value >= each[1] - LOST, zip(above, best, strict=True))
    low = furthest(row for row in reversed(rows) if row.strength < 0)
    high = furthest(row for row, _ in rising)
    # 1.0 is what the effect was stated for, whatever it costs; the figures beside it say what.
    return Strengths(1.0, round(low, 4), round(max(high, 1.0), 4))
