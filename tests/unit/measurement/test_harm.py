"""Shares of harm, of attacks and of obedience on hand-worked cases, and likeness and pairs where they refuse."""

import time

import numpy as np
import pytest

from directrix.errors import DirectrixError, MismatchError
from directrix.measurement.evaluation.quality import fid, kid
from directrix.measurement.metrics import (
    attack_success,
    clip_score,
    clustered_share,
    deviation_ratios,
    entropy,
    feature_distance,
    mean_over_clusters,
    mean_over_groups,
    obedience,
    paired_difference,
    paired_reduction,
    proportion,
    psnr,
    target_distance,
    worst_deviation_ratio,
)
from directrix.measurement.metrics.distribution import deviation_ratio


def test_no_harm_in_many_pictures_of_few_prompts_is_not_certain():
    rows = {str(i): [False] * 100 for i in range(10)}
    assert clustered_share(rows) == (0.0, 0.0, proportion(0, 10).high, 1000)
    alone = clustered_share({"one prompt": [True] * 3 + [False] * 7})
    assert alone == proportion(3, 10)


def test_attacks_count_what_was_harmful_without_the_intervention():
    before = {"a": [True, True, False, None], "b": [True, False], "c": [False, False], "d": [True]}
    after = {"a": [True, False, True, True], "b": [None, True], "c": [True, True], "d": [None]}
    found = attack_success(before, after)
    assert (found.value, found.n) == (0.5, 2)
    # By prompt: a and b are harmful before and after; d could not be judged; c was not harmful before.
    by_prompt = attack_success(before, after, unit="prompt")
    assert (by_prompt.value, by_prompt.n) == (1.0, 2)
    with pytest.raises(MismatchError, match="'b'"):
        attack_success(before, {**after, "b": [True]})
    with pytest.raises(MismatchError, match="'d'"):
        attack_success(before, {name: row for name, row in after.items() if name != "d"})
    with pytest.raises(DirectrixError, match="No picture is harmful"):
        attack_success({"c": [False]}, {"c": [True]})


def test_obedience_counts_unscored_against():
    shown = {"a": [True, True, None], "b": [True, False, False], "c": [True, True, True]}
    assert obedience(shown).value == pytest.approx(6 / 9)
    assert obedience(shown, least=1.0).value == pytest.approx(1 / 3)
    assert obedience(shown, least=2 / 3).value == pytest.approx(2 / 3)
    assert obedience({"a": np.array([True, False])}).value == 0.5  # type: ignore[dict-item]
    for wrong in ({}, {"a": []}):
        with pytest.raises(DirectrixError, match="no picture"):
            obedience(wrong)
    with pytest.raises(DirectrixError, match="share"):
        obedience(shown, least=0)


def test_groups_all_alike_are_not_certain_and_the_worst_is_the_worst():
    labels = {"nurse": ["w"] * 20, "pilot": ["m"] * 15 + ["w"] * 5, "cook": ["w"] * 10 + ["m"] * 10}
    each = deviation_ratios(labels, ("w", "m"))
    assert [figure.value for figure in each.values()] == [1.0, 0.5, 0.0]
    share = proportion(15, 20)
    assert each["pilot"][1:3] == pytest.approx((2 * share.low - 1, 2 * share.high - 1))
    assert each["nurse"].low == pytest.approx(2 * proportion(20, 20).low - 1) and each["nurse"].low < 0.8
    worst = worst_deviation_ratio(labels, ("w", "m"))
    assert worst.value == 1.0 and worst.n == 60
    # Three groups must hold at once.
    assert worst.low == pytest.approx(2 * proportion(20, 20, confidence=1 - 0.05 / 3).low - 1)
    for wrong in ({}, {"nurse": [None]}):
        with pytest.raises(DirectrixError, match="has a label"):
            worst_deviation_ratio(wrong, ("w", "m"))


def test_worst_interval_holds_the_true_worst():
    """Twenty fair groups: the true worst is 0, whatever the noise shows."""
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        labels = {str(i): rng.choice(["w", "m"], 50).tolist() for i in range(20)}
        figure = worst_deviation_ratio(labels, ("w", "m"))
        covered += figure.low == 0
        assert figure.value > 0
    assert covered >= 180


def test_any_figure_of_counts_can_be_averaged():
    labels = {"nurse": ["w", "w", None], "pilot": ["w", "m"]}
    target = {"w": 0.5, "m": 0.5}
    assert mean_over_groups(labels, lambda counts: target_distance(counts, target)).value == pytest.approx(0.25)
    assert mean_over_groups(labels, lambda counts: entropy(counts, ("w", "m"))).value == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("counts", "target", "why"),
    [
        ({"w": 1}, {"w": 0.5}, "sum to 1"),
        ({"w": 1}, {"w": 1.5, "m": -0.5}, "sum to 1"),
        ({"w": 1}, {}, "sum to 1"),
        ({"x": 1}, {"w": 0.5, "m": 0.5}, "x"),
        ({"w": -1}, {"w": 0.5, "m": 0.5}, "0 or more"),
        ({"w": 0}, {"w": 0.5, "m": 0.5}, "no images"),
    ],
)
def test_distributions_that_are_none_are_refused(counts, target, why):
    with pytest.raises(DirectrixError, match=why):
        target_distance(counts, target)


def test_known_likeness():
    black, white = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)
    assert psnr(black, white) == 0
    assert psnr(black, black + 1) == pytest.approx(48.13, abs=0.01)
    with pytest.raises(MismatchError, match="uint8"):
        psnr(black, white.astype(float))
    with pytest.raises(MismatchError, match="same shape"):
        psnr(black, white[:2])
    assert clip_score([[1.0, 0.0]], [[1.0, 1.0]]) == pytest.approx([70.7107], abs=1e-3)
    for a, b in (([[0.0, 0.0]], [[1.0, 0.0]]), ([[np.nan, 0.0]], [[1.0, 0.0]]), ([[1.0]], [[1.0, 0.0]])):
        with pytest.raises(MismatchError):
            feature_distance(a, b)


def test_sets_that_cannot_be_compared_are_refused():
    good = np.random.default_rng(0).normal(size=(10, 3))
    for bad in (good[:1], good[:, :2], good[:, 0], good * np.nan):
        for figure in (fid, kid):
            with pytest.raises(MismatchError):
                figure(good, bad)
    for options in ({"subsets": 0}, {"subset_size": 1}, {"subset_size": 11}):
        with pytest.raises(DirectrixError, match="subsets"):
            kid(good, good, **options)


def test_a_reduction_says_how_much_is_gone():
    before = {"a": [True, True, True, False], "b": [True, False, False, False]}
    after = {"a": [True, False, False, False], "b": [False, False, False, False]}
    found = paired_reduction(before, after)
    assert found.value == pytest.approx(0.75) and found.low <= 0.75 <= found.high == 1.0
    assert paired_difference(before, after).value == pytest.approx(-3 / 8)
    with pytest.raises(DirectrixError, match="nothing to reduce"):
        paired_reduction({"a": [0.0]}, {"a": [1.0]})
    with pytest.raises(MismatchError, match="'b'"):
        paired_difference(before, {"a": [True]})
    with pytest.raises(DirectrixError, match="'b' has none"):
        paired_difference(before, {"a": [True], "b": []})


def test_pairs_say_more_than_two_figures():
    """Prompts differ much, the intervention changes each a little: pairs see it."""
    rng = np.random.default_rng(0)
    levels = rng.normal(size=30)
    before = {str(i): [float(level)] for i, level in enumerate(levels)}
    after = {str(i): [float(level) + 0.2 + 0.05 * rng.normal()] for i, level in enumerate(levels)}
    found = paired_difference(before, after)
    assert 0.1 < found.low < 0.2 < found.high < 0.3


def test_a_study_of_36_prompts_is_resampled_in_a_moment():
    rng = np.random.default_rng(0)
    labels = {str(i): rng.choice(["w", "m"], 150).tolist() for i in range(36)}
    start = time.process_time()
    paired_difference(
        labels,
        labels,
        mean_over_clusters(lambda row: deviation_ratio({"w": row.count("w"), "m": row.count("m")}, "wm")),
    )
    assert time.process_time() - start < 1
