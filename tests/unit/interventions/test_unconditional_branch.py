"""Directions with a part in the unconditional branch of guidance, while images are drawn."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest
import torch

import directrix
from directrix import SteerableModel, steer
from directrix.concept import SKIN_TONE
from directrix.directions.direction import Direction
from directrix.discovery import Orthogonalization
from directrix.discovery.attribute import discover_attribute
from directrix.discovery.settings import Sampling
from directrix.errors import StrengthError
from directrix.interventions.project_and_set import ProjectAndSet
from directrix.interventions.steering import PerImage, Steering
from directrix.models import activations
from unit.models.families import survey
from unit.models.families.checks import arguments


def latents(pipeline: Any, prompts: Any = "a judge", scale: float = 5.0) -> torch.Tensor:
    count = 1 if isinstance(prompts, str) else len(prompts)
    sources = [torch.Generator().manual_seed(each) for each in range(count)]
    settings = {"num_inference_steps": 3, "guidance_scale": scale, "output_type": "latent"}
    return pipeline(prompts, generator=sources, **settings).images


@pytest.fixture
def light(make_direction: Callable[..., Direction]) -> Direction:
    return make_direction(name="light")


@pytest.fixture
def away(make_direction: Callable[..., Direction]) -> Direction:
    return make_direction(name="away", seed=1)


@pytest.fixture
def both(light: Direction, away: Direction) -> Direction:
    return light.with_(parts=[*light.parts, *(replace(each, branch="unconditional") for each in away.parts)])


def test_each_part_acts_in_its_own_branch(pipeline: Any, light: Direction, away: Direction, both: Direction):
    prompts, strengths = ["a judge", "a pilot", "a cook"], [0.7, 0.0, -0.4]
    with steer(pipeline, {light: strengths}), steer(pipeline, {away: strengths}, branch="unconditional"):
        wanted = latents(pipeline, prompts)
    with steer(pipeline, {both: strengths}):
        found = latents(pipeline, prompts)
    assert torch.equal(found, wanted)
    assert torch.equal(found[1], latents(pipeline, prompts)[1])
    with steer(pipeline, {light: strengths}):
        assert not torch.equal(latents(pipeline, prompts)[0], found[0])


@pytest.mark.parametrize(("branch", "scale"), [("both", 5.0), ("unconditional", 5.0), ("conditional", 1.0)])
def test_it_does_nothing_where_another_branch_is_steered_or_there_is_none(
    pipeline: Any, light: Direction, both: Direction, branch: str, scale: float
):
    with steer(pipeline, {light: 0.7}, branch=branch):
        wanted = latents(pipeline, scale=scale)
    with steer(pipeline, {both: 0.7}, branch=branch):
        assert torch.equal(latents(pipeline, scale=scale), wanted)


def test_attached_like_steered(make_pipeline: Callable[..., Any], both: Direction):
    pipeline = make_pipeline()
    plain = latents(pipeline)
    with steer(pipeline, {both: 0.7}):
        wanted = latents(pipeline)
    attached = directrix.attach(pipeline)
    attached.load_direction(both, strength=0.7)
    assert torch.equal(latents(attached), wanted)
    attached.unload_directions()
    assert torch.equal(latents(attached), plain)


def test_the_settings_of_one_image_are_those_of_the_batch(pipeline: Any, both: Direction):
    whole = PerImage({both: [0.0, 0.7]})
    with whole.applied(pipeline):
        batch = latents(pipeline, ["a judge", "a judge"])
    with whole.select([1], 2).applied(pipeline):
        alone = pipeline(
            "a judge",
            generator=[torch.Generator().manual_seed(1)],
            num_inference_steps=3,
            guidance_scale=5.0,
            output_type="latent",
        ).images
    torch.testing.assert_close(alone[0], batch[1], atol=1e-4, rtol=1e-4)


def test_project_and_set_adds_it_to_the_images_that_are_given_it(pipeline: Any, light: Direction, both: Direction):
    """What prompts say is still read before anything is added to either branch."""
    effects = {"tone": {"light": {both: 0.5}, "dark": {light * -1: 1.0}}}
    plain = {"tone": {"light": {light: 0.5}, "dark": {light * -1: 1.0}}}
    assigned = [{"tone": "light"}, {"tone": "dark"}]
    model = SteerableModel.of(pipeline)
    site, seen = light.site, {}
    for name, each in (("plain", plain), ("both", effects)):
        seen[name] = []
        with ProjectAndSet(each, assigned).applied(pipeline), ExitStack() as stack:
            stack.enter_context(activations.read(model, site, seen[name].append))
            latents(pipeline, ["a judge", "a judge"])
    change = seen["both"][0] - seen["plain"][0]
    added = 0.5 * next(each.tensor for each in both.parts if each.branch == "unconditional")
    # Rows: unconditional of either image, then conditional.
    torch.testing.assert_close(change[0], added.expand_as(change[0]), atol=1e-4, rtol=1e-4)
    assert not change[1:].any()


def test_what_only_acts_beside_a_prompt_cannot_be_compared_with_it(away: Direction, both: Direction):
    alone = away.with_(parts=[each for each in both.parts if not each.is_conditional])
    with pytest.raises(StrengthError, match="'away' acts on the unconditional branch alone"):
        ProjectAndSet({"tone": {"light": {alone: 1.0}}}, [{"tone": "light"}])


@pytest.mark.parametrize(
    "name", ["StableDiffusionPipeline", "StableDiffusionPAGPipeline", "StableDiffusionSAGPipeline", "FluxPipeline"]
)
def test_another_steering_tells_the_branches_apart_however_prompts_were_changed(name: str):
    """What the second sees of a call is what the pipeline gave it."""
    pipeline: Any = survey.build(name)
    given = arguments(pipeline, survey.ROWS[name], 1)
    own = {key: given[key] for key in ("height", "width", "max_sequence_length") if key in given}
    settings: Any = {"subjects": ["a judge"], "orthogonalization": Orthogonalization(preserve=())}
    settings["sampling"] = Sampling(call=own)
    tones = discover_attribute(pipeline, SKIN_TONE, **settings)
    # Whatever this model makes of the words, there is a part of either branch.
    parts = [*tones[0].parts[:1], replace(tones[0].parts[0], branch="unconditional")]
    light, dark = tones[0].with_(parts=parts), tones[2].with_(parts=tones[2].parts[:1])

    def drawn(*interventions: Any) -> torch.Tensor:
        with ExitStack() as stack:
            for each in interventions:
                stack.enter_context(each.applied(pipeline))
            return pipeline(**arguments(pipeline, survey.ROWS[name], 1)).images

    once = drawn(Steering({light: 1.0, dark: 0.5}))
    for way in ([Steering({light: 1.0}), Steering({dark: 0.5})], [Steering({dark: 0.5}), Steering({light: 1.0})]):
        torch.testing.assert_close(torch.as_tensor(drawn(*way)), torch.as_tensor(once), atol=1e-3, rtol=1e-3)
