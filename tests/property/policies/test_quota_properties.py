"""Quotas hold for every target, seed and number of images, not only for convenient ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from directrix.policies.quotas import Quotas, Target

SEEDS = st.integers(0, 2**31)


@st.composite
def targets(draw: st.DrawFn, name: str = "gender", most: int = 5) -> Target:
    weights = draw(st.lists(st.integers(0, 20), min_size=2, max_size=most).filter(any))
    return Target.of(name, {f"{name} {i}": weight / sum(weights) for i, weight in enumerate(weights)})


def lag(given: Sequence[str], target: Target, total: int | None = None) -> Fraction:
    """By how many images the worst category is off its share."""
    counts = Counter(given)
    return max(abs(counts[name] - (total or len(given)) * share) for name, share in target.shares)


@given(targets(), st.integers(1, 60), SEEDS)
def test_every_prefix_is_within_one_image(target: Target, images: int, seed: int):
    (given_,) = zip(*Quotas(images, seed).assign(0, [target]), strict=True)
    assert all(lag(given_[:m], target) < 1 for m in range(1, images + 1))


@given(targets(), st.integers(1, 40), SEEDS)
def test_a_single_prompt_is_served_by_greatest_remainders(target: Target, images: int, seed: int):
    counts = Counter(category for (category,) in Quotas(images, seed).assign(0, [target]))
    exact = {name: images * share for name, share in target.shares}
    extra = {name: counts[name] - int(exact[name]) for name in exact}
    assert set(extra.values()) <= {0, 1}
    remainders = {name: exact[name] - int(exact[name]) for name in exact}
    least_served = min((remainders[n] for n in exact if extra[n]), default=Fraction(1))
    assert all(remainders[name] <= least_served for name in exact if not extra[name])


@given(targets(most=3), st.integers(1, 8), st.integers(1, 25), SEEDS)
def test_left_over_images_go_round_the_prompts(target: Target, images: int, prompts: int, seed: int):
    quotas = Quotas(images, seed)
    seen: list[str] = []
    for prompt in range(prompts):
        own = [category for (category,) in quotas.assign(prompt, [target])]
        seen += own
        assert lag(own, target) < 1
        assert lag(seen, target) < 1


@given(targets(most=6), st.integers(1, 8), st.integers(1, 15), SEEDS)
def test_many_categories_stay_near_their_share_over_prompts(target: Target, images: int, prompts: int, seed: int):
    quotas = Quotas(images, seed)
    seen: list[str] = []
    for prompt in range(prompts):
        own = [category for (category,) in quotas.assign(prompt, [target])]
        seen += own
        assert lag(own, target) < 1
        assert lag(seen, target) < 2


@given(targets(), targets("tone", most=4), st.integers(1, 30), st.integers(1, 4), SEEDS)
@settings(max_examples=60)
def test_combining_takes_nothing_from_the_attributes(
    gender: Target, tone: Target, images: int, prompts: int, seed: int
):
    quotas = Quotas(images, seed)
    for prompt in range(prompts):
        cells = quotas.assign(prompt, [gender, tone])
        for target, given_ in zip((gender, tone), zip(*cells, strict=True), strict=True):
            assert lag(given_, target) < 1
            # Which images are left over for a later prompt may put a prefix of it out of reach.
            assert all(lag(given_[:m], target) < (2 if prompt else 1) for m in range(1, images + 1))


@given(st.integers(1, 40), st.integers(1, 5), SEEDS)
@settings(max_examples=60)
def test_combinations_are_even_too(images: int, prompts: int, seed: int):
    gender = Target.of("gender", {"woman": 0.5, "man": 0.5})
    tone = Target.of("tone", dict.fromkeys(("light", "brown", "dark"), 1 / 3))
    quotas = Quotas(images, seed)
    for prompt in range(prompts):
        counts = Counter(quotas.assign(prompt, [gender, tone]))
        each = Fraction(images, 6)
        lags = [abs(counts[g, t] - each) for g, _ in gender.shares for t, _ in tone.shares]
        assert max(lags) < (1 if images % 6 == 0 else 1.5)


@given(targets(), targets("tone"), st.integers(1, 12), SEEDS)
@settings(max_examples=30)
def test_the_same_seed_gives_the_same_and_later_prompts_change_nothing(
    gender: Target, tone: Target, images: int, seed: int
):
    def run(prompts: int) -> list[list[tuple[str, ...]]]:
        quotas = Quotas(images, seed)
        return [quotas.assign(prompt, [gender, tone]) for prompt in range(prompts)]

    assert run(4)[:2] == run(2)


def test_seeds_and_prompts_shuffle_the_order():
    target = Target.of("gender", {"woman": 0.5, "man": 0.5})
    orders = set()
    for seed in range(5):
        quotas = Quotas(20, seed)
        orders |= {tuple(quotas.assign(prompt, [target])) for prompt in range(4)}
    assert len(orders) == 20
    # Not a period of two: pairs come in both orders.
    assert all(len({order[m : m + 2] for m in range(0, 20, 2)}) == 2 for order in orders)


def test_one_image_of_many_prompts_meets_the_target_and_its_combinations():
    gender = Target.of("gender", {"woman": 0.7, "man": 0.3})
    tone = Target.of("tone", dict.fromkeys(("light", "brown", "dark"), 1 / 3))
    quotas = Quotas(1, 0)
    seen = [quotas.assign(prompt, [gender, tone])[0] for prompt in range(90)]
    counts = Counter(seen)
    assert Counter(g for g, _ in seen) == {"woman": 63, "man": 27}
    assert all(abs(counts[g, t] - 90 * share / 3) < 3 for g, share in gender.shares for t, _ in tone.shares)
