"""How far the categories of a set of images are from a distribution that one wants.

With p_c the share of category c of C and q_c the wanted one:

    total variation   1/2 sum_c |p_c - q_c|          in [0, 1]; the share of images that would have to change
    L2 distance       sqrt(sum_c (p_c - q_c)^2)      in [0, sqrt 2]; "FD", fairness discrepancy, of fairness papers
    entropy           -sum_c p_c log p_c / log C     in [0, 1]; 1 is an even mix, 0 a single category

Sampling noise makes both distances positive and the entropy smaller than 1 even where the shares are right, so
compare figures of the same number of images only.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import product

from directrix.errors import DirectrixError

JOINT = " x "


def target_distance(counts: Mapping[str, int], target: Mapping[str, float]) -> float:
    """Total variation between the shares of `counts` and `target`, in [0, 1]; 0 is the target itself.

    `target` gives every category its share; the shares sum to 1. Raises DirectrixError for shares that do not, for a
    count outside the target's categories, a negative count, or no image.
    """
    shares = shares_of(counts, _checked(target))
    return min(1.0, sum(abs(shares[category] - wanted) for category, wanted in target.items()) / 2)


def l2_distance(counts: Mapping[str, int], target: Mapping[str, float]) -> float:
    """Euclidean distance between the shares of `counts` and `target`, in [0, sqrt 2]. Errors: as target_distance."""
    shares = shares_of(counts, _checked(target))
    return math.sqrt(sum((shares[category] - wanted) ** 2 for category, wanted in target.items()))


def entropy(counts: Mapping[str, int], categories: Sequence[str]) -> float:
    """Entropy of the shares over that of an even mix, in [0, 1]; higher is more even.

    Raises DirectrixError for fewer than two categories or two alike, a count outside them, a negative count, or no
    image.
    """
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
