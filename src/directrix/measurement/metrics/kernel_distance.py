"""Kernel distance (KID) of images to references that show what each of them should show.

Of images x_1 .. x_n, each with counterparts among the references, and with the kernel k(x, y) = (x·y / D + 1)^3:

    h(i, j) = k(x_i, x_j) - mean_y k(x_i, y) - mean_y' k(x_j, y') + mean_(y, y') k(y, y')
    KID     = the mean of h(i, j) over all pairs i != j

where y' runs over the counterparts of i, y over those of j, and no reference is compared with itself. So every subject
counts among the references exactly as often as among the images, and which subjects a set has is no part of its
distance. Where all images have the same counterparts, this is the unbiased squared MMD of Gretton et al. (2012), as in
Bińkowski et al. (2018); it has no bias whatever the counterparts, so it may be a little below 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from directrix.errors import MismatchError
from directrix.measurement.metrics.intervals import Interval, bootstrap


def matched_kid(
    images: ArrayLike,
    prompts: Sequence[str],
    references: ArrayLike,
    counterparts: ArrayLike,
    *,
    seed: int = 0,
    resamples: int = 2000,
) -> Interval:
    """The distance of images (N, D) to their counterparts among references (M, D); lower is more alike.

    prompts: of each image; the 95 % interval draws whole prompts again, and never compares an image with its own copy.
    Of one prompt it has no width. counterparts: bool (N, M). `n` is N.

    MismatchError for other shapes, fewer than two images, or an image with fewer than two counterparts.
    """
    x, y = (np.asarray(each, dtype=np.float64) for each in (images, references))
    groups, group_of = np.unique(np.asarray(counterparts, dtype=bool), axis=0, return_inverse=True)
    sizes = groups.sum(axis=1)
    if x.shape[1:] != y.shape[1:] or not len(x) == len(prompts) == len(group_of) >= 2 or sizes.min() < 2:
        raise MismatchError(
            f"{len(x)} images and {len(y)} references were compared, of features {x.shape[1:]} and {y.shape[1:]}.",
            "the same features, and two images or more, each with a prompt and two counterparts or more.",
            "leave out images that no reference is like.",
        )
    names, prompt_of = np.unique(np.asarray(prompts), return_inverse=True)
    used = groups.any(axis=0)
    groups, y = groups[:, used].astype(np.float64), y[used]
    group_of, prompt_of = group_of.reshape(-1), prompt_of.reshape(-1)
    to_groups = _kernel(x, y) @ groups.T / sizes
    pairs = np.outer(sizes, sizes) - groups @ groups.T
    among = groups @ _others(_kernel(y, y)) @ groups.T / pairs
    crossed = to_groups[:, group_of]
    terms = _others(_kernel(x, x) - crossed - crossed.T + among[np.ix_(group_of, group_of)])
    # Summed by prompt: a draw of prompts weighs these sums, and compares no image with itself.
    one_hot = np.eye(len(names))[prompt_of]
    sums, counts = one_hot.T @ terms @ one_hot, one_hot.T @ _others(np.ones_like(terms)) @ one_hot

    def mean(clusters: Sequence[Sequence[int]]) -> float:
        weights = np.bincount([rows[0] for rows in clusters], minlength=len(names)).astype(np.float64)
        number = weights @ counts @ weights
        return float(weights @ sums @ weights / number) if number else float("nan")

    clusters = {str(name): [place] * int((prompt_of == place).sum()) for place, name in enumerate(names)}
    return bootstrap(clusters, mean, seed=seed, resamples=resamples)


def _kernel(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    return (a @ b.T / a.shape[1] + 1) ** 3


def _others(square: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same with nothing on its diagonal."""
    return square * (1 - np.eye(len(square)))
