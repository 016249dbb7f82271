"""Whether a direction's own size is already right: a handful of images, and no search.

Closed forms give what the concept's own word adds, so strength 1 mostly needs no other size. The same few seeds are
drawn at strengths -1, 0.5 and 1.5 and judged; at the first and the last as sketches (`sketch`). Where half of the size
suffices, the whole of it has a margin, which prompts need that are harder than those looked at. Where it doesn't and
1.5 shows no less, 1.5 is the size; where that is more and not enough, 2 is tried too. Both signs, rather than one and
an unsteered image, tell the effect apart also where the model shows the concept in most images anyway.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from directrix.concept import Concept
from directrix.directions.direction import Direction
from directrix.directions.target_label import TargetLabel
from directrix.discovery.checkpoint import Checkpoint
from directrix.errors import NoEffectError
from directrix.interventions.steering import Steering
from directrix.measurement.calibration.concept_words import check_label
from directrix.measurement.calibration.dose_response import DoseResponse, Step, compared
from directrix.measurement.calibration.target import calibration_prompts, label_that_changed
from directrix.measurement.judges.base import Judge, Verdicts
from directrix.measurement.metrics import sign_test
from directrix.models.steerable import SteerableModel
from directrix.progress import Progress

# Images at each strength, and their steps, of which sketches make three: with both branches of guidance, 120
# evaluations in all.
IMAGES = 6
STEPS = 4
LESS, MORE, FURTHER = 0.5, 1.5, 2.0
# Four of four images that differ between the signs, with more seeds five of five: a direction without effect makes none
# differ. Of 20 random ones of equal norms on emoji, one passes for an effect at the first look.
CHANCE = (1 / 16, 0.05, 0.05)
# So many times other seeds join those that leave it open. The search looks at many hundreds.
LOOKS = len(CHANCE)
# An effect below this calls for the search. More strength here would not: four steps lose subjects that ten retain.
MOST = 0.75


class Found(NamedTuple):
    """What a few images say: the strength that becomes 1.0, all that were tried, and on what."""

    target_label: TargetLabel
    unit: float
    rows: list[Step]
    facts: dict[str, Any]


def at_natural_size(
    model: SteerableModel,
    direction: Direction,
    judge: Judge,
    concept: Concept,
    target_label: TargetLabel | None,
    *,
    lost: float,
    effect: float,
    seed: int,
    force: bool,
    checkpoint: Checkpoint,
    progress: Progress,
) -> Found | None:
    """The size of a direction from a few images; None where they leave it open.

    Args:
        lost: share of the images that may lose their subject.
        effect: share of the images that should show the concept.
        checkpoint: has what was judged, and gets what is.

    The strength is 1; or `MORE` where `LESS` leaves something and that shows no less; or `FURTHER` where that shows
    more again. What is gained and retained is so against strength -1.
    """
    prompts = calibration_prompts(model, concept)
    plain, photos = prompts[: (len(prompts) + 1) // 2], prompts[(len(prompts) + 1) // 2 :]
    mixed = [photos[place] if place % 2 and place < len(photos) else each for place, each in enumerate(plain)][:IMAGES]
    each = math.ceil(IMAGES / len(mixed))
    before, less, more = seen = ([], [], [])
    for look in range(LOOKS):
        settings: Any = {"num_inference_steps": STEPS, "seed": seed + look, "checkpoint": checkpoint}
        settings |= {"sketch": True, "progress": progress}
        with progress(len(seen), "Calibrating") as bar:
            tried = DoseResponse(model, judge, mixed, each, against=Steering({direction: -1.0}), **settings)
            before += tried.plain
            bar.advance(1)
            for strength, verdicts in ((LESS, less), (MORE, more)):
                # What decides whether less suffices is looked at with care.
                verdicts += tried.verdicts(direction, strength, whole=strength == LESS)
                bar.advance(1)
        found = target_label or _label(model, concept, judge, seen, force)
        if found is None:
            continue
        low, high = compared(found, LESS, before, less), compared(found, MORE, before, more)
        rows = [compared(found, -1.0, before, before), low, high]
        size = _size(low, high, lost, effect, CHANCE[look])
        if size is None and look == 0 and low.effect.value < high.effect.value < MOST:
            rows.append(compared(found, FURTHER, before, tried.verdicts(direction, FURTHER)))
            size = _size(high, rows[-1], lost, effect, CHANCE[look])
        if size:
            sketched = [row.strength for row in rows if row.strength != LESS]
            return Found(found, size, rows, {**tried.facts, "seeds": look + 1, "sketched": sketched})
    return None


def _label(
    model: SteerableModel, concept: Concept, judge: Judge, seen: tuple[Verdicts, Verdicts, Verdicts], force: bool
) -> TargetLabel | None:
    """The label that changes between the signs, where the concept's words name it or are not asked."""
    before, *after = seen
    found = next((label for each in after if (label := label_that_changed(before, each, concept))), None)
    try:
        if found is not None and not force:
            check_label(model, concept, found, judge)
    except NoEffectError:
        # The search looks at more images, and at those of the words themselves, before it says so.
        return None
    return found


def _size(low: Step, high: Step, lost: float, effect: float, chance: float) -> float | None:
    """The strength that becomes 1: that of the second, or of the first, `LESS` doubled. None where it is left open."""
    shows_more = low.effect.value < effect and low.effect.value <= high.effect.value
    # Between the two the subject is retained where it is at both.
    if any(row.retained.value < 1 - lost for row in ((high,) if shows_more else (low, high))):
        return None
    best = high if shows_more else low
    if best.effect.value < MOST or sign_test(best.gained, best.gained + best.lost) > chance:
        return None
    return high.strength if shows_more else max(low.strength, 1.0)
