"""What a judge sees change must be what the words say; a flower is no pair of glasses."""

from types import SimpleNamespace

import pytest

from directrix.concept import GENDER, SKIN_TONE, Concept
from directrix.directions.target_label import TargetLabel
from directrix.errors import NoEffectError
from directrix.measurement.calibration.concept_words import check_label, unknown_words
from directrix.measurement.judges import emoji_vocabulary
from directrix.models import embedded


class Judge:
    """An emoji judge as far as its words go."""

    phrases_naming = staticmethod(emoji_vocabulary.naming)


class Spelling:
    """A tokenizer that knows a few words whole."""

    def tokenize(self, word):
        return [word] if word in {"a", "person", "woman", "with", "flower"} else list(word)


def model(name="emoji"):
    return SimpleNamespace(pipeline=SimpleNamespace(tokenizer=Spelling()), identity=SimpleNamespace(name=name))


def concept(target, neutral="a person", negative=None, name="it"):
    return Concept.of(name, target, neutral, negative)


@pytest.mark.parametrize(
    ("words", "label"),
    [
        ("a woman", TargetLabel("gender", "female")),
        ("two women", TargetLabel("gender", "female")),
        ("a person in the snow", TargetLabel("setting", "snow")),
        ("a person with a gun", TargetLabel("item", "pistol")),
        ("a person with a knife", TargetLabel("item category", "weapon")),
        ("a person with a weapon", TargetLabel("item", "axe")),
        ("a dog", TargetLabel("subject", "dog")),
        ("a nurse", TargetLabel("subject", "health worker")),
        ("a 3D render of a person", TargetLabel("style", "3d")),
    ],
)
def test_labels_that_the_words_name(words, label):
    check_label(model(), concept(words), label, Judge())


@pytest.mark.parametrize(("group", "attribute"), [(GENDER, "gender"), (SKIN_TONE, "tone")])
def test_the_attributes_that_are_built_in(group, attribute):
    for each, label in zip(group.concepts, emoji_vocabulary.CATEGORIES[attribute], strict=True):
        check_label(model(), each, TargetLabel(attribute, label), Judge())


@pytest.mark.parametrize(
    ("words", "label"),
    [
        ("a person wearing glasses", TargetLabel("item", "flower")),
        ("a smiling person", TargetLabel("gender", "female")),
        ("an old person", TargetLabel("gender", "female")),
        ("a person in the snow", TargetLabel("tone", "light")),
    ],
)
@pytest.mark.parametrize("judge", [Judge(), object()])
def test_labels_of_something_else_are_refused(words, label, judge):
    with pytest.raises(NoEffectError, match="is something else") as found:
        check_label(model(), concept(words), label, judge)
    assert found.value.exit_code == 3 and "--target-label" in str(found.value) and "--force" in str(found.value)


def test_what_is_kept_out_is_named_by_its_negative_prompt():
    kept_out = concept(None, "a person in a dark alley", "a weapon")
    check_label(model(), kept_out, TargetLabel("item category", "weapon", present=False), Judge())
    with pytest.raises(NoEffectError):
        check_label(model(), kept_out, TargetLabel("gender", "male", present=False), Judge())


def test_words_that_an_embedded_model_does_not_know_are_named():
    assert unknown_words(model(), ["a person wearing glasses", "Glasses with a flower"]) == ["wearing", "glasses"]
    assert unknown_words(model("CompVis/stable-diffusion-v1-4"), ["glasses"]) == []
    with pytest.raises(NoEffectError, match="does not know: glasses"):
        check_label(model(), concept("a person with glasses"), TargetLabel("item", "flower"), Judge())


@pytest.mark.world
def test_the_embedded_models_know_their_own_words():
    from transformers import CLIPTokenizer

    for name in embedded.MODELS:
        stub = model(name)
        stub.pipeline.tokenizer = CLIPTokenizer.from_pretrained(embedded.path(name) / "tokenizer")
        phrases = [each for group in (*GENDER.concepts, *SKIN_TONE.concepts) for each in (group.pairs[0].target,)]
        assert unknown_words(stub, [*phrases, "a photo of a firefighter in the snow with a flower"]) == []
        assert unknown_words(stub, ["a person wearing glasses"]) == ["wearing", "glasses"]
