"""How alike two images are, or an image and a text, in pixels or in features.

PSNR               10 log10(255^2 / mean squared difference), in decibels; infinite for the same image
feature distance   1 - cos of two features, in [0, 2]
CLIP score         100 max(cos, 0) of an image's and its caption's CLIP feature, in [0, 100]
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from directrix.errors import MismatchError


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8], *, limit: float = math.inf) -> float:
    """Peak signal-to-noise ratio of two images, dB; higher is more alike.

    a, b: uint8 of the same shape, such as (H, W, 3), else MismatchError. limit: the most that is returned. The same
    image twice is infinite, so a mean needs a limit (100, say), or leaves such images out.
    """
    if a.shape != b.shape or a.dtype != np.uint8 or b.dtype != np.uint8 or a.size == 0:
        raise MismatchError(
            f"Pictures of shapes {a.shape} and {b.shape}, {a.dtype} and {b.dtype}, were compared.",
            "two uint8 arrays of the same shape.",
            "numpy.asarray(image.convert('RGB')) for pictures of one size.",
        )
    error = float(np.mean((a.astype(np.int32) - b.astype(np.int32)) ** 2, dtype=np.float64))
    return limit if error == 0 else min(limit, 10 * math.log10(255**2 / error))


def feature_distance(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """1 - cos of features (N, D) row by row: (N,) in [0, 2]; 0 is the same direction.

    MismatchError for other shapes, or a feature that is zero or not finite.
    """
    return 1 - _cosines(a, b)


def clip_score(image_features: ArrayLike, text_features: ArrayLike) -> NDArray[np.float64]:
    """100 max(cos, 0) of CLIP features (N, D) row by row: (N,) in [0, 100]; higher fits better.

    The scale is that of the tables in papers. Figures of different CLIP checkpoints are not comparable. Errors: as
    feature_distance.
    """
    return 100 * np.maximum(_cosines(image_features, text_features), 0)


def _cosines(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 2:
        raise MismatchError(
            f"Features of shapes {first.shape} and {second.shape} were compared.",
            "two arrays (N, D) of the same shape.",
            "one feature a picture, in the same order.",
        )
    return np.clip((_unit(first) * _unit(second)).sum(axis=1), -1, 1)


def _unit(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows of length 1. Raises MismatchError for a row that is zero or not finite."""
    largest = np.abs(features).max(axis=1, keepdims=True, initial=0)
    if not np.isfinite(largest).all() or (largest == 0).any():
        raise MismatchError(
            "A feature is zero or not finite.", "features with a direction.", "see which picture has none."
        )
    scaled = features / largest  # first, so that squares of tiny numbers do not vanish
    return scaled / np.linalg.norm(scaled, axis=1, keepdims=True)
