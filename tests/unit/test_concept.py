from __future__ import annotations

import pytest

from directrix.concept import GENDER, SKIN_TONE, AttributeSet, Concept, PromptPair, attribute_set
from directrix.errors import ConceptError


def test_one_pair():
    concept = Concept.of("woman", "a woman", "a person")
    assert concept.pairs == (PromptPair("a woman", "a person"),)
    assert not concept.anti


def test_several_targets_share_one_neutral_prompt():
    concept = Concept.of("woman", ["a woman", "a lady"], "a person")
    assert concept.pairs == (PromptPair("a woman", "a person"), PromptPair("a lady", "a person"))


def test_prompts_are_paired_in_order():
    concept = Concept.of("woman", ["a woman", "a female cook"], ["a person", "a cook"])
    assert [pair.neutral for pair in concept.pairs] == ["a person", "a cook"]


def test_anti_concept_draws_from_the_neutral_prompt():
    concept = Concept.of("peace", neutral=["an alley", "a guard"], negative="violence")
    assert concept.anti
    assert concept.pairs[1] == PromptPair("a guard", "a guard", "violence")


@pytest.mark.parametrize("blank", ["", "  ", "\n"])
@pytest.mark.parametrize("role", ["target", "neutral", "negative"])
def test_blank_prompts_are_refused_and_named(role: str, blank: str):
    prompts = {"target": "a woman", "neutral": "a person", "negative": "violence", role: blank}
    with pytest.raises(ConceptError, match=f"{role} prompt is empty"):
        Concept.of("x", **prompts)


@pytest.mark.parametrize(
    "arguments",
    [
        {"target": ["a", "b"], "neutral": ["c", "d", "e"]},
        {"target": [], "neutral": "a person"},
        {"target": "a woman"},
        {"neutral": "a person"},
        {"target": "a person", "neutral": "a person"},
        {"target": 3, "neutral": "a person"} | {"target": [3]},
    ],
)
def test_prompts_that_do_not_fit_together(arguments: dict):
    with pytest.raises(ConceptError):
        Concept.of("x", **arguments)


def test_a_concept_needs_a_name():
    with pytest.raises(ConceptError, match="no name"):
        Concept.of(" ", "a woman", "a person")


def test_attribute_sets():
    assert [each.name for each in GENDER.concepts] == ["woman", "man"]
    assert len(SKIN_TONE.concepts) == 3
    assert attribute_set("Skin-Tone") is attribute_set("skin_tone") is SKIN_TONE


def test_unknown_attribute_set_suggests_the_nearest():
    with pytest.raises(ConceptError, match="did you mean 'gender'"):
        attribute_set("gendr")


def test_attribute_set_needs_distinct_concepts():
    with pytest.raises(ConceptError):
        AttributeSet("gender", (GENDER.concepts[0],) * 2)
