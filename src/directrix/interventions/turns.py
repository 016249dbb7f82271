"""From which step on, and how strongly, a closed loop steers an image that it draws again, turn by turn.

The later the steering begins, the more of an image stays as it was; the earlier, the surer it acts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

# Where a judge looks at what was drawn: of each turn the share of the steps from which on images are steered, and the
# multiple of their strengths.
LOOKED_AT = ((0.2, 1.0), (0.1, 1.0), (0.0, 1.0), (0.0, 1.5))
# Where nobody does: the turn that suffices for nearly all.
UNSEEN = ((0.0, 1.0),)


def distinct(turns: Sequence[tuple[float, float]], start: float, steps: int | None) -> list[tuple[float, float]]:
    """The turns from a start on, without those that begin at the very step of the one before.

    steps: of a drawing; None for many.
    """
    begun: dict[tuple[int, float], float] = {}
    for share, factor in turns:
        first = max(share, start)
        begun.setdefault((math.ceil(round(first * (steps or 1000), 6)), factor), first)
    return [(first, factor) for (_, factor), first in begun.items()]
