"""Who gets which row of a quota, so that the fewest images must be changed.

A row gives an image a category of each attribute. With P[n, m] how likely image n shows the categories of row m by
itself, rows are dealt out by

    max sum_n P[n, row(n)]        so that each attribute's categories come as often as its quota has them

(scipy.optimize.milp). Of the assignments that change as few, it is the one whose rows are most evenly combined: images
that must change anyway get the combinations that are missing.

A group need not be drawn at once: what earlier images took of its quota is gone for later ones, so that of images one
at a time each is left as it is until the count asks for another.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

from directrix.interventions.reading import Reading

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Of two rows that fit an image alike, it gets the one that fewer images fit; less than any likelihood counts.
_RARE = 1e-3
# What an image counts that makes a row come more often than an even combination has it; less than that.
_UNEVEN = 1e-4


class Tally:
    """What the images of a run were dealt, and what was read of them, by their places in the run.

    Args:
        groups: of each image of the run the group that it is of.
        rows: of each image a row of its group's quota, a category by attribute; empty for an image that is left.
        named: by group, the attributes whose category its prompt names itself.
    """

    def __init__(
        self,
        groups: Sequence[Hashable],
        rows: Sequence[Mapping[str, str]],
        named: Mapping[Any, Collection[str]] | None = None,
    ) -> None:
        self.rows = tuple(map(dict, rows))
        self._named = dict(named or {})
        self.groups = tuple(groups)
        self._members: dict[Hashable, list[int]] = defaultdict(list)
        for place, group in enumerate(self.groups):
            self._members[group].append(place)
        self._quotas: dict[Hashable, Counter[tuple[tuple[str, str], ...]]] = {}
        self.dealt: dict[int, Mapping[str, str]] = {}
        self.readings: dict[int, Reading] = {}

    def named(self, image: int) -> Collection[str]:
        """The attributes whose category an image's prompt names itself."""
        return self._named.get(self.groups[image], ())

    def quota(self, group: Hashable) -> Counter[tuple[tuple[str, str], ...]]:
        """How many images of a group get each row."""
        if group not in self._quotas:
            self._quotas[group] = Counter(tuple(self.rows[place].items()) for place in self._members[group])
        return self._quotas[group]

    def left(self, group: Hashable) -> Counter[tuple[tuple[str, str], ...]]:
        """How many images of a group each row is still for; below 0 for one that came more often."""
        left = Counter(self.quota(group))
        left.subtract(tuple(self.dealt[place].items()) for place in self._members[group] if place in self.dealt)
        return left

    def margins(self, group: Hashable) -> dict[str, dict[str, int]]:
        """By attribute, how many images of a group each category is still for."""
        margins: dict[str, dict[str, int]] = {}
        for row, count in sorted(self.left(group).items()):
            for attribute, category in row:
                counts = margins.setdefault(attribute, {})
                counts[category] = counts.get(category, 0) + count
        return margins

    def rest(self, group: Hashable) -> list[dict[str, str]]:
        """Rows that fill what is left of a group's quota."""
        margins = self.margins(group)
        columns = ([name for name, count in counts.items() for _ in range(count)] for counts in margins.values())
        return [dict(zip(margins, each, strict=True)) for each in zip(*columns, strict=True)]

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

        places, left = self._members[group], self.left(group)
        margins = self.margins(group)
        rows = [dict(zip(margins, each, strict=True)) for each in product(*margins.values())]
        known = [self.readings[each] for each in places if each in self.readings]
        likely = np.array([[likelihood(row, self.readings[each]) for row in rows] for each in members])
        often = np.array([np.mean([likelihood(row, each) for each in known]) for row in rows])
        uses = np.array([[row[name] == each for row in rows] for name, counts in margins.items() for each in counts])
        most = [count for counts in margins.values() for count in counts.values()]
        chosen = _assigned(likely - _RARE * often, uses, most, [left[tuple(row.items())] for row in rows])
        for member, row in zip(members, chosen, strict=True):
            self.dealt[member] = rows[row]


def _assigned(
    gains: NDArray[np.floating], uses: NDArray[np.bool_], most: Sequence[int], even: Sequence[int]
) -> list[int]:
    """A row for each image, of the largest sum of gains.

    gains: (N, M), of each image and row. uses: (Q, M), which rows count in each of the quotas. most: (Q,), images of
    each quota. even: (M,), how often each row comes if they are combined evenly.
    """
    import numpy as np
    from scipy.optimize import Bounds, LinearConstraint, milp

    images, rows = gains.shape
    own, each = np.kron(np.eye(images), np.ones(rows)), np.kron(np.ones(images), np.eye(rows))
    # Beside which image gets which row: by how many images each row comes more often than evenly, up to one, and more.
    beyond = np.vstack([np.zeros((images + len(uses), 2 * rows)), -np.kron(np.ones(2), np.eye(rows))])
    high: Any = [np.ones(images), most, even]
    found = milp(
        np.concatenate([-gains.ravel(), np.repeat([_UNEVEN, 3 * _UNEVEN], rows)]),
        constraints=LinearConstraint(
            np.hstack([np.vstack([own, uses @ each, each]), beyond]),
            np.repeat([1.0, -np.inf], [images, len(uses) + rows]),  # pyright: ignore[reportArgumentType]
            np.concatenate(high),  # pyright: ignore[reportArgumentType]
        ),
        integrality=np.repeat([1, 0], [images * rows, 2 * rows]),
        bounds=Bounds(0.0, np.repeat([1.0, np.inf], [(images + 1) * rows, rows])),  # pyright: ignore[reportArgumentType]
        options={"mip_rel_gap": 0.0},
    )
    return [int(place) for place in found.x[: images * rows].reshape(images, rows).argmax(axis=1)]


def likelihood(row: Mapping[str, str], reading: Reading) -> float:
    """How likely it is that an image shows a row's categories; one that is not read leaves the image as it is."""
    product = 1.0
    for attribute, category in row.items():
        product *= reading[attribute].get(category, 1.0)
    return product
