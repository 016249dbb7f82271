"""Judges look at pictures and say what they show, or that they cannot tell."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from PIL import Image

from directrix.measurement.judges.registry import load as load


class Verdict(NamedTuple):
    """What a judge says of one attribute of one picture.

    ``label`` is None where the picture is unscored, and ``reason`` then says why. ``confidence`` is in 0..1.
    """

    label: str | None
    confidence: float
    reason: str | None = None


class Judge(Protocol):
    """Pictures to verdicts by attribute, one mapping a picture, in order.

    A picture that cannot be read is unscored with a reason in every attribute; no picture makes a judge raise.
    """

    name: str

    @property
    def config(self) -> Mapping[str, Any]:
        """What makes up the judge, as JSON: detector, version, classes, thresholds, checkpoint, hash of the weights."""
        ...

    def label(self, images: Sequence[Image.Image]) -> list[Mapping[str, Verdict]]:
        """Judge every picture."""
        ...
