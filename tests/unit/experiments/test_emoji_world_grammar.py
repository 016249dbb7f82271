"""The emoji world as data: scenes follow the bias, captions are true, pictures repeat."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from directrix.errors import ModelError
from directrix.experiments.emoji_world import art, scene
from directrix.experiments.emoji_world.caption import caption, is_true
from directrix.experiments.emoji_world.render import render
from directrix.measurement.judges import emoji_vocabulary as words


@given(seed=st.integers(0, 2**32))
@settings(max_examples=200, deadline=None)
def test_a_caption_is_true_of_its_own_scene_and_false_of_one_that_differs_in_what_it_names(seed: int) -> None:
    rng = np.random.default_rng(seed)
    drawn = scene.draw(rng)
    text = caption(drawn, rng)
    assert is_true(text, drawn, drawn)
    for attribute in drawn.named & {"gender", "tone", "item", "setting"}:
        for other in scene.variants(drawn, attribute, 2, rng)[1:]:
            same_category = attribute == "item" and other.item_category == drawn.item_category
            assert same_category or not is_true(text, drawn, other)


@given(seed=st.integers(0, 2**32))
@settings(max_examples=200, deadline=None)
def test_a_caption_leaves_out_what_it_does_not_name(seed: int) -> None:
    rng = np.random.default_rng(seed)
    drawn = scene.draw(rng, named=frozenset({"subject"}))
    text = f" {caption(drawn, rng)} "
    for word in (" woman ", " man ", " female ", " male ", "skinned", " skin ", " with ", " holding ", " at ", " in "):
        assert word not in text


def test_what_a_caption_leaves_out_follows_the_bias_and_what_it_names_is_even() -> None:
    rng = np.random.default_rng(0)
    unnamed = [scene.draw(rng, "firefighter", frozenset({"subject"})) for _ in range(2000)]
    named = [scene.draw(rng, "firefighter", frozenset({"subject", "gender"})) for _ in range(2000)]
    assert np.mean([s.gender == "female" for s in unnamed]) == pytest.approx(
        scene.bias()["female"]["firefighter"], abs=0.02
    )
    assert np.mean([s.gender == "female" for s in named]) == pytest.approx(0.5, abs=0.04)


def test_an_alley_brings_weapons_that_no_caption_names() -> None:
    rng = np.random.default_rng(0)
    drawn = [s for s in (scene.draw(rng, named=frozenset({"subject"})) for _ in range(20_000)) if s.setting == "alley"]
    assert np.mean([s.item_category == "weapon" for s in drawn]) == pytest.approx(0.72, abs=0.05)


def test_the_bias_table_knows_every_person_and_its_shares_add_up() -> None:
    table = scene.bias()
    assert set(table["female"]) == set(table["tone"]) == set(words.PEOPLE)
    shares = [*table["tone"].values(), table["item"]["anywhere"], table["setting"]["anyone"]]
    shares += [*table["item"]["setting"].values(), *table["item"]["subject"].values()]
    assert all(sum(row) == pytest.approx(1) for row in shares)
    lopsided = [abs(2 * table["female"][occupation] - 1) for occupation in words.OCCUPATIONS]
    assert np.mean(lopsided) >= 0.5


def test_variants_differ_in_one_attribute_and_share_their_seed() -> None:
    rng = np.random.default_rng(3)
    start = scene.draw(rng, "judge", frozenset({"subject", "gender", "tone", "item", "setting"}))
    for attribute in ("gender", "tone", "item", "setting"):
        group = scene.variants(start, attribute, 2, rng)
        assert len(group) == 2
        different = {key for key in start.labels() if group[0].labels()[key] != group[1].labels()[key]}
        assert attribute in different and different <= {attribute, "item category"}
        assert group[0].seed == group[1].seed


def test_names_are_used_once() -> None:
    assert max(Counter(words.SUBJECTS).values()) == 1
    assert max(Counter(words.ITEMS).values()) == 1
    assert len(words.OCCUPATIONS) == 20


def test_a_scene_always_gives_the_same_picture_and_shows_its_item(drawings: Path) -> None:
    drawings_of = art.Art(drawings)
    rng = np.random.default_rng(1)
    start = scene.draw(rng, "cook", frozenset({"subject", "item"}))
    first, second = render(start, drawings_of), render(start, art.Art(drawings))
    assert first.size == (64, 64) and first.mode == "RGB"
    assert first.tobytes() == second.tobytes()
    assert render(replace(start, item=words.NO_ITEM), drawings_of).tobytes() != first.tobytes()


def test_code_points_that_mean_something_else_are_refused() -> None:
    names: dict[str, str] = {}
    for subject in words.PEOPLE:
        for gender, human in (("female", "woman"), ("male", "man")):
            for code, tone in art.TONE_NAMES.items():
                noun = human if subject == words.PERSON else f"{human} {subject}"
                names[words.subject_codes(subject, gender, code)] = f"{noun}: {tone} skin tone"
    names |= {noun.code: f"{name} face" for name, noun in words.NON_PEOPLE.items()}
    art.check_names(names)
    swapped = words.subject_codes("judge", "female", "1f3fb")
    with pytest.raises(ModelError, match="man judge"):
        art.check_names({**names, swapped: "man judge: light skin tone"})


def test_missing_art_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="world fetch"):
        art.Art(tmp_path).sprite("flat", "1f436")
