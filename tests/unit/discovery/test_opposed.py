"""What stands in a value's way, in the unconditional branch of guidance."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from directrix.concept import GENDER, SKIN_TONE
from directrix.directions.direction import Direction
from directrix.discovery import Orthogonalization, discover
from directrix.discovery.attribute import discover_attribute
from directrix.discovery.first_step import FirstStep
from directrix.discovery.frozen_denoiser import FrozenDenoiser
from directrix.discovery.opposed import SHARE, STATES
from unit.models.families import survey

ALONE: Any = {"subjects": ["a judge"], "orthogonalization": Orthogonalization(preserve=())}


def of(direction: Direction, branch: str) -> dict[str, torch.Tensor]:
    return {each.site.name: each.tensor for each in direction.parts if each.branch == branch}


@pytest.mark.parametrize("name", ["StableDiffusionPipeline", "StableDiffusion3Pipeline"])
@pytest.mark.parametrize("most", range(3))
def test_the_value_that_the_prompt_leads_to_is_pushed_away(name: str, most: int, monkeypatch: pytest.MonkeyPatch):
    names = [each.name for each in SKIN_TONE.concepts]
    monkeypatch.setattr(FirstStep, "standing", lambda _, concept, *__: float(concept.name == names[most]))
    found = discover_attribute(survey.build(name), SKIN_TONE, **ALONE)
    way = of(found[most], "conditional")
    for place, each in enumerate(found):
        share = -SHARE if place == most else SHARE
        assert each.recipe["opposed"] == {names[most]: share}
        away = of(each, "unconditional")
        assert away.keys() == way.keys()
        for site, tensor in away.items():
            torch.testing.assert_close(tensor, share * way[site])


def test_where_a_prompt_stands():
    """Of the values' own prompts each stands at itself, and a neutral prompt between them at none."""
    pipeline: Any = survey.build("StableDiffusionPipeline")
    stood: dict[str, float] = {}
    measured = FirstStep.standing

    def standing(first: FirstStep, concept: Any, others: Any, states: int) -> float:
        moved = [first.words(concept, others, number) for number in range(states)]
        assert first.share(concept, others, moved) == pytest.approx(1.0, abs=1e-4)
        stood[concept.name] = measured(first, concept, others, states)
        return stood[concept.name]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FirstStep, "standing", standing)
        found = discover_attribute(pipeline, SKIN_TONE, **ALONE)
    most = max(stood, key=stood.__getitem__)
    assert all(list(each.recipe["opposed"]) == [most] for each in found)
    # Each prompt is asked about once for each state: three values, and what is neutral.
    assert found[0].recipe["denoiser_evaluations"]["forward"] == 4 * STATES


def test_opposites_single_concepts_affine_ones_and_what_is_inside_have_none():
    pipeline: Any = survey.build("StableDiffusionPipeline")
    assert all(not of(each, "unconditional") for each in discover_attribute(pipeline, GENDER, **ALONE))
    alone = discover(pipeline, SKIN_TONE.concepts[0])
    assert not of(alone, "unconditional") and alone.recipe["opposed"] == {}
    affine = discover_attribute(pipeline, SKIN_TONE, "affine", **ALONE)
    assert all(not of(each, "unconditional") and each.recipe["opposed"] == {} for each in affine)


@pytest.mark.parametrize("leads", [0.19, float("nan")])
def test_a_prompt_that_leads_to_none_has_nothing_in_the_way(leads: float, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(FirstStep, "standing", lambda *_: leads)
    found = discover_attribute(survey.build("StableDiffusionPipeline"), SKIN_TONE, **ALONE)
    assert all(not of(each, "unconditional") and each.recipe["opposed"] == {} for each in found)


@pytest.mark.parametrize("error", [IndexError("no such rows"), RuntimeError("sizes differ"), TypeError("no tensor")])
def test_a_denoiser_that_cannot_answer_is_no_error(error: Exception, monkeypatch: pytest.MonkeyPatch):
    def refuses(*_: Any) -> Any:
        raise error

    pipeline: Any = survey.build("StableDiffusionPipeline")
    monkeypatch.setattr(FrozenDenoiser, "predict", refuses)
    found = discover_attribute(pipeline, SKIN_TONE, **ALONE)
    assert [each.recipe["first_step"] for each in found] == [f"not predicted: {error}"] * 3
    assert all(of(each, "conditional") and not of(each, "unconditional") for each in found)
