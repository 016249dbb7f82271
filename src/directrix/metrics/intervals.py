"""Figures with their 95 % intervals, the only place that computes them.

A share of independent pictures gets Wilson's interval, which stays inside [0, 1] and is right near its ends.
For k of n and the normal quantile z,

    centre = (k + z^2/2) / (n + z^2),   half width = z / (n + z^2) * sqrt(k (n - k) / n + z^2 / 4)

Pictures that belong together (all of one occupation) are not independent: there, whole clusters are drawn
again with replacement and the percentiles of the statistic taken.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import NormalDist
from typing import NamedTuple, TypeVar

import numpy as np

from directrix.errors import DirectrixError

Value = TypeVar("Value")


class Interval(NamedTuple):
    """A figure, the ends of its interval (low <= value <= high), and the n observations behind it."""

    value: float
    low: float
    high: float
    n: int

    def as_dict(self, digits: int = 4) -> dict[str, float | int]:
        """Return {"value", "low", "high", "n"} rounded to `digits`, as every results file holds it."""
        return {
            "value": round(self.value, digits),
            "low": round(self.low, digits),
            "high": round(self.high, digits),
            "n": self.n,
        }

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


def proportion(successes: int, n: int, *, confidence: float = 0.95) -> Interval:
    """Return the share `successes` / `n` with Wilson's interval.

    Raises DirectrixError unless 0 <= successes <= n, n >= 1 and 0 < confidence < 1.
    """
    _check_confidence(confidence)
    if n < 1 or not 0 <= successes <= n:
        raise DirectrixError(
            f"A share of {successes} in {n} was asked for.",
            "n of 1 or more, and between 0 and n successes.",
            "see why nothing was counted; a figure of nothing is not 0.",
        )
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = successes / n
    centre = (successes + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * math.sqrt(successes * (n - successes) / n + z * z / 4)
    # At 0 and n, one end is the share itself; rounding must not push it past.
    low = 0.0 if successes == 0 else min(max(0.0, centre - half), share)
    high = 1.0 if successes == n else max(min(1.0, centre + half), share)
    return Interval(share, low, high, n)


def bootstrap(
    values_by_cluster: Mapping[str, Sequence[Value]],
    statistic: Callable[[Sequence[Sequence[Value]]], float],
    *,
    seed: int = 0,
    resamples: int = 2000,
    confidence: float = 0.95,
) -> Interval:
    """Return `statistic` of the clusters with the percentile interval of a cluster bootstrap.

    `statistic` takes a sequence of clusters, each a sequence of its values. Clusters are drawn with
    replacement, as many as there are, each with all its values. `n` is the number of values. The same seed
    gives the same interval. Raises DirectrixError without a cluster or with an empty one.
    """
    _check_confidence(confidence)
    clusters = [values_by_cluster[name] for name in values_by_cluster]
    if not clusters or any(len(cluster) == 0 for cluster in clusters):
        raise DirectrixError(
            "A bootstrap over no values was asked for.",
            "one cluster or more, none of them empty.",
            "leave empty clusters out by name, so that the reader can see it.",
        )
    value = float(statistic(clusters))
    draws = np.random.default_rng(seed).integers(len(clusters), size=(resamples, len(clusters)))
    replicates = [statistic([clusters[index] for index in row]) for row in draws]
    tail = 100 * (1 - confidence) / 2
    low, high = np.percentile(replicates, [tail, 100 - tail])
    # With few clusters the percentiles can miss the figure itself by a rounding error.
    return Interval(value, min(float(low), value), max(float(high), value), sum(map(len, clusters)))


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise DirectrixError(
            f"A confidence of {confidence!r} was asked for.",
            "a number between 0 and 1.",
            "use 0.95 for 95 %.",
        )
