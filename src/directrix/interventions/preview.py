"""Reading images half-way by looking at them: a judge sees what the denoiser predicts of each.

Nothing is fitted, and whatever a judge knows can be read: who is shown, or whether a weapon is forming. A look costs a
pass of the decoder and one of the judge. A probe (`directrix.interventions.probe`) costs neither, but must be fitted.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from directrix.directions.target_label import TargetLabel
from directrix.errors import MismatchError, PolicyError

if TYPE_CHECKING:
    from PIL import Image


class Seen(Protocol):
    """What a judge says of one attribute of one image."""

    @property
    def label(self) -> str | None: ...
    @property
    def confidence(self) -> float: ...


class Looking(Protocol):
    """A judge; see `directrix.measurement.judges`."""

    name: str

    @property
    def config(self) -> Mapping[str, Any]: ...
    def label(self, images: Sequence[Image.Image]) -> Sequence[Mapping[str, Any]]: ...


@dataclass(frozen=True)
class Preview:
    """Reads an attribute of images that are being drawn.

    Args:
        attribute: its name, as policies have it.
        labels: what the judge sees of each category.
        judge: looks; None until one is given.
    """

    attribute: str
    labels: Mapping[str, TargetLabel]
    judge: Looking | None = None

    @property
    def categories(self) -> tuple[str, ...]:
        """Those that it tells apart."""
        return tuple(self.labels)

    def looking(self) -> Looking:
        """The judge; PolicyError where none was given."""
        if self.judge is None:
            raise PolicyError(
                f"A judge is to read '{self.attribute}' half-way, and none is given.",
                "a judge that knows it.",
                "--judge emoji or --judge clip; in Python policy.read_by(judge).",
            )
        return self.judge

    def digest(self) -> str:
        """Sixteen hexadecimal digits that stand for the judge and the labels."""
        judge = None if self.judge is None else {"name": self.judge.name, **self.judge.config}
        described = {"judge": judge, "labels": {name: str(label) for name, label in self.labels.items()}}
        return hashlib.sha256(json.dumps(described, sort_keys=True, default=str).encode()).hexdigest()[:16]

    def likelihood(self, verdict: Mapping[str, Seen]) -> dict[str, float]:
        """How likely an image shows each category, in [0, 1]: the judge's confidence, and the others share the rest.

        Where it sees none of them, they share what its confidence leaves; where it is not sure, all are alike.
        MismatchError for a judge of other attributes.
        """
        unknown = {label.attribute for label in self.labels.values()} - set(verdict)
        if unknown:
            raise MismatchError(
                f"The judge does not know '{min(unknown)}', by which '{self.attribute}' is read half-way.",
                "the judge that the directions were calibrated by.",
                "another judge, or probes: directrix fit-probe --closed-loop.",
            )
        even = 1 / len(self.labels)
        seen = [verdict[label.attribute] for label in self.labels.values()]
        shown = [name for name, label in self.labels.items() if label.shown(verdict)]
        if not shown and all(each.label is not None for each in seen):
            even *= 1 - min(each.confidence for each in seen)
        if len(shown) != 1:
            return dict.fromkeys(self.labels, round(even, 4))
        sure = max(verdict[self.labels[shown[0]].attribute].confidence, even)
        rest = (1 - sure) / max(1, len(self.labels) - 1)
        return {name: round(sure if name == shown[0] else rest, 4) for name in self.labels}


def seen_of(previews: Mapping[str, Preview], images: Sequence[Image.Image]) -> list[dict[str, dict[str, float]]]:
    """Of each image, by attribute, how likely each category is; a judge of several attributes looks once."""
    judges = {id(judge): judge for judge in (each.looking() for each in previews.values())}
    verdicts = {key: judge.label(images) for key, judge in judges.items()} if images else {}
    return [
        {name: each.likelihood(verdicts[id(each.looking())][place]) for name, each in previews.items()}
        for place in range(len(images))
    ]
