"""What all judges share: a picture that cannot be read is unscored, and so is one that the judge is unsure of."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from PIL import Image

from directrix.measurement.judges import Verdict

Judging = Callable[[list[Image.Image]], list[Mapping[str, Verdict]]]


def judged(images: Sequence[Image.Image], attributes: Iterable[str], label: Judging) -> list[Mapping[str, Verdict]]:
    """The verdicts of ``label`` for all pictures that can be read, in RGB; the others unscored, in their places."""
    found = [_rgb(image) for image in images]
    verdicts = iter(label([each for each in found if not isinstance(each, str)]))
    names = tuple(attributes)
    return [
        {name: Verdict(None, 0.0, each) for name in names} if isinstance(each, str) else next(verdicts)
        for each in found
    ]


def best(chances: Sequence[float], names: Sequence[str], sure: float) -> Verdict:
    """The name with the largest chance; unscored where that is below ``sure``, or no number."""
    if not all(map(math.isfinite, chances)):
        return Verdict(None, 0.0, "the network gave no number")
    index = max(range(len(chances)), key=chances.__getitem__)
    confidence = round(chances[index], 4)
    if confidence < sure:
        return Verdict(None, confidence, f"unsure: {names[index]} at {confidence:.2f}")
    return Verdict(names[index], confidence)


def _rgb(image: Image.Image) -> Image.Image | str:
    """The picture without its transparency, or why there is none."""
    try:
        picture = image.convert("RGB")
    except Exception as error:
        # Pillow reads files late, and its decoders raise whatever a damaged file makes them raise.
        return f"unreadable: {error or type(error).__name__}"
    return picture if picture.width and picture.height else "unreadable: it has no pixels"
