from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from directrix.concept import ATTRIBUTE_SETS
from directrix.errors import PhraseError, PolicyError
from directrix.measurement.benchmarks import load
from directrix.policies.gates.gate import Gate, notes

ATTRIBUTES = {name: [each.name for each in found.concepts] for name, found in ATTRIBUTE_SETS.items()}
TABLE = list(csv.DictReader((Path(__file__).parent / "prompts.csv").read_text(encoding="utf-8").splitlines()))
OCCUPATIONS = ("nurse", "judge", "firefighter", "office worker", "police officer", "barista", "data scientist", "chef")
OTHERS = ("dog", "police car", "doctor's office", "chef's knife", "bowl of fruit", "stop sign", "robot", "nurse shark")
STATED = {
    "gender": ("male", "female", "non-binary", "masculine", "bearded"),
    "skin tone": ("dark-skinned", "Black", "light-skinned", "brown-skinned", "Asian", "white"),
}
FRAMES = ("{}", "a photo of {}", "a portrait of {}, 8k, highly detailed", "{} in a park", "{} with a flower")


def rules(prompt: str, gate: Gate | None = None) -> dict[str, str]:
    return {name: each.rule for name, each in (gate or Gate()).decide(prompt, ATTRIBUTES).items()}


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row["prompt"])
def test_what_a_prompt_says_decides(row: dict[str, str]):
    assert rules(row["prompt"]) == {name: row[name] for name in ATTRIBUTES}


@settings(max_examples=60)
@given(st.sampled_from(FRAMES), st.sampled_from(OCCUPATIONS), st.sampled_from(sorted(STATED)), st.data())
def test_a_stated_attribute_stands_and_the_other_is_steered(frame: str, noun: str, attribute: str, data: Any):
    word = data.draw(st.sampled_from(STATED[attribute]))
    decided = Gate().decide(frame.format(f"a {word} {noun}"), ATTRIBUTES)
    other = next(name for name in ATTRIBUTES if name != attribute)
    assert (decided[attribute].rule, decided[attribute].word, decided[attribute].steered) == ("stated", word, False)
    assert (decided[other].rule, decided[other].steered) == ("quota", True)
    assert decided[other].word == noun.split()[-1]


@settings(max_examples=60)
@given(st.sampled_from(FRAMES), st.sampled_from(OTHERS), st.sampled_from(OCCUPATIONS), st.sampled_from(("two", "many")))
def test_others_are_left_and_groups_are(frame: str, other: str, noun: str, several: str):
    assert set(rules(frame.format(f"a {other}")).values()) == {"no person"}
    assert set(rules(frame.format(f"{several} {noun}s")).values()) == {"group"}


@given(st.text(max_size=60))
def test_any_text_is_decided(text: str):
    assert rules(text or " ").keys() == ATTRIBUTES.keys()


@pytest.mark.parametrize("name", ["emoji-occupations", "winobias"])
def test_benchmarks_of_occupations_are_steered(name: str):
    gate = Gate()
    assert all(each.steered for prompt in load(name).prompts for each in gate.decide(prompt, ATTRIBUTES).values())


@pytest.mark.parametrize("prompt", ["a judge of any gender", "a man or a woman", "a cook, male or female"])
def test_a_wish_for_balance_states_nothing(prompt: str):
    assert rules(prompt)["gender"] == "quota"


@pytest.mark.parametrize(
    ("field", "prompt"),
    [("stated", "a male nurse"), ("groups", "a crowd"), ("others", "a dog"), ("unsure", "a zorblax")],
)
def test_each_field_opens_its_own_gate(field: str, prompt: str):
    decided = Gate.of({field: "steer"}).decide(prompt, ATTRIBUTES)["gender"]
    assert decided.steered and not Gate().decide(prompt, ATTRIBUTES)["gender"].steered
    assert Gate.of(False).decide(prompt, ATTRIBUTES)["gender"].steered


@pytest.mark.parametrize(
    ("prompt", "attribute", "category"),
    [
        ("a male nurse", "gender", "man"),
        ("a woman at work", "gender", "woman"),
        ("a dark-skinned cook", "skin tone", "dark-skinned"),
        ("a cook with brown skin", "skin tone", None),
        # What only goes with a category, what is denied, and where two are named.
        ("a waitress", "gender", None),
        ("a Nigerian doctor", "skin tone", None),
        ("a nurse, not a man", "gender", None),
        ("a female judge beside a man", "gender", None),
        ("a judge", "gender", None),
    ],
)
def test_the_category_that_a_prompt_names(prompt: str, attribute: str, category: str | None):
    decision = Gate().decide(prompt, ATTRIBUTES)[attribute]
    assert Gate().named(prompt, decision, ATTRIBUTES[attribute]) == category
    assert Gate("leave").named(prompt, decision, ATTRIBUTES[attribute]) is None


def test_one_s_own_words_and_attributes(tmp_path: Path):
    file = tmp_path / "people.yaml"
    file.write_text("persons: [zorblax]\nothers: [nurse]\nstated: {gender: {female: [zorbine]}}\nnames: [blip]\n")
    gate = Gate(people=(str(file),))
    assert rules("a zorblax", gate)["gender"] == "quota" and rules("zorblaxes", gate)["gender"] == "group"
    assert rules("a nurse", gate)["gender"] == "no person"
    assert rules("a zorbine judge", gate) == {"gender": "stated", "skin tone": "quota"}
    # Without listed words, an attribute's categories name themselves.
    moods = {"mood": ["smiling", "stern"]}
    assert Gate().decide("a smiling judge", moods)["mood"].rule == "stated"
    assert Gate().decide("a judge", moods)["mood"].rule == "quota"


@pytest.mark.parametrize(
    ("given_", "message"),
    [({"groups": "sometimes"}, "'steer'"), ({"grups": "leave"}, "did you mean 'groups'"), (3, "settings, or false")],
)
def test_wrong_settings(given_: Any, message: str):
    with pytest.raises(PolicyError, match=message):
        Gate.of(given_)


@pytest.mark.parametrize("content", ["person: [x]", "persons: {a: 1}", "persons: ['a [b']", "stated: [x]"])
def test_wrong_files(content: str, tmp_path: Path):
    (tmp_path / "people.yaml").write_text(content)
    with pytest.raises(PhraseError, match=r"people\.yaml"):
        Gate(people=(str(tmp_path / "people.yaml"),))
    with pytest.raises(PhraseError, match="nowhere"):
        Gate(people=(str(tmp_path / "nowhere.yaml"),))


def test_notes_name_the_rule_and_the_word():
    prompts = ["a male nurse", "a judge", "un juge"]
    gates = [{n: vars(each) for n, each in Gate().decide(prompt, ATTRIBUTES).items()} for prompt in prompts]
    assert notes(prompts, gates) == [
        "'a male nurse': gender: stated ('male'), left as it is.",
        "'un juge': gender: not English ('un'), left as it is; skin tone: not English ('un'), left as it is.",
    ]
