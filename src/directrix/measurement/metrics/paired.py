"""What an intervention changed, by pairs: the same prompts with and without it.

Both sides are drawn with the same prompts, so what makes prompts differ from each other cancels, and the interval of
the difference is narrower than two separate ones would suggest. An interval of a difference that does not hold 0 is a
change that the choice of prompts does not explain.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from directrix.errors import DirectrixError, MismatchError
from directrix.measurement.metrics.intervals import (
    Interval,
    Statistic,
    check_filled,
    draw,
    percentile_interval,
    pooled_mean,
    resampled,
)

Value = TypeVar("Value")


def paired_difference(
    before: Mapping[str, Sequence[Value]],
    after: Mapping[str, Sequence[Value]],
    statistic: Statistic[Value] = pooled_mean,  # pyright: ignore[reportArgumentType] - for numbers and bools
    *,
    seed: int = 0,
    resamples: int = 2000,
) -> Interval:
    """`statistic` of `after` minus that of `before`, with the 95 % interval of a bootstrap over prompts.

    Args:
        before, after: values (labels, numbers, flags) by prompt; the numbers of images may differ.
        statistic: of clusters, as bootstrap takes it; the mean of all values unless another is named, such as
            mean_over_clusters(figure). Only a Summary is worked out for all draws at once.
        seed, resamples: of the bootstrap.

    Returns:
        The difference, in the statistic's own unit; `n` counts the values of both sides.

    Raises:
        MismatchError: other prompts.
        DirectrixError: no prompt, or one without values.
    """
    return _paired(before, after, statistic, lambda a, b: b - a, seed, resamples)


def paired_reduction(
    before: Mapping[str, Sequence[Any]],
    after: Mapping[str, Sequence[Any]],
    statistic: Statistic[Any] = pooled_mean,
    **options: int,
) -> Interval:
    """How much of `before` is gone: 1 - after / before, at most 1; 0 is no change, below 0 an increase.

    For statistics of 0 or more, such as a harmful share. Draws in which `before` is 0 say nothing and are left out.
    Arguments as for paired_difference; also raises DirectrixError where `before` is 0.
    """

    def reduction(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
        return 1 - np.divide(b, a, out=np.full(np.shape(a), np.nan), where=a != 0)

    found = _paired(before, after, statistic, reduction, **options)
    if np.isnan(found.value):
        raise DirectrixError(
            "There was nothing to reduce: the figure before is 0.",
            "a figure above 0 without the intervention.",
            "paired_difference, or prompts that bring what is to be reduced.",
        )
    return found


def _paired(
    before: Mapping[str, Sequence[Value]],
    after: Mapping[str, Sequence[Value]],
    statistic: Statistic[Value],
    combine: Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]],
    seed: int = 0,
    resamples: int = 2000,
) -> Interval:
    apart = sorted(set(before) ^ set(after))
    if apart:
        raise MismatchError(
            f"Only one of the two sets has the prompt {apart[0]!r}.",
            "the same prompts in both.",
            "draw both with the same prompts, or leave it out of both by name.",
        )
    check_filled(before)
    check_filled(after)
    sides = [[each[prompt] for prompt in before] for each in (before, after)]
    value = combine(*(np.array([statistic(clusters)], dtype=np.float64) for clusters in sides))
    draws = draw(len(before), resamples, seed)
    replicates = combine(*(resampled(clusters, statistic, draws) for clusters in sides))
    return percentile_interval(float(value[0]), replicates, sum(map(len, [*sides[0], *sides[1]])))
