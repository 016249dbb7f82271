"""The same seeds drawn twice, unsteered and steered, what a judge saw in them, and each side's figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from directrix.measurement.metrics import Interval, deviation_ratio, mean_deviation_ratio, proportion

if TYPE_CHECKING:
    from PIL.Image import Image

SIDES = ("unsteered", "steered")
# The judge's words for the attributes that are made even.
CATEGORIES: Mapping[str, tuple[str, ...]] = {"gender": ("female", "male"), "tone": ("light", "brown", "dark")}


@dataclass(frozen=True)
class Picture:
    """One picture, what it was steered to (nothing: unsteered), and the judge's labels; None is unscored."""

    image: Image
    number: int
    steered_to: tuple[str, ...]
    labels: Mapping[str, str | None]


@dataclass(frozen=True)
class Comparison:
    """A prompt, the subject that the judge should see in it, and its pictures; equal numbers share a seed."""

    prompt: str
    subject: str
    unsteered: Sequence[Picture]
    steered: Sequence[Picture]

    def side(self, name: str) -> Sequence[Picture]:
        """Return the pictures of "unsteered" or "steered"."""
        return self.unsteered if name == "unsteered" else self.steered


def counts(pictures: Sequence[Picture], attribute: str) -> dict[str, int]:
    """Return how many pictures show each category of "gender" or "tone", in the order of CATEGORIES."""
    seen = Counter(picture.labels.get(attribute) for picture in pictures)
    return {category: seen[category] for category in CATEGORIES[attribute]}


def deviation(pictures: Sequence[Picture], attribute: str) -> float | None:
    """Return the deviation ratio of some pictures, None where the judge scored none of them."""
    found = counts(pictures, attribute)
    return deviation_ratio(found, CATEGORIES[attribute]) if any(found.values()) else None


def mean_deviation(comparisons: Sequence[Comparison], side: str, attribute: str) -> Interval | None:
    """Return the mean deviation ratio over prompts; prompts without a scored picture are left out of it."""
    labels = {
        one.prompt: [c for c, count in counts(one.side(side), attribute).items() for _ in range(count)]
        for one in comparisons
    }
    scored = {prompt: row for prompt, row in labels.items() if row}
    return mean_deviation_ratio(scored, CATEGORIES[attribute]) if scored else None


def summary(comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """Return the figures of both sides as JSON values.

    An unscored picture is in no count of gender or tone; for the subject it counts as not recognised, since a
    picture that became unreadable must not raise the accuracy.
    """
    return {side: _side(comparisons, side) for side in SIDES}


def _side(comparisons: Sequence[Comparison], side: str) -> dict[str, Any]:
    means = {attribute: mean_deviation(comparisons, side, attribute) for attribute in CATEGORIES}
    pictures = [picture for one in comparisons for picture in one.side(side)]
    rows = {one.prompt: _prompt(one, side) for one in comparisons}
    right = sum(row["subject_right"] for row in rows.values())
    return {
        "deviation_ratio": {key: mean.as_dict() if mean else None for key, mean in means.items()},
        "subject_accuracy": proportion(right, len(pictures)).as_dict(),
        "images": len(pictures),
        "unscored": {
            "subject": sum(picture.labels.get("subject") is None for picture in pictures),
            # A judge that sees no person at all answers with a word of its own, which is no category either.
            **{attribute: len(pictures) - sum(counts(pictures, attribute).values()) for attribute in CATEGORIES},
        },
        "by_prompt": rows,
    }


def _prompt(one: Comparison, side: str) -> dict[str, Any]:
    pictures = one.side(side)
    ratios = {attribute: deviation(pictures, attribute) for attribute in CATEGORIES}
    return {
        "counts": {attribute: counts(pictures, attribute) for attribute in CATEGORIES},
        "deviation_ratio": {key: None if ratio is None else round(ratio, 4) for key, ratio in ratios.items()},
        "subject_right": sum(picture.labels.get("subject") == one.subject for picture in pictures),
        "images": len(pictures),
    }
