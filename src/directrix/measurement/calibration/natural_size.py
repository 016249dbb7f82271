"""Whether a direction's own size is already right: a handful of images, and no search.

Closed forms give what the concept's own word adds, so strength 1 mostly needs no other size. The same few seeds are
drawn at strengths -1, 1 and 2 and judged. Both signs, rather than one and an unsteered image, tell the effect apart
also where the model shows the concept in most images anyway.
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
from directrix.measurement.calibration.dose_response import SIGNIFICANCE, DoseResponse, Step
from directrix.measurement.calibration.target import calibration_prompts, label_that_changed
from directrix.measurement.judges.base import Judge
from directrix.measurement.metrics import sign_test
from directrix.models.steerable import SteerableModel
from directrix.progress import Progress

# Images at each strength, and their denoising steps: with both branches of guidance, 144 evaluations in all.
IMAGES = 6
STEPS = 4
STRENGTHS = (1.0, 2.0)
# Five of five images that differ between the signs: a direction without effect makes none differ.
CHANCE = 5 * SIGNIFICANCE
# An effect below this calls for the search as well.
HALF = 0.5


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

    The strength is 1, or 2 where that alone has the effect. What is gained and retained is so against strength -1.
    """
    prompts = calibration_prompts(model, concept)
    plain, photos = prompts[: (len(prompts) + 1) // 2], prompts[(len(prompts) + 1) // 2 :]
    mixed = [photos[place] if place % 2 and place < len(photos) else each for place, each in enumerate(plain)][:IMAGES]
    each = math.ceil(IMAGES / len(mixed))
    settings: Any = {"num_inference_steps": STEPS, "seed": seed, "checkpoint": checkpoint}
    with progress(1 + len(STRENGTHS), "Calibrating") as bar:
        tried = DoseResponse(model, judge, mixed, each, against=Steering({direction: -1.0}), **settings)
        bar.advance(1)
        after = []
        for strength in STRENGTHS:
            after.append(tried.verdicts(direction, strength))
            bar.advance(1)
    if target_label is None:
        found = (label_that_changed(tried.plain, each, concept) for each in after)
        target_label = next((each for each in found if each is not None), None)
        try:
            if target_label is None:
                return None
            if not force:
                check_label(model, concept, target_label, judge)
        except NoEffectError:
            # The search looks at more images, and at those of the words themselves, before it says so.
            return None
    rows = [tried.compared(target_label, *each) for each in zip(STRENGTHS, after, strict=True)]
    whole = [row for row in rows if row.retained.value >= 1 - lost]
    reached = [row for row in whole if row.effect.value >= effect]
    best = reached[0] if reached else max(whole, key=lambda row: row.effect.value, default=None)
    if best is None or best.effect.value < HALF or sign_test(best.gained, best.gained + best.lost) > CHANCE:
        return None
    return Found(target_label, best.strength, [tried.compared(target_label, -1.0, tried.plain), *rows], tried.facts)
