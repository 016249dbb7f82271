"""Dose-response: the same seeds at any strength, and what a judge sees of the concept and of the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from directrix.checks import one_of
from directrix.directions.direction import Direction
from directrix.directions.target_label import TargetLabel
from directrix.discovery.checkpoint import NOWHERE, Checkpoint
from directrix.generation.generate import generate
from directrix.interventions.finite import beyond_range
from directrix.interventions.protocol import Intervention
from directrix.interventions.steering import Steering
from directrix.measurement.calibration.judged import asked_of, judged
from directrix.measurement.calibration.sketch import sketched
from directrix.measurement.judges.base import Judge, Verdicts
from directrix.measurement.metrics import Interval, proportion
from directrix.models.steerable import SteerableModel
from directrix.progress import Progress, silent

if TYPE_CHECKING:
    from PIL.Image import Image

SUBJECT = "subject"
# Below this chance (were there no effect) an effect counts as seen.
SIGNIFICANCE = 0.01


@dataclass(frozen=True)
class Step:
    """What one strength did.

    effect: share of images that show the concept; retained: share of those with the subject that the same seed has
    unsteered, of seeds where a judge sees one; gained, lost: images that show the concept steered and not unsteered,
    and the other way round.
    """

    strength: float
    effect: Interval
    retained: Interval
    verdicts: Verdicts
    gained: int
    lost: int

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "strength": round(self.strength, 4),
            "effect": self.effect.as_dict(),
            "subject_retained": self.retained.as_dict(),
            "shares": {
                name: {label: round(share, 4) for label, share in row.items()}
                for name, row in shares(self.verdicts).items()
            },
        }


class DoseResponse:
    """Images of some prompts at any strength, with the same seeds, judged; `images` are the last that were drawn.

    checkpoint: has what was judged, and gets what is.
    against: what the images that all others are compared with are drawn under; nothing by default.
    sketch: whether images are judged as they are predicted half-way (`sketch`), where all of them are one batch.
    """

    def __init__(
        self,
        model: SteerableModel,
        judge: Judge,
        prompts: Sequence[str],
        images_per_prompt: int,
        *,
        num_inference_steps: int | None = None,
        seed: int = 0,
        batch_size: int = 16,
        checkpoint: Checkpoint = NOWHERE,
        against: Intervention | Sequence[Intervention] = (),
        sketch: bool = False,
        progress: Progress = silent,
    ) -> None:
        self._judge, self._model, self._checkpoint = judge, model, checkpoint
        settings: dict[str, Any] = {"num_inference_steps": num_inference_steps, "seed": seed}
        # What was drawn, for a direction's provenance.
        self.facts = {"prompts": list(prompts), "images_per_prompt": images_per_prompt, **settings}
        self._asked = partial(asked_of, list(prompts), images_per_prompt, batch_size=batch_size, **settings)
        self._sketch = sketch and len(prompts) * images_per_prompt <= batch_size
        drawing = {"batch_size": batch_size, "progress": progress, **settings}
        self._draw = partial(generate, model, list(prompts), images_per_prompt, **drawing)
        self.images: list[Image] = []
        self.plain = self.verdicts_under(against)

    def verdicts(self, direction: Direction, strength: float, whole: bool = False) -> Verdicts:
        """What the judge says of the steered images; whole ones also where the others are sketches."""
        return self.plain if strength == 0 else self.verdicts_under(Steering({direction: strength}), whole)

    def verdicts_under(self, interventions: Intervention | Sequence[Intervention], whole: bool = False) -> Verdicts:
        """What the judge says of the same images under any interventions of all of them."""
        sketch = self._sketch and not whole

        def drawn() -> list[Image]:
            given = (interventions,) if isinstance(interventions, Intervention) else tuple(interventions)
            with beyond_range():
                if sketch:
                    self.images = sketched(lambda those: self._draw(interventions=those), given)
                else:
                    self.images = [record.image for record in self._draw(interventions=interventions)]
            return self.images

        asked = {**self._asked(interventions), **({"sketch": True} if sketch else {})}
        return judged(self._checkpoint, self._model, self._judge, asked, drawn)

    def step(self, direction: Direction, target_label: TargetLabel, strength: float) -> Step:
        """What the direction does at a strength. DirectrixError where the judge does not know the attribute."""
        one_of("attribute", target_label.attribute, self.plain[0])
        return compared(target_label, strength, self.plain, self.verdicts(direction, strength))


def compared(target_label: TargetLabel, strength: float, before: Verdicts, after: Verdicts) -> Step:
    """What the verdicts of the images at a strength say beside those of the same seeds that they are compared with."""
    one_of("attribute", target_label.attribute, before[0])
    both = list(zip(before, after, strict=True))
    # Where the subject is what changes, or the judge knows none, it can't be lost.
    judged = target_label.attribute != SUBJECT and all(SUBJECT in old for old, _ in both)
    had = [pair for pair in both if judged and pair[0][SUBJECT].label is not None]
    retained = sum(old[SUBJECT].label == new[SUBJECT].label for old, new in had)
    shown = [(target_label.shown(old), target_label.shown(new)) for old, new in both]
    return Step(
        strength,
        proportion(sum(new for _, new in shown), len(both)),
        proportion(retained, len(had)) if had else proportion(0 if judged else len(both), len(both)),
        after,
        sum(new and not old for old, new in shown),
        sum(old and not new for old, new in shown),
    )


def shares(verdicts: Verdicts) -> dict[str, dict[str, float]]:
    """The share of each label over all images, by attribute; an unscored image counts for none."""
    counts: dict[str, Counter[str]] = {}
    for verdict in verdicts:
        for attribute, each in verdict.items():
            counts.setdefault(attribute, Counter()).update([] if each.label is None else [each.label])
    return {
        attribute: {label: row[label] / len(verdicts) for label in sorted(row)} for attribute, row in counts.items()
    }
