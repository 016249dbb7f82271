"""Figures with their 95 % intervals and exact tests, the only place that computes them.

A share of independent images gets Wilson's interval, which stays inside [0, 1] and is right near its ends. Images that
belong together (all of one prompt) are not independent: there, whole clusters are drawn again with replacement and the
percentiles of the statistic taken. A statistic that is a Summary is worked out for all draws at once; any other
function is called for each. Of two sides with the same prompts, both get the same draws: what makes prompts differ
cancels, and an interval of their difference that does not hold 0 is a change that the choice of prompts does not
explain.
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

from directrix.errors import DirectrixError, MismatchError

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
        return {name: each if name == "n" else round(each, digits) for name, each in self._asdict().items()}

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


def proportion(successes: int, n: int, *, confidence: float = 0.95) -> Interval:
    """The share `successes` / `n` with Wilson's interval. DirectrixError unless 0 <= successes <= n and n >= 1."""
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
    from scipy import stats

    found = stats.binomtest(successes, n).proportion_ci(confidence, method="wilson")
    return float(found.low), float(found.high)


def fisher_test(more: int, fewer: int, n: int) -> float:
    """Chance of at least this large a difference were both shares of n the same (Fisher's exact test, one-sided)."""
    from scipy import stats

    return float(stats.fisher_exact([[more, n - more], [fewer, n - fewer]], "greater")[1])  # pyright: ignore[reportArgumentType]


def sign_test(successes: int, n: int) -> float:
    """Chance of at least this many successes in n were both outcomes equally likely (one-sided); 1 for n = 0."""
    from scipy import stats

    return 1.0 if n == 0 else float(stats.binomtest(successes, n, alternative="greater").pvalue)


def median(values: Sequence[float], *, confidence: float = 0.95) -> Interval:
    """The median with its interval of order statistics, which assumes nothing of how values are spread.

    Where there are too few values for the confidence (5 or fewer, for 0.95), the ends are the least and the largest.
    DirectrixError where there are none.
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

    of_cluster: the values of a cluster to its k numbers. of_draws: (draws, clusters, k) to (draws,).
    """

    of_cluster: Callable[[Sequence[Value]], Sequence[float]]
    of_draws: Callable[[NDArray[np.float64]], NDArray[np.float64]]

    def __call__(self, clusters: Sequence[Sequence[Value]]) -> float:
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
    """`statistic` of the clusters with the percentile interval of a cluster bootstrap.

    `statistic` takes a sequence of clusters, each a sequence of its values. As many clusters as there are get drawn,
    with replacement, each with all its values. `n` is the number of values. The same seed gives the same interval, also
    where the same statistic is a Summary. DirectrixError without a cluster, or with an empty one.
    """
    return _resampled([values_by_cluster], statistic, lambda each: each, seed, resamples, confidence)


def paired_difference(
    before: Mapping[str, Sequence[Value]],
    after: Mapping[str, Sequence[Value]],
    statistic: Statistic[Value] = pooled_mean,  # pyright: ignore[reportArgumentType] - for numbers and bools
    *,
    seed: int = 0,
    resamples: int = 2000,
) -> Interval:
    """`statistic` of `after` minus that of `before`, in its own unit, with the interval of a bootstrap over prompts.

    `before` and `after` hold values (labels, numbers, flags) by prompt; the numbers of images may differ. `n` counts
    the values of both sides. MismatchError for other prompts, and DirectrixError as bootstrap.
    """
    return _resampled([before, after], statistic, lambda a, b: b - a, seed, resamples)


def paired_reduction(
    before: Mapping[str, Sequence[Any]],
    after: Mapping[str, Sequence[Any]],
    statistic: Statistic[Any] = pooled_mean,
    *,
    seed: int = 0,
    resamples: int = 2000,
) -> Interval:
    """How much of `before` is gone: 1 - after / before, at most 1; 0 is no change, below 0 an increase.

    For statistics of 0 or more, such as a harmful share. Draws in which `before` is 0 say nothing and are left out.
    Errors as paired_difference, and DirectrixError where `before` is 0.
    """
    found = _resampled([before, after], statistic, lambda a, b: 1 - _ratio(b, a), seed, resamples)
    if np.isnan(found.value):
        raise DirectrixError(
            "There was nothing to reduce: the figure before is 0.",
            "a figure above 0 without the intervention.",
            "paired_difference, or prompts that bring what is to be reduced.",
        )
    return found


def _resampled(
    sides: Sequence[Mapping[str, Sequence[Any]]],
    statistic: Statistic[Any],
    combine: Callable[..., NDArray[np.float64]],
    seed: int,
    resamples: int,
    confidence: float = 0.95,
) -> Interval:
    """What `combine` makes of the statistic of every side, whose clusters are drawn together."""
    _check_confidence(confidence)
    check_same(sides[0], sides[-1])
    for each in sides:
        empty = [name for name, values in each.items() if len(values) == 0]
        if empty or not each:
            raise DirectrixError(
                "A bootstrap over no values was asked for" + (f": '{empty[0]}' has none." if empty else "."),
                "one cluster or more, none of them empty.",
                "leave empty clusters out by name, so that the reader can see it.",
            )
    clusters = [[each[name] for name in sides[0]] for each in sides]
    value = combine(*(np.array([statistic(each)], dtype=np.float64) for each in clusters))
    draws = np.random.default_rng(seed).integers(len(sides[0]), size=(resamples, len(sides[0])))
    replicates = combine(*(_of_draws(each, statistic, draws) for each in clusters))
    return percentile_interval(
        float(value[0]), replicates, sum(len(row) for each in clusters for row in each), confidence
    )


def _of_draws(
    clusters: Sequence[Sequence[Value]], statistic: Statistic[Value], draws: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The statistic of every draw of clusters, (draws, clusters) to (draws,)."""
    if not isinstance(statistic, Summary):
        return np.array([statistic([clusters[index] for index in row]) for row in draws], dtype=np.float64)
    table = statistic.table(clusters)
    step = max(1, _CHUNK // table.size)
    parts = [statistic.of_draws(table[draws[i : i + step]]) for i in range(0, len(draws), step)]
    return np.concatenate(parts) if parts else np.empty(0)


def check_same(
    before: Mapping[str, Sequence[object]], after: Mapping[str, Sequence[object]], *, sizes: bool = False
) -> None:
    """Raises MismatchError unless both have the same prompts, and with `sizes` as many images of each."""
    apart = sorted(set(before) ^ set(after))
    unequal = [prompt for prompt in before if sizes and not apart and len(before[prompt]) != len(after[prompt])]
    if apart or unequal:
        raise MismatchError(
            f"The two sets of images differ in {(apart or unequal)[0]!r}.",
            "the same prompts" + (", with as many images of each." if sizes else " in both."),
            "draw both with the same prompts, images and seed, or leave it out of both by name.",
        )


def percentile_interval(value: float, replicates: NDArray[np.float64], n: int, confidence: float = 0.95) -> Interval:
    """The percentiles of the replicates around a figure. Replicates that are no number are left out."""
    tail = 100 * (1 - confidence) / 2
    retained = replicates[~np.isnan(replicates)]
    low, high = np.percentile(retained, [tail, 100 - tail]) if len(retained) else (value, value)
    # With few clusters the percentiles can miss the figure itself by a rounding error.
    return Interval(value, min(float(low), value), max(float(high), value), n)


def clustered_share(outcomes: Mapping[str, Sequence[bool]], *, seed: int = 0, confidence: float = 0.95) -> Interval:
    """The share of True among all images, with an interval that knows which images belong together.

    A cluster bootstrap; but where all images agree, it would have nothing to draw from and call the share certain. Then
    Wilson's interval stands in, with a whole cluster as one observation. Of a single cluster, it is Wilson's interval
    of its images. `n` is the number of images. Clusters without an image are left out; DirectrixError if none is left.
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
    statistic: Statistic[Value],
    *,
    parts: int = 10,
    confidence: float = 0.95,
) -> Interval:
    """`statistic` of the clusters with the normal interval of a grouped jackknife.

    For statistics that a bootstrap would shift, since it shows values twice (FID is one). The clusters are dealt into g
    parts, at most `parts`, and each part is left out once; with theta_i the statistic without part i,

        variance = (g - 1) / g * sum_i (theta_i - mean theta)^2

    DirectrixError with fewer than two clusters or an empty one.
    """
    _check_confidence(confidence)
    clusters = list(values_by_cluster.values())
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
