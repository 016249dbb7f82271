"""Quotas are met exactly, whatever the images show and in whatever batches they come, with the fewest changes."""

from __future__ import annotations

from collections import Counter
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from directrix.experiments.reach.fairness import most_that_fit
from directrix.interventions.reading import Reading
from directrix.interventions.tally import Tally
from directrix.measurement.reports.leakage import CATEGORIES

GENDERS, TONES = CATEGORIES["gender"], CATEGORIES["tone"]
ROWS = [{"gender": gender, "tone": tone} for gender, tone in product(GENDERS, TONES)]
SHOWN = st.lists(st.tuples(st.sampled_from(GENDERS), st.sampled_from(TONES)), min_size=12, max_size=12)


def read(shown: tuple[str, str]) -> Reading:
    """Sure of what an image shows."""
    return {
        attribute: {name: 0.9 if name == label else 0.1 / (len(names) - 1) for name in names}
        for (attribute, names), label in zip(CATEGORIES.items(), shown, strict=True)
    }


@settings(max_examples=40, deadline=None)
@given(SHOWN, st.integers(1, 12))
def test_every_category_comes_as_often_as_the_quota_has_it(shown: list[tuple[str, str]], batch: int):
    tally = Tally([0] * 12, ROWS * 2)
    for first in range(0, 12, batch):
        images = range(first, min(12, first + batch))
        tally.deal(images, [read(shown[image]) for image in images])
    dealt = [tally.dealt[image] for image in range(12)]
    assert Counter(each["gender"] for each in dealt) == dict.fromkeys(GENDERS, 6)
    assert Counter(each["tone"] for each in dealt) == dict.fromkeys(TONES, 4)


@settings(max_examples=40, deadline=None)
@given(SHOWN)
def test_as_many_images_are_left_as_any_assignment_leaves(shown: list[tuple[str, str]]):
    tally = Tally([0] * 12, ROWS * 2)
    tally.deal(range(12), list(map(read, shown)))
    left = sum(tuple(tally.dealt[image].values()) == shown[image] for image in range(12))
    assert left == most_that_fit(shown, 12)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(GENDERS), st.sampled_from(TONES))
def test_what_must_change_gets_the_combinations_that_are_missing(gender: str, tone: str):
    tally = Tally([0] * 12, ROWS * 2)
    tally.deal(range(12), [read((gender, tone))] * 12)
    # Four of one combination stay, as many as there are of the tone; two more than evenly.
    dealt = Counter(tuple(each.values()) for each in tally.dealt.values())
    assert dealt[gender, tone] == 4
    assert max(count for row, count in dealt.items() if row != (gender, tone)) <= 3
    assert len(dealt) >= 5
