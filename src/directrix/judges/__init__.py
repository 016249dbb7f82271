"""Judges look at pictures and say what they show, or that they cannot tell."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from PIL import Image


class Verdict(NamedTuple):
    """What a judge says of one attribute of one picture.

    ``label`` is None where the picture is unscored, and ``reason`` then says why. ``confidence`` is in 0..1.
    """

    label: str | None
    confidence: float
    reason: str | None = None


class Judge(Protocol):
    """Pictures to verdicts by attribute, one mapping a picture, in order."""

    name: str

    def label(self, images: Sequence[Image.Image]) -> list[Mapping[str, Verdict]]:
        """Judge every picture."""
        ...
