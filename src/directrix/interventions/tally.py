"""Who gets which row of a quota, so that the fewest images must be changed.

With P[n, m] how likely image n shows the categories of row m by itself, rows are dealt out by

    max sum_n P[n, row(n)]        over all one-to-one assignments (scipy.optimize.linear_sum_assignment)

A group need not be drawn at once: what earlier images took of its quota is gone for later ones, so that of images one
at a time each is left as it is until the count asks for another.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence

# Of what was read of an image, by attribute: how likely each category is.
Reading = Mapping[str, Mapping[str, float]]
# Of two rows that fit an image alike, it gets the one that fewer images fit; less than any likelihood counts.
_RARE = 1e-3


class Tally:
    """What the images of a run were dealt, and what was read of them, by their places in the run.

    Args:
        groups: of each image of the run the group that it is of.
        rows: of each image a row of its group's quota, a category by attribute; empty for an image that is left.
    """

    def __init__(self, groups: Sequence[Hashable], rows: Sequence[Mapping[str, str]]) -> None:
        self.rows = tuple(map(dict, rows))
        self.groups = tuple(groups)
        self._members: dict[Hashable, list[int]] = defaultdict(list)
        for place, group in enumerate(self.groups):
            self._members[group].append(place)
        self._quotas: dict[Hashable, Counter[tuple[tuple[str, str], ...]]] = {}
        self.dealt: dict[int, Mapping[str, str]] = {}
        self.readings: dict[int, Reading] = {}

    def quota(self, group: Hashable) -> Counter[tuple[tuple[str, str], ...]]:
        """How many images of a group get each row."""
        if group not in self._quotas:
            self._quotas[group] = Counter(tuple(self.rows[place].items()) for place in self._members[group])
        return self._quotas[group]

    def left(self, group: Hashable) -> Counter[tuple[tuple[str, str], ...]]:
        """How many images of a group each row is still for."""
        dealt = (tuple(self.dealt[place].items()) for place in self._members[group] if place in self.dealt)
        return self.quota(group) - Counter(dealt)

    def quotas(self, images: Sequence[int]) -> list[list[tuple[dict[str, str], int]]]:
        """The quotas of these images' groups, each in an order that does not depend on that of its images."""
        groups = dict.fromkeys(self.groups[image] for image in images)
        return [[(dict(row), count) for row, count in sorted(self.quota(each).items())] for each in groups]

    def deal(self, images: Sequence[int], readings: Sequence[Reading]) -> None:
        """Deals each of these images a row, of what others have left."""
        by_group: dict[Hashable, list[int]] = defaultdict(list)
        for image, reading in zip(images, readings, strict=True):
            self.dealt.pop(image, None)
            self.readings[image] = reading
            by_group[self.groups[image]].append(image)
        for group, members in by_group.items():
            self._deal(group, members)

    def _deal(self, group: Hashable, members: Sequence[int]) -> None:
        import numpy as np
        from scipy.optimize import linear_sum_assignment

        places, left = self._members[group], self.left(group)
        rows = [dict(row) for row, count in left.items() for _ in range(min(count, len(members)))]
        known = [self.readings[each] for each in places if each in self.readings]
        often = {row: np.mean([_likelihood(dict(row), each) for each in known]) for row in left}
        gains = [
            [_likelihood(row, self.readings[each]) - _RARE * often[tuple(row.items())] for row in rows]
            for each in members
        ]
        for member, chosen in zip(*linear_sum_assignment(np.array(gains), maximize=True), strict=True):
            self.dealt[members[member]] = rows[chosen]


def _likelihood(row: Mapping[str, str], reading: Reading) -> float:
    """That an image shows a row's categories by itself; a category that is not read leaves the image as it is."""
    product = 1.0
    for attribute, category in row.items():
        product *= reading[attribute].get(category, 1.0)
    return product
