"""Metrics against scipy, loops over plain numbers, and the slow way to draw clusters."""

import math
from collections import Counter

import numpy as np
import pytest
from scipy import linalg, stats
from scipy.spatial import distance

from directrix.measurement.evaluation.quality import fid, kid
from directrix.measurement.metrics import (
    Summary,
    bootstrap,
    clip_score,
    deviation_ratio,
    entropy,
    feature_distance,
    fisher_test,
    l2_distance,
    mean_deviation_ratio,
    mean_over_clusters,
    paired_difference,
    paired_reduction,
    pooled_mean,
    psnr,
    sign_test,
    target_distance,
)

NAMES = ("a", "b", "c", "d")


@pytest.mark.parametrize(("n", "m", "size"), [(200, 150, 12), (60, 90, 24), (300, 300, 1)])
def test_fid_is_that_of_the_matrix_square_root(n, m, size):
    rng = np.random.default_rng(size)
    a = rng.normal(size=(n, size)) @ rng.normal(size=(size, size))
    b = rng.normal(0.3, 1.2, size=(m, size))
    first, second = np.atleast_2d(np.cov(a.T)), np.atleast_2d(np.cov(b.T))
    root = np.real(linalg.sqrtm(first @ second))
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(first + second - 2 * root)
    assert fid(a, b) == pytest.approx(expected, rel=1e-7)


def test_fid_of_fewer_pictures_than_dimensions():
    """The singular values of the product of both sets of centred features have the same sum, without any root."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(20, 64)), rng.normal(0.5, 2, size=(31, 64))
    x, y = (each - each.mean(0) for each in (a, b))
    shared = linalg.svdvals(x @ y.T).sum() / math.sqrt(19 * 30)
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + (x**2).sum() / 19 + (y**2).sum() / 30 - 2 * shared
    assert fid(a, b) == pytest.approx(expected, rel=1e-6)


def test_fid_of_two_normal_distributions_in_closed_form():
    rng = np.random.default_rng(1)
    a, b = rng.normal(0, 1, (200_000, 2)), rng.normal((3, 0), (1, 2), (200_000, 2))
    assert fid(a, b) == pytest.approx(9 + 0 + 1, rel=0.01)


def test_kid_is_that_of_a_loop_over_all_pairs():
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(9, 5)), rng.normal(0.4, 1, size=(9, 5))

    def kernel(x, y):
        return (sum(float(i) * float(j) for i, j in zip(x, y, strict=True)) / 5 + 1) ** 3

    def within(x):
        return sum(kernel(x[i], x[j]) for i in range(9) for j in range(9) if i != j) / (9 * 8)

    expected = within(a) + within(b) - 2 * sum(kernel(x, y) for x in a for y in b) / 81
    # Subsets of all pictures are all the same.
    assert kid(a, b, subsets=3, subset_size=9).value == pytest.approx(expected, rel=1e-10)


def test_kid_is_unbiased_and_fid_is_not():
    rng = np.random.default_rng(3)
    pairs = [(rng.normal(size=(30, 8)), rng.normal(size=(30, 8))) for _ in range(200)]
    found = np.array([kid(a, b, subsets=1, subset_size=30).value for a, b in pairs])
    assert abs(found.mean()) < 3 * found.std() / math.sqrt(200)
    assert min(fid(a, b) for a, b in pairs[:20]) > 0.5


@pytest.mark.parametrize("seed", range(5))
def test_distributions_equal_scipys(seed):
    rng = np.random.default_rng(seed)
    counts, target = rng.integers(0, 20, 4), rng.dirichlet(np.ones(4))
    counts[0] += 1
    shares, named = counts / counts.sum(), dict(zip(NAMES, map(int, counts), strict=True))
    wanted = dict(zip(NAMES, map(float, target), strict=True))
    assert target_distance(named, wanted) == pytest.approx(distance.cityblock(shares, target) / 2)
    assert l2_distance(named, wanted) == pytest.approx(distance.euclidean(shares, target))
    assert entropy(named, NAMES) == pytest.approx(stats.entropy(shares, base=4))


def test_tests_of_significance_equal_scipys():
    for more, fewer, n in ((3, 1, 10), (10, 0, 10), (5, 5, 9), (30, 18, 40), (0, 4, 12)):
        table = [[more, n - more], [fewer, n - fewer]]
        assert fisher_test(more, fewer, n) == pytest.approx(stats.fisher_exact(table, "greater").pvalue)
        assert sign_test(more, n) == pytest.approx(stats.binomtest(more, n, alternative="greater").pvalue)
    assert sign_test(0, 0) == 1.0


def test_likeness_equals_loops():
    rng = np.random.default_rng(4)
    a, b = rng.integers(0, 256, (2, 7, 5, 3), dtype=np.uint8)
    pairs = list(zip(a.ravel().tolist(), b.ravel().tolist(), strict=True))
    error = sum((x - y) ** 2 for x, y in pairs) / len(pairs)
    assert psnr(a, b) == pytest.approx(20 * math.log10(255) - 10 * math.log10(error))
    x, y = rng.normal(size=(2, 6, 4))
    found = [distance.cosine(*pair) for pair in zip(x, y, strict=True)]
    assert feature_distance(x, y) == pytest.approx(found)
    assert clip_score(x, y) == pytest.approx([100 * max(1 - each, 0) for each in found])


def _labels(seed, groups=12):
    rng = np.random.default_rng(seed)
    return {
        str(i): rng.choice(["w", "m"], size=int(rng.integers(3, 9)), p=[p, 1 - p]).tolist()
        for i, p in enumerate(rng.random(groups))
    }


def _mean_deviation(clusters):
    return sum(deviation_ratio(Counter(row), ("w", "m")) for row in clusters) / len(clusters)


def test_a_summary_draws_what_a_function_draws():
    labels = _labels(0)
    slow = bootstrap(labels, _mean_deviation, resamples=300, seed=5)
    fast = bootstrap(
        labels, mean_over_clusters(lambda row: deviation_ratio(Counter(row), ("w", "m"))), resamples=300, seed=5
    )
    assert fast == pytest.approx(slow)
    assert mean_deviation_ratio(labels, ("w", "m"), seed=5) == pytest.approx(bootstrap(labels, _mean_deviation, seed=5))
    flags = {name: [label == "w" for label in row] for name, row in labels.items()}
    pooled = bootstrap(flags, lambda rows: float(np.mean(np.concatenate(rows))), resamples=300)
    assert bootstrap(flags, pooled_mean, resamples=300) == pytest.approx(pooled)


def test_large_tables_are_drawn_in_parts_to_the_same_end(monkeypatch):
    values = {str(i): [float(i % 7)] for i in range(50)}
    whole = bootstrap(values, pooled_mean, resamples=101)
    monkeypatch.setattr("directrix.measurement.metrics.intervals._CHUNK", 700)
    assert bootstrap(values, pooled_mean, resamples=101) == whole


def test_paired_figures_equal_the_slow_way():
    before, after = _labels(1), _labels(2)
    names = list(before)
    draws = np.random.default_rng(7).integers(len(names), size=(400, len(names)))
    pairs = [
        (_mean_deviation([before[names[i]] for i in row]), _mean_deviation([after[names[i]] for i in row]))
        for row in draws
    ]
    statistic = Summary(
        lambda row: (deviation_ratio(Counter(row), ("w", "m")),), lambda draws: draws[:, :, 0].mean(axis=1)
    )
    value = _mean_deviation(list(before.values())), _mean_deviation(list(after.values()))
    for how in (statistic, _mean_deviation):
        found = paired_difference(before, after, how, seed=7, resamples=400)
        low, high = np.percentile([b - a for a, b in pairs], [2.5, 97.5])
        assert found[:3] == pytest.approx((value[1] - value[0], low, high))
    found = paired_reduction(before, after, statistic, seed=7, resamples=400)
    low, high = np.percentile([1 - b / a for a, b in pairs], [2.5, 97.5])
    assert found[:3] == pytest.approx((1 - value[1] / value[0], low, high))
