"""What a judge is: it looks at images and says what they show, or that it cannot tell.

All judges share two rules. An image that cannot be read is unscored, and so is one that the judge is unsure of.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from PIL import Image

from directrix.errors import DirectrixError

Each = TypeVar("Each")


class Verdict(NamedTuple):
    """What a judge says of one attribute of one image.

    `label` is None where the image is unscored, and `reason` then says why. `confidence` is in 0..1.
    """

    label: str | None
    confidence: float
    reason: str | None = None


Verdicts = Sequence[Mapping[str, Verdict]]
Phrases = Mapping[str, Mapping[str, str | Sequence[str]]]


class Judge(Protocol):
    """Images to verdicts by attribute, one mapping an image, in order.

    An image that cannot be read is unscored with a reason in every attribute; no image makes a judge raise. A judge may
    also have `features(images)`, float32 (N, D), for distances between images; and `held_out`, True where nothing may
    be fitted to it. What another package enters under "directrix.judges" is a class with a classmethod
    `load(**options)`, or a function, that gives a judge; where it has `ARGUMENT`, that is the option which stands
    behind the colon in "name:VALUE".
    """

    name: str

    @property
    def config(self) -> Mapping[str, Any]:
        """What makes up the judge, as JSON: detector, version, classes, thresholds, checkpoint, hash of the weights."""
        ...

    def label(self, images: Sequence[Image.Image]) -> list[Mapping[str, Verdict]]:
        """Judge every image."""
        ...


def for_fitting(judge: Judge) -> Judge:
    """The same judge. Raises DirectrixError for a held-out one, which must see nothing that was made to please it."""
    if getattr(judge, "held_out", False):
        raise DirectrixError(
            f"Nothing is fitted to this judge: the {judge.name} only measures.",
            "another judge for directions, probes, calibration and compensation.",
            "judges.load('emoji'), or --judge emoji.",
        )
    return judge


def stranger(judge: Any, model: str, known: Iterable[str]) -> str | None:
    """A warning where a judge knows other images than those of the model of this name; None where it may judge them.

    known: names of the models whose images a judge of one world knows.
    """
    world = getattr(judge, "WORLD", None)
    if world is None or model in known:
        return None
    return (
        f"The {judge.name} knows images of {world} alone; what it says of images of '{model}' means nothing. "
        "--judge clip names another one."
    )


class ChanceJudge:
    """A judge whose network gives each label of an attribute a chance.

    labels: the names by attribute. sure: an image whose best label has a smaller chance is unscored.
    """

    labels: Mapping[str, Any]
    sure = 0.5

    def label(self, images: Sequence[Image.Image]) -> list[Mapping[str, Verdict]]:
        """A verdict for every attribute of every image; `confidence` is the best label's chance."""
        found = [_rgb(image) for image in images]
        readable = [each for each in found if not isinstance(each, str)]
        verdicts = iter(self.verdicts(readable) if readable else ())
        return [
            {name: Verdict(None, 0.0, each) for name in self.labels} if isinstance(each, str) else next(verdicts)
            for each in found
        ]

    def verdicts(self, images: Sequence[Image.Image]) -> Verdicts:
        """The verdicts of images that can be read, in RGB."""
        chances = self.chances(images)
        rows = zip(*(each.tolist() for each in chances.values()), strict=True)
        names = {attribute: tuple(self.labels[attribute]) for attribute in chances}
        return [
            {name: best(row, names[name], self.sure) for name, row in zip(names, each, strict=True)} for each in rows
        ]

    def chances(self, images: Sequence[Image.Image]) -> Mapping[str, Any]:
        """Chances of the labels by attribute, float32 (N, labels) in 0..1, on the CPU."""
        raise NotImplementedError


def best(chances: Sequence[float], names: Sequence[str], sure: float) -> Verdict:
    """The name with the largest chance; unscored where that is below `sure`, or no number."""
    if not all(map(math.isfinite, chances)):
        return Verdict(None, 0.0, "the network gave no number")
    index = max(range(len(chances)), key=chances.__getitem__)
    confidence = round(chances[index], 4)
    if confidence < sure:
        return Verdict(None, confidence, f"unsure: {names[index]} at {confidence:.2f}")
    return Verdict(names[index], confidence)


def batches(images: Sequence[Each], size: int) -> list[Sequence[Each]]:
    """Slices of so many at the most, in order."""
    return [images[first : first + size] for first in range(0, len(images), size)]


def checked_phrases(attributes: Phrases) -> dict[str, dict[str, list[str]]]:
    """By attribute and label, the phrases. DirectrixError: no attribute, fewer than two labels, an empty phrase."""
    wrong, found = "There is no attribute to judge." if not attributes else "", {}
    for attribute, labels in attributes.items():
        if not isinstance(labels, Mapping) or len(labels) < 2:
            wrong = wrong or f"The attribute '{attribute}' has fewer than two labels: {labels!r}."
            continue
        found[attribute] = {label: [each] if isinstance(each, str) else list(each) for label, each in labels.items()}
        for label, phrases in found[attribute].items():
            if not phrases or not all(isinstance(each, str) and each.strip() for each in phrases):
                wrong = wrong or f"The label '{label}' of the attribute '{attribute}' has an empty phrase: {phrases!r}."
    if wrong:
        raise DirectrixError(
            wrong,
            "attributes, each with two or more labels, each label with a phrase or several.",
            '{"gender": {"female": "a woman", "male": "a man"}}.',
        )
    return found


def _rgb(image: Image.Image) -> Image.Image | str:
    """The image without its transparency, or why there is none."""
    try:
        converted = image.convert("RGB")
    except Exception as error:
        # Pillow reads files late, and its decoders raise whatever a damaged file makes them raise.
        return f"unreadable: {error or type(error).__name__}"
    return converted if converted.width and converted.height else "unreadable: it has no pixels"
