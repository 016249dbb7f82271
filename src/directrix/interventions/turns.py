"""From which step on, and how strongly, a closed loop steers an image that it draws again, turn by turn.

The later the steering begins, the more of an image stays as it was; the earlier, the surer it acts.

A prompt that names a category can fall short of it, or go beyond: on emoji "brown-skinned" shows light skin in 3 of 10
images, in which half of the direction *less* shows brown in all. So in every second turn half of it is taken out of an
image that lacks what its prompt names.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

# Where a judge looks at what was drawn: of each turn the share of the steps from which on images are steered, the
# multiple of their strengths, and that of a category that the prompt names and the image lacks.
LOOKED_AT = ((0.2, 1.0, 1.0), (0.1, 1.0, -0.5), (0.0, 1.0, 1.0), (0.0, 1.5, -0.5))
# Where nobody does: the turn that suffices for nearly all.
UNSEEN = ((0.0, 1.0, 1.0),)


def distinct(
    turns: Sequence[tuple[float, float, float]], start: float, steps: int | None
) -> list[tuple[float, float, float]]:
    """The turns from a start on, without those that begin at the very step of the one before, as strongly.

    steps: of a drawing; None for many.
    """
    begun: dict[tuple[int, float], tuple[float, float, float]] = {}
    for share, factor, of_named in turns:
        first = max(share, start)
        begun.setdefault((math.ceil(round(first * (steps or 1000), 6)), factor), (first, factor, of_named))
    return list(begun.values())
