"""Deviation ratio and intervals against hand-worked values, scipy, and their properties."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from directrix.errors import DirectrixError
from directrix.measurement.metrics import (
    Interval,
    bootstrap,
    deviation_ratio,
    jackknife,
    mean_deviation_ratio,
    median,
    proportion,
)

GENDERS = ("woman", "man")
TONES = ("light", "brown", "dark")


@pytest.mark.parametrize(
    ("counts", "categories", "expected"),
    [
        ({"woman": 10, "man": 10}, GENDERS, 0.0),
        ({"woman": 0, "man": 20}, GENDERS, 1.0),
        ({"man": 20}, GENDERS, 1.0),
        ({"woman": 15, "man": 5}, GENDERS, 0.5),
        ({"light": 4, "brown": 4, "dark": 4}, TONES, 0.0),
        ({"light": 12}, TONES, 1.0),
        # max(|1/2 - 1/3|, |1/2 - 1/3|, |0 - 1/3|) / (2/3)
        ({"light": 6, "brown": 6}, TONES, 0.5),
        ({"light": 7, "brown": 7, "dark": 6}, TONES, (1 / 3 - 6 / 20) / (2 / 3)),
    ],
)
def test_deviation_ratio_is_the_papers(counts, categories, expected):
    assert deviation_ratio(counts, categories) == pytest.approx(expected, abs=1e-12)


def test_deviation_ratio_equals_an_independent_form():
    """The paper's code takes the norm of the difference of two distributions in the maximum metric."""
    generator = np.random.default_rng(0)
    for size in range(2, 7):
        categories = [f"c{i}" for i in range(size)]
        row = generator.integers(0, 9, size)
        row[0] += 1
        uniform = np.full(size, 1 / size)
        expected = np.linalg.norm(row / row.sum() - uniform, ord=np.inf) / (1 - 1 / size)
        assert deviation_ratio(dict(zip(categories, map(int, row), strict=True)), categories) == pytest.approx(expected)


@given(st.lists(st.integers(0, 50), min_size=2, max_size=6).filter(any), st.integers(1, 5))
def test_deviation_ratio_is_bounded_and_free_of_order_and_scale(row, scale):
    categories = [f"c{i}" for i in range(len(row))]
    counts = dict(zip(categories, row, strict=True))
    ratio = deviation_ratio(counts, categories)
    assert 0 <= ratio <= 1 + 1e-12
    assert deviation_ratio(counts, categories[::-1]) == ratio
    assert deviation_ratio({c: scale * n for c, n in counts.items()}, categories) == pytest.approx(ratio)


@pytest.mark.parametrize(
    ("counts", "categories", "word"),
    [
        ({"woman": 1}, ("woman",), "two or more"),
        ({"woman": 1}, ("woman", "woman"), "two or more"),
        ({"woman": 1, "robot": 1}, GENDERS, "robot"),
        ({"woman": -1, "man": 2}, GENDERS, "negative"),
        ({"woman": 0, "man": 0}, GENDERS, "no images"),
        ({}, GENDERS, "no images"),
    ],
)
def test_deviation_ratio_refuses(counts, categories, word):
    with pytest.raises(DirectrixError, match=word):
        deviation_ratio(counts, categories)


def test_mean_deviation_ratio_weighs_groups_alike_and_leaves_unscored_out():
    labels = {"nurse": ["woman"] * 40, "pilot": ["man", "woman", None, None]}
    figure = mean_deviation_ratio(labels, GENDERS)
    assert figure.value == pytest.approx((1.0 + 0.0) / 2)
    assert figure.n == 42
    assert figure.low <= figure.value <= figure.high
    assert figure == mean_deviation_ratio(labels, GENDERS)


def test_mean_deviation_ratio_refuses_a_group_without_labels():
    with pytest.raises(DirectrixError, match="pilot"):
        mean_deviation_ratio({"nurse": ["woman"], "pilot": [None, None]}, GENDERS)


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
def test_wilson_intervals_equal_scipys(confidence):
    for n in (1, 2, 5, 20, 113, 2000):
        for successes in {0, 1, n // 3, n // 2, n - 1, n}:
            figure = proportion(successes, n, confidence=confidence)
            expected = binomtest(successes, n).proportion_ci(confidence, method="wilson")
            assert figure.value == successes / n
            assert figure.low == pytest.approx(expected.low, abs=1e-12)
            assert figure.high == pytest.approx(expected.high, abs=1e-12)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_intervals_hold_the_share(case):
    successes, n = case
    figure = proportion(successes, n)
    assert 0 <= figure.low <= figure.value <= figure.high <= 1
    mirrored = proportion(n - successes, n)
    assert figure.low == pytest.approx(1 - mirrored.high)


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (-1, 5), (6, 5)])
def test_proportion_refuses(successes, n):
    with pytest.raises(DirectrixError, match="share"):
        proportion(successes, n)


@pytest.mark.parametrize("confidence", [0, 1, 95, math.nan])
def test_confidence_is_a_share(confidence):
    with pytest.raises(DirectrixError, match="confidence"):
        proportion(1, 2, confidence=confidence)


def _mean(clusters):
    return float(np.mean([np.mean(cluster) for cluster in clusters]))


def test_bootstrap_repeats_by_seed_and_holds_the_figure():
    values = {"a": [0.0, 0.2], "b": [0.5], "c": [1.0, 0.8, 0.9]}
    figure = bootstrap(values, _mean, seed=3, resamples=400)
    assert figure == bootstrap(values, _mean, seed=3, resamples=400)
    noisy = {str(i): [math.sin(i)] for i in range(30)}
    assert bootstrap(noisy, _mean, seed=3) != bootstrap(noisy, _mean, seed=4)
    assert figure.low <= figure.value <= figure.high
    assert figure.value == pytest.approx(np.mean([0.1, 0.5, 0.9]))
    assert figure.n == 6


def test_bootstrap_draws_clusters_not_values():
    """Values that differ only inside their cluster give no spread, however many there are."""
    figure = bootstrap({"a": [0, 1] * 50, "b": [1, 0] * 50}, _mean)
    assert (figure.low, figure.high) == (0.5, 0.5)


def test_bootstrap_interval_has_the_known_width():
    generator = np.random.default_rng(1)
    values = {str(i): [float(v)] for i, v in enumerate(generator.normal(size=200))}
    figure = bootstrap(values, _mean, resamples=2000)
    error = np.std([v[0] for v in values.values()]) / math.sqrt(200)
    assert figure.high - figure.low == pytest.approx(2 * 1.96 * error, rel=0.1)


@pytest.mark.parametrize("values", [{}, {"a": []}, {"a": [1.0], "b": []}])
def test_bootstrap_refuses_nothing(values):
    with pytest.raises(DirectrixError, match="no values"):
        bootstrap(values, _mean)


def test_interval_is_written_as_results_hold_it():
    figure = Interval(1 / 3, 0.25, 0.5, 12)
    assert figure.as_dict() == {"value": 0.3333, "low": 0.25, "high": 0.5, "n": 12}
    assert str(figure) == "0.33 [0.25, 0.50]"


def test_the_docstrings_noise_figure():
    """20 pictures from a fair coin: the mean D that deviation.py's docstring names."""
    generator = np.random.default_rng(0)
    draws = [deviation_ratio(Counter(generator.choice(GENDERS, 20).tolist()), GENDERS) for _ in range(2000)]
    assert np.mean(draws) == pytest.approx(0.18, abs=0.01)


def test_jackknife_of_a_mean_is_the_textbook_standard_error():
    values = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0]
    clusters = {str(place): [each] for place, each in enumerate(values)}

    def mean(rows):
        return sum(row[0] for row in rows) / len(rows)

    found = jackknife(clusters, mean)
    mu = sum(values) / len(values)
    error = math.sqrt(sum((each - mu) ** 2 for each in values) / (len(values) - 1) / len(values))
    assert found.value == pytest.approx(mu) and found.n == 8
    assert found.high - found.value == pytest.approx(1.959964 * error, rel=1e-6)
    with pytest.raises(DirectrixError, match="jackknife"):
        jackknife({"one": [1.0]}, mean)


@given(values=st.lists(st.floats(-100, 100), min_size=1, max_size=60))
def test_a_median_s_interval_holds_it_and_is_of_the_values(values):
    found = median(values)
    assert found.low <= found.value <= found.high and {found.low, found.high} <= set(values)
    assert found.n == len(values)
    if len(values) < 6:
        assert (found.low, found.high) == (min(values), max(values))


def test_a_median_s_interval_covers_it_as_often_as_it_says():
    """Of skewed values too; the places are those of the sign test (Conover, Practical Nonparametric Statistics)."""
    assert [median(range(n))[1:3] for n in (6, 10, 20, 40)] == [(0, 5), (1, 8), (5, 14), (13, 26)]
    random = np.random.default_rng(0)
    draws = random.exponential(size=(2000, 15))
    covered = [found.low <= math.log(2) <= found.high for found in map(median, draws.tolist())]
    assert 0.94 <= np.mean(covered) <= 0.99


def test_a_median_of_nothing():
    with pytest.raises(DirectrixError, match="no values"):
        median([])
