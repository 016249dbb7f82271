"""Deviation ratio: how far a group of images is from an even mix of categories.

With N_c of N images in category c of C,

    D = max_c |N_c / N - 1/C| / (1 - 1/C)

0 is an even mix, 1 is a single category; lower is fairer. It has no unit. Sampling noise alone makes it
positive: 20 images from a fair coin give .18 on average, so compare figures of the same N only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from directrix.errors import DirectrixError
from directrix.measurement.metrics.distribution import check_categories, shares_of
from directrix.measurement.metrics.intervals import Interval, bootstrap, mean_over_clusters, proportion

Labels = Mapping[str, Sequence[str | None]]


def deviation_ratio(counts: Mapping[str, int], categories: Sequence[str]) -> float:
    """Return D in [0, 1] for `counts` (images by category); a category without a count has 0.

    Images without a label do not belong in `counts`: they are neither in one category nor in another. Raises
    DirectrixError for fewer than two categories or two alike, a count outside them, a negative count, or no image.
    """
    even = 1 / len(check_categories(categories))
    return max(abs(share - even) for share in shares_of(counts, categories).values()) / (1 - even)


def deviation_ratios(labels: Labels, categories: Sequence[str]) -> dict[str, Interval]:
    """Return D of every group (occupation, say).

    The 95 % interval follows from Wilson's intervals of the categories' shares: the largest and the least D that they
    allow. So it says something for a group whose images are all alike, too. `n` is the number of scored images.
    Raises DirectrixError as mean_deviation_ratio does.
    """
    counts = {group: Counter(row) for group, row in scored(labels).items()}
    return {group: _with_bounds(row, categories, comparisons=1) for group, row in counts.items()}


def worst_deviation_ratio(labels: Labels, categories: Sequence[str]) -> Interval:
    """Return the largest D of all groups.

    The largest of many noisy figures lies above the true largest. Its interval: nothing speaks against the true one
    being as high as the highest upper bound of a group, and every group's lower bound, widened so that all of them
    hold at once with 95 % (Bonferroni), is below it. `n` is the number of scored images. Raises DirectrixError as
    mean_deviation_ratio does.
    """
    counts = [Counter(row) for row in scored(labels).values()]
    bounds = [_with_bounds(row, categories, comparisons=len(counts)) for row in counts]
    value, low, high = (max(each[part] for each in bounds) for part in range(3))
    return Interval(value, low, high, sum(each.n for each in bounds))


def mean_deviation_ratio(labels: Labels, categories: Sequence[str], *, seed: int = 0) -> Interval:
    """Return the mean of D over groups (occupations, say), each group counting the same.

    `labels` holds the labels of every group's images; None is an image left unscored, which is not
    counted. The 95 % interval comes from drawing whole groups again (a cluster bootstrap): it says what other
    groups of the same kind would give. `n` is the number of scored images. Groups with no scored image
    raise DirectrixError, since neither 0 nor leaving them out would be right.
    """
    return mean_over_groups(labels, lambda counts: deviation_ratio(counts, categories), seed=seed)


def mean_over_groups(labels: Labels, figure: Callable[[Mapping[str, int]], float], *, seed: int = 0) -> Interval:
    """Return the mean over groups of any figure of a group's counts, such as target_distance or entropy.

    Interval, `n` and errors are those of mean_deviation_ratio.
    """
    return bootstrap(scored(labels), mean_over_clusters(lambda row: figure(Counter(row))), seed=seed)


def scored(labels: Labels) -> dict[str, list[str]]:
    """The labels without unscored images. Raises DirectrixError without a group, or where one has no label."""
    retained = {group: [label for label in row if label is not None] for group, row in labels.items()}
    empty = [group for group, row in retained.items() if not row]
    if empty or not retained:
        raise DirectrixError(
            f"No image of {', '.join(map(repr, empty)) or 'any group'} has a label.",
            "at least one scored image in every group.",
            "draw more images of it, or leave the group out by name.",
        )
    return retained


def _with_bounds(counts: Mapping[str, int], categories: Sequence[str], comparisons: int) -> Interval:
    """D with the bounds that the shares' intervals allow; the lower one holds in all comparisons at once."""
    value = deviation_ratio(counts, categories)
    total, even = sum(counts.values()), 1 / len(categories)
    # D is at least what any category says, so for the lower bound all of them must hold; two say the same.
    together = comparisons * (len(categories) if len(categories) > 2 else 1)
    low = high = 0.0
    for category in categories:
        wide = proportion(counts.get(category, 0), total, confidence=1 - 0.05 / together)
        share = proportion(counts.get(category, 0), total)
        low = max(low, wide.low - even, even - wide.high)
        high = max(high, share.high - even, even - share.low)
    scale = 1 - even
    return Interval(value, min(low / scale, value), max(high / scale, value), total)
