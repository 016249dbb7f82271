"""How far a direction goes of what the words do, and what is added at pooled embeddings for the rest."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import directrix
from directrix.concept import GENDER, SKIN_TONE, Concept
from directrix.directions.part import Part
from directrix.discovery.attribute import discover_attribute
from directrix.discovery.embedding import Embedding
from directrix.discovery.environment import frozen
from directrix.discovery.first_step import FirstStep
from directrix.discovery.frozen_denoiser import FrozenDenoiser
from directrix.discovery.orthogonalize import orthogonalized
from directrix.discovery.pipeline_calls import PipelineCall
from directrix.discovery.settings import Orthogonalization, Sampling
from directrix.discovery.word_reach import MOST, STATES, completed
from directrix.models import text_inputs
from directrix.models.steerable import SteerableModel
from unit.models.families import survey
from unit.models.families.checks import arguments
from unit.models.families.parts import families

WOMAN = Concept.of("woman", ["a woman", "a female judge"], ["a person", "a judge"])
ARMED = Concept.of("unarmed", neutral="a person", negative=["a gun", "a knife"])
POOLED = ["StableDiffusionXLPipeline", "StableDiffusion3Pipeline", "FluxPipeline"]
SCALE = 3.0
ALONE = {"orthogonalization": Orthogonalization(preserve=())}


def denoiser_of(name: str) -> FrozenDenoiser:
    pipeline = survey.build(name)
    model = SteerableModel.of(pipeline)
    return FrozenDenoiser(model, model.find_site(), PipelineCall.of(model, sampling_of(name, pipeline)))


def words_of(denoiser: FrozenDenoiser, target: str, neutral: str) -> list[Part]:
    """All that one prompt changes of another in the denoiser's inputs, token by token."""
    found = []
    rows = [denoiser.encode([each]).rows for each in (target, neutral)]
    for path, value in rows[0].items():
        change = (value - rows[1][path])[0]
        if value.is_floating_point() and value.ndim in text_inputs.LAYOUTS and change.any():
            found.append(Part(text_inputs.site(".".join(path), value), change))
    return found


def scaled(parts: list[Part], factor: float) -> list[Part]:
    return [each.with_tensor(factor * each.tensor) for each in parts]


@pytest.mark.parametrize("name", families(POOLED))
def test_changing_the_words_reaches_all_of_the_way(name: str):
    denoiser = denoiser_of(name)
    woman, person = Concept.of("woman", "a woman", "a person"), Concept.of("person", "a person", "a thing")
    with frozen(denoiser._model):
        words, first = words_of(denoiser, "a woman", "a person"), FirstStep(denoiser, SCALE)
        assert first.along(woman, [person], words) == pytest.approx(1.0, abs=1e-2)
        assert first.along(woman, [person], scaled(words, 0.0)) == pytest.approx(0.0, abs=1e-5)
        # Nothing lacks, so nothing is added; nor where it leads away from what the words do.
        for parts in (words, scaled(words, -0.1)):
            whole, factor = completed(first, woman, [person], parts)
            assert factor == 1.0
            assert all(torch.equal(a.tensor, b.tensor) for a, b in zip(whole, parts, strict=True))
        # Of a tenth of them much does, and only the pooled embedding gets more.
        tenth = scaled(words, 0.1)
        more, factor = completed(first, woman, [person], tenth)
    assert 1.0 < factor <= MOST
    for before, after in zip(tenth, more, strict=True):
        times = factor if before.site.layout == "pooled" else 1.0
        torch.testing.assert_close(after.tensor, times * before.tensor)


def test_several_others_count_by_their_mean_and_each_prompt_is_asked_once():
    denoiser = denoiser_of("StableDiffusion3Pipeline")
    man, person = Concept.of("man", "a man", "a person"), Concept.of("person", "a person", "a thing")
    with frozen(denoiser._model):
        first, parts = FirstStep(denoiser, SCALE), words_of(denoiser, "a woman", "a person")
        woman = Concept.of("woman", "a woman", "a person")
        one, other = (first.along(woman, [each], parts, STATES) for each in (man, person))
        # Three prompts, and the direction.
        assert denoiser.forward == (3 + 1) * STATES
        both = first.along(woman, [man, person], parts, STATES)
    assert one != other and both not in (one, other)


def test_a_negative_prompt_is_what_the_direction_leads_away_from():
    denoiser = denoiser_of("StableDiffusion3Pipeline")
    other = Concept.of("other", neutral="a person", negative="a person")
    with frozen(denoiser._model):
        ((parts,), _) = Embedding().parts(denoiser, [ARMED], SCALE, lambda each: orthogonalized(each, names=["a"]))
        first = FirstStep(denoiser, SCALE)
        away, towards = first.along(ARMED, [other], parts), first.along(ARMED, [other], scaled(parts, -1.0))
    assert away > 0 > towards


def sampling_of(name: str, pipeline: Any) -> Sampling:
    drawn = arguments(pipeline, survey.ROWS[name], 1)
    own = ("height", "width", "max_sequence_length")
    return Sampling(guidance_scale=SCALE, call={key: drawn[key] for key in own if key in drawn})


@pytest.mark.parametrize(
    "name", ["StableDiffusion3Pipeline", "StableDiffusionXLPAGPipeline", "StableDiffusion3PAGPipeline"]
)
def test_values_of_an_attribute_get_more_at_the_pooled_embedding_and_the_recipe_says_how_much(
    name: str, monkeypatch: pytest.MonkeyPatch
):
    pipeline: Any = survey.build(name)
    settings: dict[str, Any] = {"subjects": ["a judge"], "sampling": sampling_of(name, pipeline), **ALONE}
    network: Any = SteerableModel.of(pipeline).denoiser
    before = dict(network.attn_processors)
    own = discover_attribute(pipeline, SKIN_TONE, **settings)
    assert dict(network.attn_processors) == before
    assert all(each.recipe["denoiser_evaluations"]["forward"] == 7 * STATES for each in own)
    # Such as they are before.
    monkeypatch.setattr(FirstStep, "along", lambda *_: 1.0)
    plain = discover_attribute(pipeline, SKIN_TONE, **settings)
    monkeypatch.setattr(FirstStep, "along", lambda *_: 0.25)
    more = discover_attribute(pipeline, SKIN_TONE, **settings)
    assert [each.recipe["pooled_factor"] for each in (*plain, *more)] == [1.0] * 3 + [1.333] * 3
    for old, new in zip(plain, more, strict=True):
        for mine, others in zip(old.parts, new.parts, strict=True):
            times = 4 / 3 if mine.site.layout == "pooled" else 1.0
            torch.testing.assert_close(others.tensor, times * mine.tensor)
    # What is set to a value is set to that very one.
    affine = discover_attribute(pipeline, SKIN_TONE, "affine", **settings)
    assert {each.recipe["pooled_factor"] for each in affine} == {1.0}


def test_other_concepts_ask_the_denoiser_nothing_and_a_compiled_one_answers():
    name = "StableDiffusion3Pipeline"
    pipeline: Any = survey.build(name)
    sampling = sampling_of(name, pipeline)
    plain = directrix.discover(pipeline, WOMAN, sampling=sampling)
    assert plain.recipe["pooled_factor"] == 1.0 and plain.recipe["denoiser_evaluations"]["forward"] == 0
    # Where the denoiser is compiled its inputs can't be steered, but they can be given.
    pipeline.transformer.compile(backend="eager")
    values = discover_attribute(pipeline, GENDER, subjects=["a judge"], sampling=sampling, **ALONE)
    assert [each.recipe["denoiser_evaluations"]["forward"] for each in values] == [5 * STATES] * 2
    # Without a pooled embedding there is nothing to ask about.
    plain = discover_attribute(survey.build("StableDiffusionPipeline"), GENDER, subjects=["a judge"], **ALONE)
    assert plain[0].recipe["denoiser_evaluations"]["forward"] == 0
