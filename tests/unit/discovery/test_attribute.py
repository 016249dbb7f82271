"""The directions of an attribute: on several subjects, opposites opposite, and the other attributes left alone."""

import pytest

from directrix.concept import GENDER, SKIN_TONE, AttributeSet, Concept
from directrix.discovery import Orthogonalization, Sampling, discover
from directrix.discovery.attribute import discover_attribute
from directrix.errors import ConceptError

SETTINGS = {"sampling": Sampling(2, guidance_scale=2.0, num_inference_steps=2)}


def test_each_subject_is_told_with_and_without_the_concept():
    woman, man = GENDER.among(["a judge", "an artist"]).concepts
    assert [(pair.target, pair.neutral) for pair in woman.pairs] == [
        ("a woman", "a person"),
        ("a female judge", "a judge"),
        ("a female artist", "an artist"),
    ]
    assert man.pairs[2].target == "a male artist" and man.name == "man"


def test_the_article_is_that_of_the_word():
    ages = AttributeSet(
        "age",
        (Concept.of("old", "an old person", "a person"), Concept.of("young", "a young person", "a person")),
        ("old", "young"),
    )
    old, young = ages.among(["a judge"]).concepts
    assert old.pairs[1].target == "an old judge" and young.pairs[1].target == "a young judge"


def test_a_set_without_words_stays_as_it_is():
    plain = AttributeSet("gender", GENDER.concepts)
    assert plain.among(["a judge"]) is plain


@pytest.mark.parametrize("subject", ["judge", "the judge", "a ", ""])
def test_a_subject_needs_its_article(subject):
    with pytest.raises(ConceptError, match="subject"):
        GENDER.among([subject])


def test_there_is_a_word_for_each_concept():
    with pytest.raises(ConceptError, match="1 words for 2"):
        AttributeSet("gender", GENDER.concepts, ("female",))


def test_opposites_are_opposite_and_the_other_attribute_is_left_alone(pipeline):
    woman, man = discover_attribute(pipeline, GENDER, subjects=["a judge"], **SETTINGS)
    assert woman.cosine(man) == pytest.approx(-1.0, abs=1e-4)
    tones = discover(pipeline, SKIN_TONE.among(["a judge"]).concepts, **SETTINGS)
    assert all(abs(woman.cosine(tone)) < 1e-3 for tone in tones)
    # Which is not so without it.
    nothing = Orthogonalization(preserve=[])
    alone, _ = discover_attribute(pipeline, GENDER, subjects=["a judge"], orthogonalization=nothing, **SETTINGS)
    assert any(abs(alone.cosine(tone)) > 1e-3 for tone in tones)


def test_of_three_none_is_the_opposite_of_the_others(pipeline):
    light, brown, dark = discover_attribute(pipeline, SKIN_TONE, subjects=[], **SETTINGS)
    assert light.recipe["contrast"] is False and light.recipe["preserved"] == 2
    total = light.tensor + brown.tensor + dark.tensor
    assert float(total.norm()) > 1e-3 * light.norm()
