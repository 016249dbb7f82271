"""What every metric keeps: its range, its zero, symmetry, and what must not matter."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from directrix.measurement.evaluation.quality import fid, kid
from directrix.measurement.metrics import (
    clip_score,
    clustered_share,
    deviation_ratio,
    deviation_ratios,
    entropy,
    feature_distance,
    l2_distance,
    mean_deviation_ratio,
    obedience,
    paired_difference,
    psnr,
    target_distance,
    worst_deviation_ratio,
)

COUNTS = st.lists(st.integers(0, 50), min_size=2, max_size=5).filter(any)
LABELS = st.dictionaries(
    st.text("abc", min_size=1, max_size=3),
    st.lists(st.sampled_from(["w", "m", None]), min_size=1, max_size=8).filter(any),
    min_size=1,
    max_size=6,
)
FLAGS = st.dictionaries(
    st.text("abc", min_size=1, max_size=3),
    st.lists(st.sampled_from([True, False, None]), min_size=1, max_size=6),
    min_size=1,
    max_size=6,
)
FEATURES = arrays.arrays(np.float64, st.tuples(st.integers(4, 12), st.just(3)), elements=st.floats(-5, 5, width=32))


def named(row):
    return {f"c{i}": count for i, count in enumerate(row)}


@given(COUNTS, st.integers(1, 9), st.randoms())
def test_distances_to_a_target(row, scale, random):
    counts, categories = named(row), list(named(row))
    even = dict.fromkeys(categories, 1 / len(categories))
    for figure, most in ((target_distance, 1), (l2_distance, math.sqrt(2))):
        assert 0 <= figure(counts, even) <= most + 1e-12
        assert figure(named([scale * n for n in row]), even) == pytest.approx(figure(counts, even))
        own = {name: count / sum(row) for name, count in counts.items()}
        assert figure(counts, own) == pytest.approx(0, abs=1e-12)
    assert 0 <= entropy(counts, categories) <= 1
    shuffled = list(row)
    random.shuffle(shuffled)
    assert entropy(named(shuffled), categories) == pytest.approx(entropy(counts, categories))
    # An even mix is the only one with all three at their best.
    assert (entropy(counts, categories) > 1 - 1e-12) == (len(set(row)) == 1)
    if len(row) == 2:
        assert deviation_ratio(counts, categories) == pytest.approx(2 * target_distance(counts, even))


@settings(max_examples=40)
@given(LABELS)
def test_deviation_by_group(labels):
    each = deviation_ratios(labels, ("w", "m"))
    worst, mean = worst_deviation_ratio(labels, ("w", "m")), mean_deviation_ratio(labels, ("w", "m"))
    for figure in (*each.values(), worst, mean):
        assert 0 <= figure.low <= figure.value <= figure.high <= 1 + 1e-12
    assert worst.value == max(figure.value for figure in each.values())
    assert worst.high == max(figure.high for figure in each.values())
    assert mean.value == pytest.approx(np.mean([figure.value for figure in each.values()]))
    assert worst.n == mean.n == sum(figure.n for figure in each.values())
    swapped = {g: [{"w": "m", "m": "w"}.get(v or "") for v in row] for g, row in labels.items()}
    assert worst_deviation_ratio(swapped, ("w", "m")) == pytest.approx(worst)


@settings(max_examples=40)
@given(FLAGS)
def test_shares(flags):
    pictures = [each for row in flags.values() for each in row]
    obeyed = obedience(flags)
    assert obeyed.value == pytest.approx(pictures.count(True) / len(pictures))
    assert 0 <= obeyed.low <= obeyed.value <= obeyed.high <= 1 and obeyed.n == len(pictures)
    # A finding of everything is never certain, nor is one of nothing.
    assert obeyed.high > 0 and obeyed.low < 1


@settings(max_examples=40)
@given(FEATURES, FEATURES, st.floats(0.1, 10))
def test_distances_between_sets(a, b, scale):
    own, other = fid(a, a), fid(a, b)
    size = 1 + np.abs(a).max() ** 2 + np.abs(b).max() ** 2
    assert own == pytest.approx(0, abs=1e-6 * size) and other >= 0
    assert fid(b, a) == pytest.approx(other, abs=1e-6 * size)
    assert fid(a[::-1], b) == pytest.approx(other, abs=1e-6 * size)
    assert fid(a + 1, b + 1) == pytest.approx(other, abs=1e-6 * size)
    assert fid(scale * a, scale * b) == pytest.approx(scale**2 * other, abs=1e-5 * size * scale**2)
    least = min(len(a), len(b))
    full = kid(a[:least], b[:least], subsets=1, subset_size=least).value
    assert kid(b[:least], a[:least], subsets=1, subset_size=least).value == pytest.approx(full, abs=1e-6 * size**3)
    figure = kid(a, b, subsets=9)
    assert figure.low <= figure.value <= figure.high and figure.n == len(a) + len(b)
    assert figure == kid(a, b, subsets=9)


@given(FEATURES.filter(lambda a: (np.abs(a).max(axis=1) > 0).all()), st.floats(1e-6, 1e6))
def test_angles_do_not_know_lengths(a, scale):
    assert feature_distance(a, scale * a) == pytest.approx(np.zeros(len(a)), abs=1e-9)
    assert feature_distance(a, -a) == pytest.approx(np.full(len(a), 2), abs=1e-9)
    assert clip_score(a, scale * a) == pytest.approx(np.full(len(a), 100))
    assert clip_score(a, -a).max() == 0
    mixed = feature_distance(a, a[::-1])
    assert mixed == pytest.approx(mixed[::-1]) and mixed.min() >= 0 and mixed.max() <= 2


@given(arrays.arrays(np.uint8, (4, 3, 3)), arrays.arrays(np.uint8, (4, 3, 3)))
def test_psnr(a, b):
    assert psnr(a, a) == math.inf and psnr(a, a, limit=99.0) == 99.0
    assert psnr(a, b) == psnr(b, a) >= 0
    assert (psnr(a, b) == math.inf) == bool((a == b).all())


@settings(max_examples=30)
@given(FLAGS)
def test_nothing_changed_is_a_difference_of_zero(flags):
    values = {prompt: [float(each or 0) for each in row] for prompt, row in flags.items()}
    assert paired_difference(values, values)[:3] == (0, 0, 0)
    more = {prompt: [each + 1 for each in row] for prompt, row in values.items()}
    found = paired_difference(values, more)
    assert found[:3] == pytest.approx((1, 1, 1))
    assert paired_difference(more, values)[:3] == pytest.approx((-1, -1, -1))


def test_clustered_shares_know_who_belongs_together():
    """Prompts that give all or nothing leave far more doubt than as many pictures that stand alone."""
    together = clustered_share({str(i): [i % 2 == 0] * 50 for i in range(8)})
    apart = clustered_share({str(i): [j % 2 == 0 for j in range(50)] for i in range(8)})
    assert together.value == apart.value == 0.5
    assert together.high - together.low > 0.4 > apart.high - apart.low
    assert Counter([together.n, apart.n]) == {400: 2}
