"""What a direction moves of another attribute, and how much of that is taken out of it."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from directrix.concept import GENDER, SKIN_TONE, Concept
from directrix.directions.part import Part
from directrix.directions.projection import Projection
from directrix.discovery import Orthogonalization, discover
from directrix.discovery.attribute import discover_attribute
from directrix.discovery.embedding import Embedding
from directrix.discovery.environment import frozen
from directrix.discovery.first_step import STATES, FirstStep
from directrix.discovery.frozen_denoiser import FrozenDenoiser
from directrix.discovery.leakage import LEAST, TAKEN, TRIED, Values, contrasted, corrected
from directrix.discovery.orthogonalize import orthogonalized
from directrix.discovery.pipeline_calls import PipelineCall
from directrix.discovery.settings import Sampling
from directrix.models.steerable import SteerableModel
from unit.models.families import survey

SCALE = 3.0
WOMAN = Concept.of("woman", "a woman", "a person")


@pytest.fixture(params=["StableDiffusionPipeline", "StableDiffusion3Pipeline"])
def denoiser(request: pytest.FixtureRequest) -> FrozenDenoiser:
    model = SteerableModel.of(survey.build(request.param))
    return FrozenDenoiser(model, model.find_site(), PipelineCall.of(model, Sampling(guidance_scale=SCALE)))


def values_of(denoiser: FrozenDenoiser, *more: Concept) -> tuple[Values, list[list[Part]]]:
    concepts = [*SKIN_TONE.among(["a judge", "a cook"]).concepts, *more]
    found, _ = Embedding().parts(denoiser, concepts, SCALE, lambda each: orthogonalized(each, names=["a"] * 9))
    return dict(zip(concepts[:3], found[:3], strict=True)), found[3:]


def leak(first: FirstStep, parts: list[Part], values: Values) -> dict[str, float]:
    others = {concept: [each for each in values if each is not concept] for concept in values}
    return {concept.name: first.along(concept, others[concept], parts) for concept in values}


def test_what_leaks_most_is_taken_out(denoiser: FrozenDenoiser):
    with frozen(denoiser._model):
        values, (woman,) = values_of(denoiser, WOMAN)
        first = FirstStep(denoiser, SCALE)
        # As much of a direction, whichever way it leads, as leaks enough.
        before, strength = leak(first, woman, values), 1.0
        while max(before.values()) < 1.5 * LEAST:
            strength *= 2.0
            woman = [each.with_tensor(2 * each.tensor) for each in woman]
            before = leak(first, woman, values)
        mended, taken = corrected(first, woman, values)
        after = leak(first, mended, values)
    most = next(each for each in values if before[each.name] == max(before.values()))
    assert list(taken) == [most.name] and 0 < taken[most.name] <= TAKEN * TRIED[-1] + 1e-3
    assert abs(after[most.name]) < before[most.name]
    away = contrasted(values[most], [parts for each, parts in values.items() if each is not most])
    for old, new, other in zip(woman, mended, away, strict=True):
        torch.testing.assert_close(new.tensor, old.tensor - taken[most.name] * other.tensor, atol=1e-3, rtol=1e-3)


def test_what_leaks_little_stays_as_it_is_and_costs_no_second_measure(denoiser: FrozenDenoiser):
    with frozen(denoiser._model):
        values, (woman,) = values_of(denoiser, WOMAN)
        first = FirstStep(denoiser, SCALE)
        small = [each.with_tensor(1e-3 * each.tensor) for each in woman]
        before = denoiser.forward
        same, taken = corrected(first, small, values)
    assert taken == {} and all(torch.equal(a.tensor, b.tensor) for a, b in zip(small, same, strict=True))
    # Under each neutral prompt, with the direction, and under each value's prompt.
    assert denoiser.forward - before == STATES * (2 + 3)


def test_an_affine_direction_and_a_lone_value_are_left(denoiser: FrozenDenoiser):
    with frozen(denoiser._model):
        values, (woman,) = values_of(denoiser, WOMAN)
        first, before = FirstStep(denoiser, SCALE), denoiser.forward
        light = next(iter(values))
        assert corrected(first, woman, {light: values[light]}) == (woman, {})
        channels = woman[0].tensor.shape[-1]
        projection = Projection(torch.eye(channels)[:1], torch.eye(channels)[:1], (0.0,))
        affine = [Part(woman[0].site, torch.ones(channels), projection=projection), *woman[1:]]
        assert corrected(first, affine, values) == (affine, {})
    assert denoiser.forward == before


def test_directions_of_an_attribute_say_what_was_taken_out_of_each(monkeypatch: pytest.MonkeyPatch):
    pipeline: Any = survey.build("StableDiffusionPipeline")
    preserved = Orthogonalization(preserve=[SKIN_TONE])
    monkeypatch.setattr(FirstStep, "share", lambda *_: 0.0)
    plain = discover_attribute(pipeline, GENDER, subjects=["a judge"])
    monkeypatch.setattr(FirstStep, "share", lambda _, concept, *__: float(concept.name == "dark-skinned"))
    # Taking from it does not help; helps, and more does not; helps more and more, but not enough; is too much.
    for measured, taken in (
        ([2.0, 1.5], 0.0),
        ([0.5, 0.7], 0.2),
        ([0.5, 0.25], 0.4),
        ([-1.0], 0.1),
        ([0.5, -0.5], 0.3),
    ):
        after = iter(measured * 2)
        monkeypatch.setattr(FirstStep, "along", lambda *_, after=after: next(after))
        mended = discover_attribute(pipeline, GENDER, subjects=["a judge"])
        assert next(after, None) is None
        expected = {"dark-skinned": pytest.approx(TAKEN * taken, abs=1e-3)} if taken else {}
        assert [each.recipe["leakage_taken_out"] for each in mended] == [expected] * 2
        changes = [new.tensor - old.tensor for new, old in zip(mended, plain, strict=True)]
        torch.testing.assert_close(*changes, atol=1e-5, rtol=1e-5)
        assert bool(changes[0].any()) is bool(taken)
    monkeypatch.setattr(FirstStep, "along", lambda *_: 0.0)
    # A concept of one's own has the attribute taken out alike.
    own = discover(pipeline, WOMAN, orthogonalization=preserved)
    assert own.recipe["leakage_taken_out"] == {"dark-skinned": pytest.approx(TAKEN * TRIED[0], abs=1e-3)}
    # Concepts that are no values of one attribute have nothing to tell them from.
    own = discover(pipeline, WOMAN, orthogonalization=Orthogonalization(preserve=list(SKIN_TONE.concepts)))
    assert own.recipe["leakage_taken_out"] == {}
    affine = discover_attribute(pipeline, GENDER, "affine", subjects=["a judge"])
    assert [each.recipe["leakage_taken_out"] for each in affine] == [{}, {}]


def test_a_denoiser_that_answers_no_single_row_is_left_as_it_is_found(monkeypatch: pytest.MonkeyPatch):
    def refuses(*_: Any) -> Any:
        raise RuntimeError("Sizes of tensors must match.")

    pipeline: Any = survey.build("StableDiffusionPipeline")
    monkeypatch.setattr(FrozenDenoiser, "predict", refuses)
    found = discover_attribute(pipeline, GENDER, subjects=["a judge"])
    assert [each.recipe["first_step"] for each in found] == ["not predicted: Sizes of tensors must match."] * 2
    assert [each.recipe["leakage_taken_out"] for each in found] == [{}, {}]
