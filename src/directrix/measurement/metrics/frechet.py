"""Distances between two sets of pictures, by any features (N, D).

Fréchet distance (FID, where the features are Inception's): with means m and covariances C (over N - 1),

    |m_a - m_b|^2 + tr(C_a) + tr(C_b) - 2 tr((C_a C_b)^(1/2))

The root's trace is that of (C_a^(1/2) C_b C_a^(1/2))^(1/2), which is symmetric, so its eigenvalues are real and
not below 0. Kernel distance (KID): the unbiased estimate of the squared maximum mean discrepancy with the kernel
(x·y / D + 1)^3, as in Bińkowski et al. (2018), "Demystifying MMD GANs".

Lower is more alike for both, and neither has a unit: figures of different features are not comparable. FID is biased
upward by few pictures, and more so where N is not far above D; compare figures of the same N only. KID has no bias, so
it may be a little below 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from directrix.errors import DirectrixError, MismatchError
from directrix.measurement.metrics.intervals import Interval, percentile_interval


def fid(features_a: ArrayLike, features_b: ArrayLike) -> float:
    """Fréchet distance of two sets of features, (N, D) and (M, D), 0 or more; lower is more alike.

    Raises:
        MismatchError: not two arrays of features of the same D, fewer than two rows, or a number that is not finite.
    """
    a, b = _checked(features_a, features_b)
    covariance_a, covariance_b = (np.atleast_2d(np.cov(each, rowvar=False)) for each in (a, b))
    values, vectors = np.linalg.eigh(covariance_a)
    root = (vectors * np.sqrt(_positive(values))) @ vectors.T
    shared = np.sqrt(_positive(np.linalg.eigvalsh(root @ covariance_b @ root))).sum()
    shift = a.mean(axis=0) - b.mean(axis=0)
    found = shift @ shift + np.trace(covariance_a) + np.trace(covariance_b) - 2 * shared
    return max(0.0, float(found))


def kid(
    features_a: ArrayLike, features_b: ArrayLike, subsets: int = 100, subset_size: int | None = None, seed: int = 0
) -> Interval:
    """Kernel distance of two sets of features, (N, D) and (M, D); lower is more alike, 0 the same distribution.

    Args:
        features_a, features_b: float, one row a picture.
        subsets: how many pairs of subsets are drawn (each without replacement).
        subset_size: pictures a subset; None for 1,000, or half of the smaller set where that is less.
        seed: of the draws.

    Returns:
        The mean over subsets, and where 95 % of the subsets lie. That is the spread of subset_size pictures, not of
        all: a generous interval. Its `n` counts all pictures.

    Raises:
        MismatchError: as fid.
        DirectrixError: no subset, or subsets smaller than 2 or larger than the smaller set.
    """
    a, b = _checked(features_a, features_b)
    smaller = min(len(a), len(b))
    size = max(2, min(1000, smaller // 2)) if subset_size is None else subset_size
    if subsets < 1 or not 2 <= size <= smaller:
        raise DirectrixError(
            f"{subsets} subsets of {size} pictures were asked for, of {len(a)} and {len(b)}.",
            f"one or more, of 2 to {smaller} pictures.",
            "subset_size=None.",
        )
    generator = np.random.default_rng(seed)
    found = np.array(
        [
            _discrepancy(
                a[generator.choice(len(a), size, replace=False)], b[generator.choice(len(b), size, replace=False)]
            )
            for _ in range(subsets)
        ]
    )
    return percentile_interval(float(found.mean()), found, len(a) + len(b))


def _discrepancy(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """The unbiased estimate for sets of the same size."""
    size = len(a)

    def within(x: NDArray[np.float64]) -> float:
        kernel = _kernel(x, x)
        return float((kernel.sum() - np.trace(kernel)) / (size * (size - 1)))

    return within(a) + within(b) - 2 * float(_kernel(a, b).mean())


def _kernel(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    return (x @ y.T / x.shape[1] + 1) ** 3


def _positive(eigenvalues: NDArray[Any]) -> NDArray[Any]:
    """Eigenvalues without rounding noise, whose roots would add up where pictures are fewer than dimensions."""
    noise = np.finfo(np.float64).eps * len(eigenvalues) * max(float(np.abs(eigenvalues).max()), 0.0)
    return np.where(eigenvalues > noise, eigenvalues, 0.0)


def _checked(a: ArrayLike, b: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    shapes = first.shape, second.shape
    if any(len(each) != 2 or each[0] < 2 or each[1] < 1 for each in shapes) or shapes[0][1] != shapes[1][1]:
        raise MismatchError(
            f"Features of shapes {shapes[0]} and {shapes[1]} were compared.",
            "arrays (N, D) and (M, D) with two rows or more each.",
            "more pictures, and the same features for both sets.",
        )
    if not np.isfinite(first).all() or not np.isfinite(second).all():
        raise MismatchError("A feature is not finite.", "finite numbers.", "see which picture has none.")
    return first, second
