"""Directions of several parts while images are drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import pytest
import torch

import directrix
from directrix import SteerableModel, steer
from directrix.directions.direction import Direction
from directrix.directions.part import Part
from directrix.errors import StrengthError
from directrix.interventions.project_and_set import ProjectAndSet
from directrix.interventions.steering import Steering
from directrix.models import activations
from directrix.models.identity import Site

STEPS = 4


def latents(pipeline: Any) -> torch.Tensor:
    source = torch.Generator().manual_seed(0)
    return pipeline("a judge", num_inference_steps=STEPS, generator=source, output_type="latent").images


def added(pipeline: Any, sites: Sequence[Site], intervention: Any) -> list[list[torch.Tensor]]:
    """What is added to the conditional row at each site in each step."""
    model, before, after = SteerableModel.of(pipeline), [[] for _ in sites], [[] for _ in sites]
    with ExitStack() as stack:
        for place, site in enumerate(sites):
            stack.enter_context(activations.read(model, site, before[place].append))
        stack.enter_context(intervention.applied(pipeline))
        for place, site in enumerate(sites):
            stack.enter_context(activations.read(model, site, after[place].append))
        latents(pipeline)
    return [[b[-1] - a[-1] for a, b in zip(*rows, strict=True)] for rows in zip(before, after, strict=True)]


@pytest.fixture
def sites(pipeline: Any) -> list[Site]:
    return [SteerableModel.of(pipeline).find_site(name) for name in ("mid_block", "up_blocks.0")]


@pytest.fixture
def people(pipeline: Any, sites: list[Site]) -> list[Direction]:
    model, source = directrix.SteerableModel.of(pipeline).identity, torch.Generator().manual_seed(1)

    def make(name: str) -> Direction:
        tensors = [0.1 * torch.randn(32, 4, 4, generator=source), 0.1 * torch.randn(32, generator=source)]
        return Direction(name, parts=[Part(*each) for each in zip(sites, tensors, strict=True)], model=model)

    return [make("woman"), make("man")]


def test_each_part_is_added_at_its_site(pipeline: Any, people: list[Direction], sites: list[Site]):
    woman = people[0]
    found = added(pipeline, sites, Steering({woman: 0.5}))
    for step in range(STEPS):
        for place, each in enumerate(woman.parts):
            wanted = 0.5 * (each.tensor if each.tensor.ndim == 3 else each.tensor[:, None, None])
            torch.testing.assert_close(found[place][step], wanted.expand_as(found[place][step]), atol=1e-5, rtol=1e-4)


def test_weights_by_step(pipeline: Any, people: list[Direction], sites: list[Site]):
    first, second = people[0].parts
    early = people[0].with_(parts=[Part(first.site, first.tensor, (1.0, 0.0)), second])
    found = added(pipeline, sites, Steering({early: 1.0}))
    assert [bool(each.any()) for each in found[0]] == [True, True, False, False]
    assert all(bool(each.any()) for each in found[1])


def test_a_curve_of_ones_and_no_curve_are_the_same(pipeline: Any, people: list[Direction]):
    ones = people[0].with_(parts=[Part(each.site, each.tensor, (1.0,)) for each in people[0].parts])
    with steer(pipeline, {people[0]: 1.0}):
        wanted = latents(pipeline)
    with steer(pipeline, {ones: 1.0}):
        assert torch.equal(latents(pipeline), wanted)


def test_strength_zero_is_bit_identical(pipeline: Any, people: list[Direction]):
    plain = latents(pipeline)
    with steer(pipeline, {people[0]: 0.0}):
        assert torch.equal(latents(pipeline), plain)
    assert torch.equal(latents(pipeline), plain)


def test_attached_like_steered(make_pipeline: Callable[..., Any], people: list[Direction]):
    pipeline = make_pipeline()
    with steer(pipeline, {people[0]: 0.7}):
        wanted = latents(pipeline)
    plain = latents(pipeline)
    attached = directrix.attach(pipeline)
    attached.load_direction(people[0], strength=0.7)
    assert torch.equal(latents(attached), wanted)
    attached.unload_directions()
    assert torch.equal(latents(attached), plain)


def test_a_strength_that_overflows_at_the_second_site(make_pipeline: Callable[..., Any], people: list[Direction]):
    pipeline = make_pipeline().to(torch.float16)
    first, second = people[0].parts
    large = people[0].with_(parts=[first, second.with_tensor(second.tensor * 1e6)])
    with pytest.raises(StrengthError, match="woman"), steer(pipeline, {large: 1.0}):
        latents(pipeline)


def test_project_and_set_at_each_site(pipeline: Any, people: list[Direction], sites: list[Site]):
    """What is there of the attribute's span afterwards is the category alone, at every site."""
    effects = {"gender": {each.name: {each: 1.0} for each in people}}
    model, seen = SteerableModel.of(pipeline), [[], []]
    with ProjectAndSet(effects, [{"gender": "woman"}]).applied(pipeline), ExitStack() as stack:
        for place, site in enumerate(sites):
            stack.enter_context(activations.read(model, site, seen[place].append))
        latents(pipeline)
    for place in range(2):
        flat = [
            (part.tensor if part.tensor.ndim == 3 else part.tensor[:, None, None].expand(seen[place][0].shape[1:]))
            for part in (each.parts[place] for each in people)
        ]
        span = torch.stack([each.flatten() for each in flat]).double()
        about = (seen[place][0][1] - seen[place][0][0]).flatten().double()
        weights = torch.linalg.lstsq(span.T, about[:, None]).solution.flatten()
        torch.testing.assert_close(weights, torch.tensor([1.0, 0.0], dtype=torch.float64), atol=1e-3, rtol=0)


def test_weights_by_step_are_not_projected(people: list[Direction]):
    early = people[0].with_(parts=[Part(each.site, each.tensor, (1.0, 0.0)) for each in people[0].parts])
    with pytest.raises(StrengthError, match="weights by step"):
        ProjectAndSet({"gender": {"woman": {early: 1.0}}}, [{"gender": "woman"}])
