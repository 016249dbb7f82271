"""How far a set of images is from a reference, in any features.

Fréchet distance (FID, where the features are Inception's): with means m and covariances C (over N - 1) of two sets,

    |m_a - m_b|^2 + tr(C_a) + tr(C_b) - 2 tr((C_a C_b)^(1/2))

Kernel distance (KID): the unbiased estimate of the squared maximum mean discrepancy with the kernel (x·y / D + 1)^3, as
in Bińkowski et al. (2018), "Demystifying MMD GANs". Both are torchmetrics', of any features (N, D).

Lower is more alike for both, and neither has a unit: figures of different features are not comparable. FID is biased
upward by few images, and more so where N is not far above D; compare figures of the same N only. KID has no bias, so
it may be a little below 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from directrix.errors import DirectrixError, MismatchError
from directrix.measurement.metrics import Interval
from directrix.measurement.metrics.intervals import percentile_interval


def fid(features_a: ArrayLike, features_b: ArrayLike) -> float:
    """Fréchet distance of two sets of features, (N, D) and (M, D), 0 or more; lower is more alike.

    MismatchError for other shapes, fewer than two rows, or a number that is not finite.
    """
    import torch
    from torchmetrics.image.fid import FrechetInceptionDistance

    a, b = _checked(features_a, features_b)
    # The features are there already: what would find them is the identity.
    given: Any = torch.nn.Identity()
    given.num_features = a.shape[1]
    metric = FrechetInceptionDistance(feature=given)
    metric.update(torch.from_numpy(a), real=True)
    metric.update(torch.from_numpy(b), real=False)
    return max(0.0, float(metric.compute()))


def kid(
    features_a: ArrayLike, features_b: ArrayLike, subsets: int = 100, subset_size: int | None = None, seed: int = 0
) -> Interval:
    """Kernel distance of two sets of features, (N, D) and (M, D); lower is more alike, 0 the same distribution.

    The mean over pairs of subsets that are drawn without replacement, and where 95 % of the subsets lie. That is the
    spread of subset_size images, not of all: a generous interval. Its `n` counts all images.

    subset_size: None for 1,000, or half of the smaller set where that is less.

    MismatchError as fid; DirectrixError for no subset, or subsets smaller than 2 or larger than the smaller set.
    """
    import torch
    from torchmetrics.image.kid import poly_mmd

    a, b = _checked(features_a, features_b)
    smaller = min(len(a), len(b))
    size = max(2, min(1000, smaller // 2)) if subset_size is None else subset_size
    if subsets < 1 or not 2 <= size <= smaller:
        raise DirectrixError(
            f"{subsets} subsets of {size} images were asked for, of {len(a)} and {len(b)}.",
            f"one or more, of 2 to {smaller} images.",
            "subset_size=None.",
        )
    generator = np.random.default_rng(seed)
    found = np.empty(subsets)
    for place in range(subsets):
        one, other = (torch.from_numpy(rows[generator.choice(len(rows), size, replace=False)]) for rows in (a, b))
        found[place] = float(poly_mmd(one, other))
    return percentile_interval(float(found.mean()), found, len(a) + len(b))


def _checked(a: ArrayLike, b: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    first, second = (np.ascontiguousarray(each, dtype=np.float64) for each in (a, b))
    shapes = first.shape, second.shape
    if any(len(each) != 2 or each[0] < 2 or each[1] < 1 for each in shapes) or shapes[0][1] != shapes[1][1]:
        raise MismatchError(
            f"Features of shapes {shapes[0]} and {shapes[1]} were compared.",
            "arrays (N, D) and (M, D) with two rows or more each.",
            "more images, and the same features for both sets.",
        )
    if not np.isfinite(first).all() or not np.isfinite(second).all():
        raise MismatchError("A feature is not finite.", "finite numbers.", "see which image has none.")
    return first, second
