"""Deviation ratio: how far a group of pictures is from an even mix of categories.

With N_c of N pictures in category c of C,

    D = max_c |N_c / N - 1/C| / (1 - 1/C)

0 is an even mix, 1 is a single category; lower is fairer. It has no unit. Sampling noise alone makes it
positive: 20 pictures from a fair coin give .18 on average, so compare figures of the same N only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from directrix.errors import DirectrixError
from directrix.metrics.intervals import Interval, bootstrap


def deviation_ratio(counts: Mapping[str, int], categories: Sequence[str]) -> float:
    """Return D in [0, 1] for `counts` (pictures by category); a category without a count has 0.

    Pictures without a label do not belong in `counts`: they are neither in one category nor in another.
    Raises DirectrixError for fewer than two categories, a count outside them, a negative count, or no
    picture.
    """
    if len(set(categories)) < 2 or len(set(categories)) != len(categories):
        raise DirectrixError(
            f"A deviation ratio over {list(categories)!r} was asked for.",
            "two or more, all different.",
            "name every category the pictures can fall into, also those that no picture shows.",
        )
    unknown = sorted(set(counts) - set(categories), key=str)
    if unknown:
        raise DirectrixError(
            f"The counts have categories that are not among {list(categories)!r}: {unknown!r}.",
            "counts of the named categories only.",
            "leave unlabelled pictures out, or add the category.",
        )
    if any(count < 0 for count in counts.values()):
        raise DirectrixError(
            f"A count is negative: {dict(counts)!r}.",
            "counts of 0 or more.",
            "count pictures, not differences.",
        )
    total = sum(counts.values())
    if total == 0:
        raise DirectrixError(
            "A deviation ratio of no pictures was asked for.",
            "at least one picture with a label.",
            "draw more pictures, or see why the judge left all of them unscored.",
        )
    even = 1 / len(categories)
    return max(abs(counts.get(c, 0) / total - even) for c in categories) / (1 - even)


def mean_deviation_ratio(
    labels: Mapping[str, Sequence[str | None]], categories: Sequence[str], *, seed: int = 0
) -> Interval:
    """Return the mean of D over groups (occupations, say), each group counting the same.

    `labels` holds the labels of every group's pictures; None is a picture left unscored, which is not
    counted. The 95 % interval comes from drawing whole groups again (a cluster bootstrap): it says what other
    groups of the same kind would give. `n` is the number of scored pictures. Groups with no scored picture
    raise DirectrixError, since neither 0 nor leaving them out would be right.
    """
    scored = {group: [label for label in row if label is not None] for group, row in labels.items()}
    empty = [group for group, row in scored.items() if not row]
    if empty:
        raise DirectrixError(
            f"No picture of {', '.join(map(repr, empty))} has a label.",
            "at least one scored picture in every group.",
            "draw more pictures of it, or leave the group out by name.",
        )

    def mean(groups: Sequence[Sequence[str]]) -> float:
        return sum(deviation_ratio(Counter(row), categories) for row in groups) / len(groups)

    return bootstrap(scored, mean, seed=seed)
