"""The target label of a concept: what a judge sees where the concept is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


class Labelled(Protocol):
    """What a judge says of one attribute of one image: a category, or None where it is not sure."""

    @property
    def label(self) -> str | None: ...


@dataclass(frozen=True)
class TargetLabel:
    """What a judge sees where a concept is there: ``label`` of ``attribute``, or for an anti-concept, not it."""

    attribute: str
    label: str
    present: bool = True

    def shown(self, verdict: Mapping[str, Labelled]) -> bool:
        """Whether an image shows the concept; an unscored one does not."""
        label = verdict[self.attribute].label
        return label is not None and (label == self.label) == self.present

    def __str__(self) -> str:
        return f"{self.attribute} {'is' if self.present else 'is not'} {self.label}"
