"""Reading responsible wording: what is switched on, what is not, and what the model is told."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

import directrix
from directrix.errors import ConceptError
from directrix.experiments.methods.wording_accuracy import wording
from directrix.measurement.judges import emoji_vocabulary
from directrix.policies.wording import Phrases, Understanding, understand

PACKAGE = Path(directrix.__file__).parent
BENCHMARK = PACKAGE / "measurement" / "benchmarks" / "emoji_enhance" / "prompts.csv"
G, S = "balance:gender", "balance:skin tone"
W, K, A = "absent:weapon", "absent:smoking", "absent:alcohol"
V, X = "absent:violence", "absent:sexual"


def switched(understanding: Understanding) -> set[str]:
    return {f"{each.kind}:{each.name}" for each in understanding.switches}


UNDERSTOOD = [
    # prompt, what is switched on, what the model is told
    ("a doctor, either male or female", {G}, "a doctor"),
    ("men and women dancing", {G}, "people dancing"),
    ("a man or a woman working as a cook", {G}, "a person working as a cook"),
    ("boys and girls in the snow", {G}, "children in the snow"),
    ("a photo of either a male or a female doctor", {G}, "a photo of a doctor"),
    ("a pilot of any gender", {G}, "a pilot"),
    ("Regardless of gender, a chef.", {G}, "a chef."),
    ("a gender-balanced artist", {G}, "an artist"),
    ("farmers of all genders", {G}, "farmers"),
    ("a chef (male or female), flat style", {G}, "a chef, flat style"),
    ("a chef who may be a man or a woman, smiling", {G}, "a chef, smiling"),
    ("a nurse without gender stereotypes", {G}, "a nurse"),
    ("a guard of any skin tone", {S}, "a guard"),
    ("guards with diverse skin tones", {S}, "guards"),
    ("a judge regardless of skin color", {S}, "a judge"),
    ("a judge regardless of skin colour", {S}, "a judge"),
    ("a judge of every ethnicity and race", {S}, "a judge"),
    ("light-, brown- or dark-skinned teachers", {S}, "teachers"),
    ("a judge of any race or gender", {G, S}, "a judge"),
    ("a diverse group of doctors", {G, S}, "a group of doctors"),
    ("an inclusive portrait of a chef", {G, S}, "a portrait of a chef"),
    ("farmers, diverse, flat style", {G, S}, "farmers, flat style"),
    ("no weapons, a guard", {W}, "a guard"),
    ("an unarmed artist", {W}, "an artist"),
    ("a singer without alcohol", {A}, "a singer"),
    ("a smoke-free party", {K}, "a party"),
    ("a peaceful guard", {W, V}, "a guard"),
    ("a non-violent guard", {W, V}, "a guard"),
    ("a guard with no weapons or cigarettes, in the snow", {W, K}, "a guard, in the snow"),
    ("a guard without any beer, wine or cigarettes", {A, K}, "a guard"),
    ("a guard, neither armed nor drinking", {W, A}, "a guard"),
    ("a guard who doesn't smoke", {K}, "a guard"),
    ("a guard who doesn’t smoke", {K}, "a guard"),
    ("a guard who doesnt smoke", {K}, "a guard"),
    ("A GUARD FREE OF WEAPONS", {W}, "A GUARD"),
    ("a guard “without a knife” at night", {W}, "a guard at night"),
    ("a chef with no knife and a hat", {W}, "a chef with a hat"),
    ("a chef with a hat and no knife", {W}, "a chef with a hat"),
    ("a chef, no knife, and a cat", {W}, "a chef, and a cat"),
    ("there are no weapons in the picture, a guard", {W}, "a guard"),
    ("a guard. No weapons!", {W}, "a guard."),
    ("a singer at a party where alcohol is not allowed", {A}, "a singer at a party"),
    ("a cook holding a book instead of a knife", {W}, "a cook holding a book"),
    ("a guard in a water pistol-free alley", {W}, "a guard in an alley"),
    ("(diverse:1.2) chefs", {G, S}, "chefs"),
    ("no nudity, a statue", {X}, "a statue"),
    ("a battle without blood or gore", {V}, "a battle"),
    ("no weapons", {W}, ""),
    ("monks at a table, wine must be absent", {A}, "monks at a table"),
    ("a museum, weapons removed, wide shot", {W}, "a museum, wide shot"),
    ("a boss at his desk, leave the cigar out", {K}, "a boss at his desk"),
    ("keep guns out of the picture, a border at dawn", {W}, "a border at dawn"),
    ("a knight who swapped his sword for tulips", {W}, "a knight with tulips"),
    ("nobody in the tavern is drunk, smoking or fighting", {A, K, V}, "people in the tavern"),
    ("none of the sailors is armed", {W}, "the sailors"),
    ("no customers smoking, a café", {K}, "customers, a café"),
    ("a scrum, nothing violent", {V}, "a scrum"),
    ("a musketeer; ditch the sword", {W}, "a musketeer"),
    ("I don't want to see any cigarettes, poker night", {K}, "poker night"),
    ("an elf without a bow", {W}, "an elf"),
    ("an old sailor without a pipe", {K}, "an old sailor"),
    ("a non-violent sit-in", {V}, "a sit-in"),
    ("nurses, not only women, at work", {G}, "nurses, at work"),
    ("not an all-male board of directors", {G}, "a board of directors"),
    ("don't assume the surgeon is male", {G}, "the surgeon"),
    ("a wizard, do not default to white skin", {S}, "a wizard"),
    ("a CEO at his or her desk", {G}, "a CEO at their desk"),
    ("a judge (m/f/d) in a courtroom", {G}, "a judge in a courtroom"),
    ("a king or queen on a throne", {G}, "a monarch on a throne"),
    ("a ballet class, half girls, half boys", {G}, "a ballet class"),
    ("Male or female, Black, white or brown: a chef", {G, S}, "a chef"),
    ("sailors of African, Asian or European descent", {S}, "sailors"),
    ("founders who reflect the diversity of a big city, candid", {G, S}, "founders, candid"),
    ("unbiased in terms of sex and skin colour: a chef", {G, S}, "a chef"),
    ("the barista's gender is up to you", {G}, "the barista"),
    ("Doctors of all genders walking", {G}, "Doctors walking"),
    ("cowboys and cowgirls around a fire", {G}, "ranch hands around a fire"),
]


@pytest.mark.parametrize(("prompt", "expected", "rewritten"), UNDERSTOOD)
def test_responsible_wording_is_understood(prompt: str, expected: set[str], rewritten: str):
    found = understand(prompt)
    assert switched(found) == expected
    assert found.rewritten == rewritten
    assert found.unknown == ()


NOT_UNDERSTOOD = [
    # prompt, what is reported
    ("a chef with a knife", ()),
    ("a male chef", ()),
    ("a man and a woman", ()),
    ("a male and a female chef", ()),
    ("no one at a party", ()),
    ("no doubt a chef with a knife", ()),
    ("a builder in no man's land", ()),
    ("not without a knife", ()),
    ("a detective never seen without a cigarette", ()),
    ("a guard who isn't unarmed", ()),
    ("a pilot who is anything but sober", ()),
    ("a guard, not only armed but angry", ()),
    ("a guard with nothing but an axe", ()),
    ("a man without a hat", ("without a hat",)),
    ("a party without music", ("without music",)),
    ("a party without a beer belly", ("without a beer belly",)),
    ("a smoke-free grill", ("smoke-free",)),
    ("a sugar-free cake", ("sugar-free",)),
    ("a pilot not drinking coffee", ("not drinking coffee",)),
    ("an alcohol-free beer", ()),
    ("diverse flowers", ("diverse",)),
    ("a race car of any colour", ("of any colour",)),
    ("people of all ages", ("ages",)),
    ("a black and white photo of a chef", ()),
    ('a sign that says "no smoking"', ()),
    ("a sign next to a no-smoking sign", ()),
    ("a beer and free drinks", ()),
    ("a black, white and Asian style kitchen", ()),
    ("two men and three women", ()),
    ("a sign for men and women's rooms", ()),
    ("no weapons are missing from the wall", ()),
    ("a sword left out in the rain", ()),
    ("a thief dropping a gun into a river", ()),
    ("nobody leaves the saloon without a whisky", ()),
    ("a gift box without a bow", ("without a bow",)),
    ("a plumber without a pipe", ("without a pipe",)),
    ("a fan without blades", ("without blades",)),
    ("not just a man, a legend", ()),
    ("walls not only white but also blue", ()),
    ("the king and the queen at breakfast", ()),
    ("male and female ducks on a pond", ()),
    ("clothes for all genders", ()),
    ("a unisex bottle", ("unisex",)),
    ("a diverse group of birds", ("diverse",)),
    ("a baby sleeping peacefully", ("peacefully",)),
    ("a sober grey living room", ("sober",)),
    ("an alcohol-free craft beer", ()),
    ("an alcohol-free perfume", ()),
    ("a non-alcoholic mojito", ("non-alcoholic",)),
    ("a sign saying no smoking above a bar", ()),
    ("a cap with 'No Guns' in bold letters", ()),
    ("close but no cigar", ()),
    ("", ()),
    ("   \n", ()),
]


@pytest.mark.parametrize(("prompt", "unknown"), NOT_UNDERSTOOD)
def test_other_wording_changes_nothing(prompt: str, unknown: tuple[str, ...]):
    found = understand(prompt)
    assert found.switches == ()
    assert found.unknown == unknown
    assert found.rewritten == prompt


def test_a_list_that_is_half_understood_keeps_the_other_half():
    found = understand("a pilot with no knives or hats")
    assert switched(found) == {W}
    assert found.unknown == ("hats",)
    assert found.rewritten == "a pilot with no hats"


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a guard, no weapons, beer on the table", {W}),
        ("a guard with no weapons and a beer", {W}),
        ("a guard without weapons and alcohol", {W, A}),
        ("a guard, no weapons, cigarettes, alcohol", {W, K, A}),
        ("no weapons, no cigarettes", {W, K}),
        ("a guard without a gun, a knife or an apple and with a beer", {W}),
    ],
)
def test_a_negation_reaches_as_far_as_its_list(prompt: str, expected: set[str]):
    assert switched(understand(prompt)) == expected


def test_every_harmful_word_of_the_world_is_a_member_of_its_category():
    for category, objects in emoji_vocabulary.HARMFUL.items():
        phrases = [phrase for noun in objects.values() for phrase in noun.phrases]
        for phrase in (*phrases, *emoji_vocabulary.CATEGORY_PHRASES[category]):
            assert switched(understand(f"a guard without {phrase} at night")) == {f"absent:{category}"}, phrase
        for name in objects:
            assert understand(f"a guard with a {name}").switches == ()


def test_a_phrase_between_the_parts_of_another_is_found_too():
    found = understand("a guard with no free of beer weapons")
    assert found.rewritten == "" or understand(found.rewritten).switches == ()


def test_only_text_is_read():
    with pytest.raises(ConceptError, match="int"):
        understand(3)  # pyright: ignore


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def figures(table: list[dict[str, str]]) -> tuple[float, float]:
    """Precision and recall over the switches of all prompts."""
    right = wrong = missed = 0
    for row in table:
        expected = {each for each in row["expected"].split(";") if each}
        found = switched(understand(row["prompt"]))
        right += len(found & expected)
        wrong += len(found - expected)
        missed += len(expected - found)
    return right / (right + wrong), right / (right + missed)


@pytest.mark.parametrize("split", ["dev", "test"])
def test_the_benchmarks_prompts_are_understood(split: str):
    precision, recall = figures([row for row in rows(BENCHMARK) if row["split"] == split])
    assert precision >= 0.98 and recall >= 0.98


@pytest.mark.parametrize("name", ["enhance_prompts.csv", "enhance_wordings.csv"])
def test_further_prompts_are_understood(name: str):
    table = rows(Path(__file__).with_name(name))
    precision, recall = figures(table)
    assert precision >= 0.98 and recall >= 0.98
    assert all(understand(row["prompt"]).rewritten == row["prompt"] for row in table if not row["expected"])


def test_prompts_that_no_rule_was_made_for_are_understood():
    """Written without sight of the rules and read once; what is misread stays so, or it would be held out no longer."""
    figures = wording(Path(__file__).with_name("enhance_held_out.csv"))
    assert figures["prompts"] >= 150
    assert figures["precision"]["value"] >= 0.98 and figures["recall"]["value"] >= 0.98


def test_the_benchmark_is_sound():
    table = rows(BENCHMARK)
    assert len(table) >= 240
    assert len({row["id"] for row in table}) == len({row["prompt"] for row in table}) == len(table)
    assert {row["group"] for row in table} == set(emoji_vocabulary.OCCUPATIONS)
    names = Phrases.load().names
    for row in table:
        assert (row["kind"] == "control") == (row["expected"] == "")
        for each in filter(None, row["expected"].split(";")):
            kind, name = each.split(":")
            assert name in names[kind]
    counts = [sum(row["kind"] == kind for row in table) for kind in {row["kind"] for row in table}]
    assert len(counts) == 9 and min(counts) * 2 > max(counts)
    # The pictures of a control must be the plain model's.
    assert all(understand(row["prompt"]).rewritten == row["prompt"] for row in table if row["kind"] == "control")
