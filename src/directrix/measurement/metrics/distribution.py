"""How the categories of a set of images are spread: how uneven, and how far from a distribution that one wants.

With N_c of N images in category c of C, p_c = N_c / N its share and q_c the wanted one:

    deviation ratio   max_c |p_c - 1/C| / (1 - 1/C)  in [0, 1]; 0 is an even mix, 1 a single category
    total variation   1/2 sum_c |p_c - q_c|          in [0, 1]; the share of images that would have to change
    L2 distance       sqrt(sum_c (p_c - q_c)^2)      in [0, sqrt 2]; "FD", fairness discrepancy, of fairness papers
    entropy           -sum_c p_c log p_c / log C     in [0, 1]; 1 is an even mix, 0 a single category

None has a unit. Sampling noise alone makes mixes look uneven: 20 images from a fair coin have a deviation ratio of .18
on average. So compare figures of the same number of images only.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product

from directrix.errors import DirectrixError
from directrix.measurement.metrics.intervals import Interval, bootstrap, mean_over_clusters, proportion

JOINT = " x "
Labels = Mapping[str, Sequence[str | None]]


def deviation_ratio(counts: Mapping[str, int], categories: Sequence[str]) -> float:
    """D in [0, 1] for `counts`: images by category, those without a label left out.

    DirectrixError for fewer than two categories or two alike, a count outside them, a negative count, or no image.
    """
    even = 1 / len(check_categories(categories))
    return max(abs(share - even) for share in shares_of(counts, categories).values()) / (1 - even)


def deviation_ratios(labels: Labels, categories: Sequence[str]) -> dict[str, Interval]:
    """D of every group (occupation, say).

    The 95 % interval follows from Wilson's intervals of the categories' shares: the largest and the least D that they
    allow. So it says something for a group whose images are all alike, too. `n` and errors as mean_deviation_ratio.
    """
    counts = {group: Counter(row) for group, row in scored(labels).items()}
    return {group: _with_bounds(row, categories, comparisons=1) for group, row in counts.items()}


def worst_deviation_ratio(labels: Labels, categories: Sequence[str]) -> Interval:
    """The largest D of all groups.

    The largest of many noisy figures lies above the true largest. Its interval: nothing speaks against the true one
    being as high as the highest upper bound of a group, and every group's lower bound, widened so that all of them
    hold at once with 95 % (Bonferroni), is below it. `n` and errors as mean_deviation_ratio.
    """
    counts = [Counter(row) for row in scored(labels).values()]
    bounds = [_with_bounds(row, categories, comparisons=len(counts)) for row in counts]
    value, low, high = (max(each[part] for each in bounds) for part in range(3))
    return Interval(value, low, high, sum(each.n for each in bounds))


def mean_deviation_ratio(labels: Labels, categories: Sequence[str], *, seed: int = 0) -> Interval:
    """The mean of D over groups (occupations, say), each group counting the same.

    `labels` holds the labels of every group's images; None is an image left unscored, which is not counted. The 95 %
    interval comes from drawing whole groups again: what other groups of the same kind would give. `n` is the number of
    scored images. DirectrixError for a group without any, since neither 0 nor leaving it out would be right.
    """
    return mean_over_groups(labels, lambda counts: deviation_ratio(counts, categories), seed=seed)


def mean_over_groups(labels: Labels, figure: Callable[[Mapping[str, int]], float], *, seed: int = 0) -> Interval:
    """As mean_deviation_ratio for any figure of a group's counts, such as target_distance or entropy."""
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


def target_distance(counts: Mapping[str, int], target: Mapping[str, float]) -> float:
    """Total variation between the shares of `counts` and `target`, in [0, 1]; 0 is the target itself.

    DirectrixError for shares that do not sum to 1, a count outside their categories, a negative count, or no image.
    """
    shares = shares_of(counts, _checked(target))
    return min(1.0, sum(abs(shares[category] - wanted) for category, wanted in target.items()) / 2)


def l2_distance(counts: Mapping[str, int], target: Mapping[str, float]) -> float:
    """Euclidean distance between the shares of `counts` and `target`, in [0, sqrt 2]. Errors: as target_distance."""
    shares = shares_of(counts, _checked(target))
    return math.sqrt(sum((shares[category] - wanted) ** 2 for category, wanted in target.items()))


def entropy(counts: Mapping[str, int], categories: Sequence[str]) -> float:
    """Entropy of the shares over that of an even mix, in [0, 1]; higher is more even. Errors: as deviation_ratio."""
    shares = shares_of(counts, check_categories(categories)).values()
    found = -sum(share * math.log(share) for share in shares if share > 0) / math.log(len(categories))
    return min(1.0, max(0.0, found))


def joint_categories(attributes: Mapping[str, Sequence[str]]) -> list[str]:
    """Every combination of categories, "female x light", in the order of the attributes."""
    return [JOINT.join(each) for each in product(*attributes.values())]


def joint_label(row: Mapping[str, str | None], attributes: Iterable[str]) -> str | None:
    """The combination that an image shows; None where it is unscored in one of the attributes."""
    found = [row.get(name) for name in attributes]
    return None if None in found else JOINT.join(map(str, found))


def check_categories(categories: Sequence[str]) -> Sequence[str]:
    """The categories. Raises DirectrixError for fewer than two, or two alike."""
    if len(categories) < 2 or len(set(categories)) != len(categories):
        raise DirectrixError(
            f"The categories are {list(categories)!r}.",
            "two or more, all different.",
            "name every category that the images can fall into, also those that no image shows.",
        )
    return categories


def _checked(target: Mapping[str, float]) -> Mapping[str, float]:
    shares = list(target.values())
    if not shares or not all(share >= 0 for share in shares) or abs(sum(shares) - 1) > 1e-6:
        raise DirectrixError(
            f"The target is {dict(target)!r}.", "shares of 0 or more that sum to 1.", "{'woman': 0.5, 'man': 0.5}."
        )
    return target


def shares_of(counts: Mapping[str, int], categories: Iterable[str]) -> dict[str, float]:
    """The share of every category. Raises DirectrixError for other counts, negative ones, or no image."""
    names = list(categories)
    unknown = sorted(set(counts) - set(names), key=str)
    if unknown or any(count < 0 for count in counts.values()):
        raise DirectrixError(
            f"The counts are {dict(counts)!r}.",
            f"counts that are not negative, 0 or more, of {names!r} only.",
            "leave unlabelled images out, or add the category.",
        )
    total = sum(counts.values())
    if total == 0:
        raise DirectrixError(
            "A distribution of no images was asked for.",
            "at least one image with a label.",
            "draw more images, or see why the judge left all of them unscored.",
        )
    return {name: counts.get(name, 0) / total for name in names}
