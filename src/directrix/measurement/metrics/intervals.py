"""Figures with their 95 % intervals and exact tests, the only place that computes them.

A share of independent images gets Wilson's interval, which stays inside [0, 1] and is right near its ends. Images that
belong together (all of one prompt) are not independent: there, whole clusters are drawn again with replacement and the
percentiles of the statistic taken. A statistic that is a Summary is worked out for all draws at once; any other
function is called for each.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from directrix.errors import DirectrixError

Value = TypeVar("Value")
Statistic = Callable[[Sequence[Sequence[Value]]], float]

# Numbers that a bootstrap holds at a time.
_CHUNK = 4_000_000


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
    low, high = _wilson(successes, n, confidence)
    # At 0 and n, one end is the share itself; rounding must not push it past.
    return Interval(successes / n, min(low, successes / n), max(high, successes / n), n)


@cache
def _wilson(successes: int, n: int, confidence: float) -> tuple[float, float]:
    from scipy.stats import binomtest

    found = binomtest(successes, n).proportion_ci(confidence, method="wilson")
    return float(found.low), float(found.high)


def fisher_test(more: int, fewer: int, n: int) -> float:
    """Chance of at least this large a difference were both shares of n the same (Fisher's exact test, one-sided)."""
    from scipy.stats import fisher_exact

    found: Any = fisher_exact([[more, n - more], [fewer, n - fewer]], "greater")
    return float(found.pvalue)


def sign_test(successes: int, n: int) -> float:
    """Chance of at least this many successes in n were both outcomes equally likely (one-sided sign test)."""
    from scipy.stats import binomtest

    return float(binomtest(successes, n, alternative="greater").pvalue)


def median(values: Sequence[float], *, confidence: float = 0.95) -> Interval:
    """Return the median with its interval of order statistics, which assumes nothing of how values are spread.

    Where there are too few values for the confidence (5 or fewer, for 0.95), the ends are the least and the largest.
    Raises DirectrixError where there are none, unless 0 < confidence < 1.
    """
    _check_confidence(confidence)
    if not values:
        raise DirectrixError(
            "The median of no values was asked for.", "a value or more.", "see why nothing was measured."
        )
    ordered, n = sorted(values), len(values)
    # The chance that fewer than k + 1 of n values are below the median, on either side.
    outside = np.cumsum([math.comb(n, k) / 2**n for k in range(n // 2 + 1)])
    k = max(int(np.searchsorted(outside, (1 - confidence) / 2, side="right")) - 1, 0)
    return Interval(statistics.median(ordered), ordered[k], ordered[n - 1 - k], n)


@dataclass(frozen=True)
class Summary(Generic[Value]):
    """A statistic in two steps: every cluster to k numbers, once; then those of any draw of clusters to the figure.

    Args:
        of_cluster: the values of a cluster to its k numbers.
        of_draws: (draws, clusters, k) to (draws,).
    """

    of_cluster: Callable[[Sequence[Value]], Sequence[float]]
    of_draws: Callable[[NDArray[np.float64]], NDArray[np.float64]]

    def __call__(self, clusters: Sequence[Sequence[Value]]) -> float:
        """The figure of these clusters."""
        return float(self.of_draws(self.table(clusters)[None])[0])

    def table(self, clusters: Sequence[Sequence[Value]]) -> NDArray[np.float64]:
        """The numbers of all clusters, (clusters, k)."""
        return np.array([self.of_cluster(cluster) for cluster in clusters], dtype=np.float64)


def mean_over_clusters(figure: Callable[[Sequence[Value]], float]) -> Summary[Value]:
    """The mean over clusters of a figure of each cluster, every cluster counting the same."""
    return Summary(lambda cluster: (figure(cluster),), lambda draws: draws[:, :, 0].mean(axis=1))


# The mean of all values, every value counting the same; draws without a value are not a number.
pooled_mean: Summary[float] = Summary(
    lambda cluster: (sum(map(float, cluster)), len(cluster)),
    lambda draws: _ratio(draws[:, :, 0].sum(axis=1), draws[:, :, 1].sum(axis=1)),
)


def bootstrap(
    values_by_cluster: Mapping[str, Sequence[Value]],
    statistic: Statistic[Value],
    *,
    seed: int = 0,
    resamples: int = 2000,
    confidence: float = 0.95,
) -> Interval:
    """Return `statistic` of the clusters with the percentile interval of a cluster bootstrap.

    `statistic` takes a sequence of clusters, each a sequence of its values. Clusters are drawn with
    replacement, as many as there are, each with all its values. `n` is the number of values. The same seed
    gives the same interval, also where the same statistic is a Summary. Raises DirectrixError without a cluster or
    with an empty one.
    """
    _check_confidence(confidence)
    clusters = [values_by_cluster[name] for name in values_by_cluster]
    check_filled(values_by_cluster)
    value = float(statistic(clusters))
    replicates = resampled(clusters, statistic, draw(len(clusters), resamples, seed))
    return percentile_interval(value, replicates, sum(map(len, clusters)), confidence)


def check_filled(values_by_cluster: Mapping[str, Sequence[Any]]) -> None:
    """Raises DirectrixError where there is no cluster, or an empty one."""
    empty = [name for name, values in values_by_cluster.items() if len(values) == 0]
    if empty or not values_by_cluster:
        raise DirectrixError(
            "A bootstrap over no values was asked for" + (f": '{empty[0]}' has none." if empty else "."),
            "one cluster or more, none of them empty.",
            "leave empty clusters out by name, so that the reader can see it.",
        )


def draw(clusters: int, resamples: int, seed: int) -> NDArray[np.int64]:
    """Which clusters each resample holds, (resamples, clusters)."""
    return np.random.default_rng(seed).integers(clusters, size=(resamples, clusters))


def resampled(
    clusters: Sequence[Sequence[Value]], statistic: Statistic[Value], draws: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The statistic of every draw, (draws,)."""
    if not isinstance(statistic, Summary):
        return np.array([statistic([clusters[index] for index in row]) for row in draws], dtype=np.float64)
    table = statistic.table(clusters)
    step = max(1, _CHUNK // table.size)
    parts = [statistic.of_draws(table[draws[i : i + step]]) for i in range(0, len(draws), step)]
    return np.concatenate(parts) if parts else np.empty(0)


def percentile_interval(value: float, replicates: NDArray[np.float64], n: int, confidence: float = 0.95) -> Interval:
    """The percentiles of the replicates around a figure. Replicates that are no number are left out."""
    tail = 100 * (1 - confidence) / 2
    retained = replicates[~np.isnan(replicates)]
    low, high = np.percentile(retained, [tail, 100 - tail]) if len(retained) else (value, value)
    # With few clusters the percentiles can miss the figure itself by a rounding error.
    return Interval(value, min(float(low), value), max(float(high), value), n)


def clustered_share(outcomes: Mapping[str, Sequence[bool]], *, seed: int = 0, confidence: float = 0.95) -> Interval:
    """Return the share of True among all images, with an interval that knows which images belong together.

    A cluster bootstrap; but where all images agree, a bootstrap has nothing to draw from and would say that the
    share is certain. Then Wilson's interval stands in, with a whole cluster as one observation. Of a single cluster,
    it is Wilson's interval of its images. `n` is the number of images. Clusters without an image are left out;
    raises DirectrixError where none is left.
    """
    filled = {name: [bool(each) for each in values] for name, values in outcomes.items() if len(values)}
    if len(filled) == 1:
        (values,) = filled.values()
        return proportion(sum(values), len(values), confidence=confidence)
    figure = bootstrap(filled, pooled_mean, seed=seed, confidence=confidence)
    if figure.value in (0.0, 1.0):
        wilson = proportion(len(filled) * int(figure.value), len(filled), confidence=confidence)
        return Interval(figure.value, wilson.low, wilson.high, figure.n)
    return figure


def _ratio(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)


def jackknife(
    values_by_cluster: Mapping[str, Sequence[Value]],
    statistic: Callable[[Sequence[Sequence[Value]]], float],
    *,
    parts: int = 10,
    confidence: float = 0.95,
) -> Interval:
    """Return `statistic` of the clusters with the normal interval of a grouped jackknife.

    For statistics that a bootstrap would shift, since it shows values twice (FID is one). The clusters are dealt into g
    parts, at most `parts`, and each part is left out once; with theta_i the statistic without part i,

        variance = (g - 1) / g * sum_i (theta_i - mean theta)^2

    Raises DirectrixError with fewer than two clusters or an empty one.
    """
    _check_confidence(confidence)
    clusters = [values_by_cluster[name] for name in values_by_cluster]
    if len(clusters) < 2 or parts < 2 or any(len(cluster) == 0 for cluster in clusters):
        raise DirectrixError(
            f"A jackknife over {len(clusters)} clusters in {parts} parts was asked for.",
            "two clusters or more, none of them empty, in two parts or more.",
            "leave empty clusters out by name, so that the reader can see it.",
        )
    g = min(parts, len(clusters))
    without = [float(statistic([row for place, row in enumerate(clusters) if place % g != part])) for part in range(g)]
    value = float(statistic(clusters))
    spread = math.sqrt((g - 1) / g * sum((each - sum(without) / g) ** 2 for each in without))
    half = NormalDist().inv_cdf(0.5 + confidence / 2) * spread
    return Interval(value, value - half, value + half, sum(map(len, clusters)))


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise DirectrixError(
            f"A confidence of {confidence!r} was asked for.", "a number between 0 and 1.", "use 0.95 for 95 %."
        )
