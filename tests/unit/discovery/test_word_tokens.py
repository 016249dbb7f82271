"""A value's own words at the last tokens of CLIP's text states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from directrix import discover
from directrix.concept import GENDER, SKIN_TONE, AttributeSet, Concept, PromptPair
from directrix.discovery import Orthogonalization
from directrix.discovery import word_tokens as module
from directrix.discovery.attribute import discover_attribute
from directrix.discovery.environment import frozen
from directrix.discovery.first_step import FirstStep
from directrix.discovery.frozen_denoiser import FrozenDenoiser
from directrix.models.steerable import SteerableModel
from unit.models.families import survey
from unit.models.families.parts import families

# Words of one length, as the tests' tokenizers have letters for tokens.
WORDS = ("tall", "slim", "wide")
BUILD = AttributeSet("build", tuple(Concept.of(each, f"a {each} person", "a person") for each in WORDS), WORDS)
ALONE: Any = {"subjects": ["a judge", "an artist"], "orthogonalization": Orthogonalization(preserve=())}
PADDED = ["StableDiffusionPipeline", "StableDiffusionXLPipeline", "StableDiffusion3Pipeline"]
# States of T5 beside CLIP, of another encoder, and as long as the prompt.
OTHERS = ["FluxPipeline", "CogView4Pipeline", "QwenImagePipeline"]


def text_of(direction: Any) -> torch.Tensor:
    (found,) = [each.tensor for each in direction.parts if each.site.layout == "text" and each.is_conditional]
    return found


def discovered(name: str, attribute: AttributeSet = BUILD, *, straighter: bool, **settings: Any) -> list[Any]:
    """The directions of an attribute, with words that lead straighter or do not."""
    with pytest.MonkeyPatch.context() as patch:
        asked = iter([0.5, 0.7 if straighter else 0.55] * len(attribute.concepts))
        patch.setattr(FirstStep, "straightness", lambda *_: next(asked))
        return discover_attribute(survey.build(name), attribute, **{**ALONE, **settings})


def states(pipeline: Any, prompt: str) -> torch.Tensor:
    found = pipeline.encode_prompt(
        prompt=prompt,
        **({"prompt_2": None, "prompt_3": None} if hasattr(pipeline, "text_encoder_3") else {}),
        device="cpu",
        num_images_per_prompt=1,
        do_classifier_free_guidance=False,
    )
    return found[0][0].float()


@pytest.mark.parametrize("name", families(PADDED))
def test_the_last_padding_of_a_prompt_says_the_words(name: str):
    pipeline: Any = survey.build(name)
    length, words = pipeline.tokenizer.model_max_length, {}
    for word in WORDS:
        tokens = pipeline.tokenizer(word, add_special_tokens=False).input_ids
        rows = []
        for neutral, subject in (("a person", "person"), ("a judge", "judge"), ("an artist", "artist")):
            target = f"a {word} {subject}"
            given = pipeline.tokenizer(target).input_ids
            start = next(place for place in range(len(given)) if given[place : place + len(tokens)] == tokens)
            there = states(pipeline, target)[start : start + len(tokens)]
            rows.append(there - states(pipeline, neutral)[length - len(tokens) : length])
        words[word] = torch.stack(rows).mean(dim=0)
    plain, said = discovered(name, straighter=False), discovered(name, straighter=True)
    for before, after, own in zip(plain, said, words.values(), strict=True):
        others = sum(each for each in words.values() if each is not own)
        change = text_of(after) - text_of(before)
        first = length - len(own)
        torch.testing.assert_close(change[first:length], 3 / 2 * (own - others / 3), atol=1e-4, rtol=1e-4)
        assert not change[:first].any() and not change[length:].any()
        assert (before.recipe["word_tokens"], after.recipe["word_tokens"]) == (0, len(own))


@pytest.mark.parametrize("name", families(OTHERS))
def test_text_states_that_are_no_padded_ones_of_clip_get_none(name: str):
    found = discovered(name, straighter=True)
    assert all(each.recipe["word_tokens"] == 0 and "first_step" not in each.recipe for each in found)


def test_each_direction_is_asked_about_once_without_and_once_with_its_words():
    found = discover_attribute(survey.build("StableDiffusionPipeline"), BUILD, **ALONE)
    # For each state three values' prompts, the neutral one, and the directions; `opposed` asks the same prompts.
    assert found[0].recipe["denoiser_evaluations"]["forward"] == (4 + 3 * 2) * module.STATES


def words_in(pairs: Sequence[tuple[str, str]], *others: tuple[str, str], **settings: Any) -> list[int]:
    """How many word tokens concepts get, (neutral, target) pairs of one and a pair of each other, if they help."""
    concepts = [Concept("one", tuple(PromptPair(target, neutral) for neutral, target in pairs))]
    concepts += [Concept(target, (PromptPair(target, neutral),)) for neutral, target in others]
    asked = iter([0.5, 0.7] * len(concepts))
    form = Orthogonalization(contrast=True, **settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FirstStep, "straightness", lambda *_: next(asked))
        found = discover(survey.build("StableDiffusionPipeline"), concepts, "embedding", orthogonalization=form)
    assert all("first_step" not in each.recipe for each in found)
    return [each.recipe["word_tokens"] for each in found]


TALL, THIN = ("a man", "a tall man"), ("a man", "a thin man")


def test_words_are_what_most_prompts_say_alike():
    count = len(survey.build("StableDiffusionPipeline").tokenizer("tall", add_special_tokens=False).input_ids)
    assert words_in([TALL], THIN) == words_in([TALL, ("an elf", "a tall elf"), ("a dog", "a cat")], THIN) == [count] * 2


@pytest.mark.parametrize(
    ("pairs", "other"),
    [
        ([("a man", "a nurse"), ("a person", "a clown"), ("a judge", "a pilot")], THIN),
        ([TALL, ("a judge", "a gigantic judge")], THIN),
        ([TALL], ("a man", "a gigantic man")),
        ([("a man " + "x" * 40, "a tall man " + "x" * 40)], THIN),
        ([("a man", "a " + "x" * 30 + " man")], ("a man", "a " + "z" * 30 + " man")),
    ],
    ids=["nothing in common", "said by half", "as many of each value", "no padding", "too many"],
)
def test_concepts_without_such_words_get_none(pairs: list[tuple[str, str]], other: tuple[str, str]):
    assert words_in(pairs, other) == [0, 0]


def test_an_anti_concept_has_no_words_and_a_preserved_one_that_nobody_measures_leaves_none():
    armed = [TALL, *(("a man", "a man"),) * 2]
    pairs = [PromptPair(target, neutral, None if target != neutral else "a gun") for neutral, target in armed]
    form = Orthogonalization(contrast=True)
    both = [Concept("one", tuple(pairs)), Concept("other", (PromptPair("a thin man", "a man"),))]
    found = discover(survey.build("StableDiffusionPipeline"), both, "embedding", orthogonalization=form)
    assert [each.recipe["word_tokens"] for each in found] == [0, 0]
    assert words_in([TALL], THIN, preserve=[Concept.of("old", "an old man", "a man")]) == [0, 0]
    assert all(words_in([TALL], THIN, preserve=[GENDER]))


def test_a_model_without_that_tokenizer_or_with_padding_before_its_prompts_has_none():
    model = SteerableModel.of(survey.build("StableDiffusionPipeline"))
    denoiser, tokenizer = FrozenDenoiser(model, model.find_site()), model.pipeline.tokenizer
    assert denoiser.padded_tokens == tokenizer.model_max_length
    tokenizer.padding_side = "left"
    assert denoiser.padded_tokens is None
    model.pipeline.tokenizer = None
    assert denoiser.padded_tokens is None


def test_a_word_of_several_vectors_has_the_tokens_that_the_pipeline_reads():
    model = SteerableModel.of(survey.build("StableDiffusionPipeline"))
    denoiser, tokenizer = FrozenDenoiser(model, model.find_site()), model.pipeline.tokenizer
    tokenizer.add_tokens(["<tone>", "<tone>_1"])
    assert set(tokenizer.convert_tokens_to_ids(["<tone>", "<tone>_1"])) <= set(denoiser.tokens("a <tone> man"))


def test_how_straight_a_movement_is():
    """Its cosine with what the words move, whatever its size."""
    model = SteerableModel.of(survey.build("StableDiffusionPipeline"))
    light, brown, dark = SKIN_TONE.concepts
    with frozen(model):
        first = FirstStep(FrozenDenoiser(model, model.find_site()), 3.0)
        words = [first.words(light, [brown, dark], number) for number in range(2)]
        across = [torch.randn_like(each) for each in words]
        for one, other in zip(across, words, strict=True):
            one -= (one * other).sum() / other.square().sum() * other
        for moved, cosine in (
            (words, 1.0),
            ([-3 * each for each in words], -1.0),
            (across, 0.0),
            ([0 * each for each in words], 0.0),
        ):
            assert first.straightness(light, [brown, dark], moved) == pytest.approx(cosine, abs=1e-3)


def test_affine_directions_and_single_concepts_are_left_as_they_are(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "STRAIGHTER", -10.0)
    pipeline: Any = survey.build("StableDiffusionPipeline")
    assert discover(pipeline, BUILD.concepts[0]).recipe["word_tokens"] == 0
    assert all(each.recipe["word_tokens"] == 0 for each in discover_attribute(pipeline, BUILD, "affine", **ALONE))
    assert all(each.recipe["word_tokens"] for each in discover_attribute(pipeline, BUILD, **ALONE))
