"""Which half of guidance a call of the denoiser is about, where that is not plain."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
import torch

from directrix import models
from directrix.concept import Concept
from directrix.directions.direction import Direction
from directrix.discovery.environment import frozen
from directrix.discovery.pipeline_calls import PipelineCall
from directrix.discovery.trajectories import record_trajectories
from directrix.interventions.steering import steer
from directrix.models import activations, sites
from directrix.models.steerable import SteerableModel
from unit.models.families.parts import is_newest


def direction(pipeline: Any, name: str | None = None) -> Direction:
    site = sites.find(pipeline, name)
    return Direction("ones", torch.ones(site.channels), site, models.identity(pipeline))


@pytest.mark.parametrize("name", ["flux-schnell", "flux-true-guidance", "lumina-2"])
def test_the_same_picture_twice_is_steered_twice(of: Any, name: str):
    """In one step its first question is the very question that was asked last."""
    family = of(name)
    scale = 1.0 if name == "lumina-2" else family.scale
    calls = {"flux-true-guidance": ["a judge"], "lumina-2": ["a judge", "a cook"]}
    prompts = calls.get(name, ["a judge"])
    more = {"negative_prompt": [""]} if name == "flux-true-guidance" else {}

    def draw() -> torch.Tensor:
        return family.draw(prompts, [1, 2][: len(prompts)], num_inference_steps=1, guidance_scale=scale, **more)

    plain = draw()
    with steer(family.pipeline, {direction(family.pipeline): 5.0}):
        first = draw()
        assert not torch.equal(first, plain)
        assert torch.equal(draw(), first)
    assert torch.equal(draw(), plain)


def test_a_scale_of_numpy_s_is_one(of: Any):
    """PixArt says nothing but to its own `encode_prompt`, and there it says numpy's True."""
    family = of("pixart-alpha")
    ones = direction(family.pipeline)
    with steer(family.pipeline, {ones: 5.0}):
        expected = family.draw(["a judge"], [1])
    with steer(family.pipeline, {ones: 5.0}):
        assert torch.equal(family.draw(["a judge"], [1], guidance_scale=np.float64(family.scale)), expected)


def test_who_listens_may_leave_in_any_order(of: Any):
    family = of("pixart-alpha")
    pipeline = family.pipeline
    outer, inner = ExitStack(), ExitStack()
    plain = family.draw(["a judge"], [1])
    outer.enter_context(steer(pipeline, {direction(pipeline): 5.0}))
    inner.enter_context(steer(pipeline, {direction(pipeline, "transformer_blocks.0"): 5.0}))
    outer.close()
    with steer(pipeline, {direction(pipeline, "transformer_blocks.0"): 0.0}):
        left = family.draw(["a judge"], [1])
    inner.close()
    assert "encode_prompt" not in vars(pipeline)
    with steer(pipeline, {direction(pipeline, "transformer_blocks.0"): 5.0}):
        assert torch.equal(family.draw(["a judge"], [1]), left)
    assert torch.equal(family.draw(["a judge"], [1]), plain)


def test_a_third_call_without_some_layers_is_conditional(of: Any):
    """As Stable Diffusion 3.5 is drawn: both halves in one batch, then the conditional one alone."""
    family = of("sd3")
    pipeline = family.pipeline
    if "skip_guidance_layers" not in SteerableModel.of(pipeline).parameters:
        assert not is_newest()
        pytest.skip("this version of diffusers skips no layers")
    site = sites.find(pipeline, "transformer_blocks.0")
    before: list[torch.Tensor] = []
    after: list[torch.Tensor] = []
    with (
        activations.read(pipeline, site, lambda h: before.append(h.clone())),
        steer(pipeline, {direction(pipeline, site.name): [1.0, 0.0]}),
        activations.read(pipeline, site, lambda h: after.append(h.clone())),
    ):
        options = {"skip_guidance_layers": [1], "skip_layer_guidance_start": -1.0, "skip_layer_guidance_stop": 2.0}
        family.draw(["a judge", "a cook"], [1, 2], **options)
    changed = [[bool((a != b).any()) for a, b in zip(*pair, strict=True)] for pair in zip(before, after, strict=True)]
    assert changed == [[False, False, True, False], [True, False]] * 2


def test_a_third_call_is_no_step_of_a_trajectory(of: Any):
    family = of("sd3")
    pipeline = family.pipeline
    if "skip_guidance_layers" not in SteerableModel.of(pipeline).parameters:
        assert not is_newest()
        pytest.skip("this version of diffusers skips no layers")
    concepts = [Concept.of("woman", "a woman", "a person")]
    skipping = {"skip_guidance_layers": [1], "skip_layer_guidance_start": -1.0, "skip_layer_guidance_stop": 2.0}

    def recorded(call: Any) -> Any:
        model = SteerableModel.of(pipeline)
        with frozen(model):
            return record_trajectories(PipelineCall(model, 5.0, 3, call), [model.find_site()], concepts, 2)[0]

    plain, skipped = recorded({}), recorded(skipping)
    assert len(skipped.timesteps) == len(plain.timesteps) == 3
    assert skipped.states.shape == plain.states.shape and skipped.evaluations == plain.evaluations
    # Both start from the same noise, and see the same there.
    assert torch.equal(skipped.states[:, :, 0], plain.states[:, :, 0])
    assert torch.allclose(skipped.neutral[:, 0], plain.neutral[:, 0], atol=1e-5)
    assert not torch.equal(skipped.states[:, :, 1], plain.states[:, :, 1])


@pytest.mark.parametrize("start", [0.0, 0.5])
def test_the_last_step_of_a_clock_that_ends_at_one(of: Any, start: float):
    """A transformer may be told whole timesteps, of which 1 is no share of the way."""
    from diffusers import DDIMScheduler

    family = of("pixart-alpha")
    pipeline, site = family.pipeline, sites.find(family.pipeline)
    retained = pipeline.scheduler
    changed: list[bool] = []
    before: list[torch.Tensor] = []
    try:
        pipeline.scheduler = DDIMScheduler(steps_offset=1, timestep_spacing="leading", clip_sample=False)
        with (
            activations.read(pipeline, site, lambda h: before.append(h.clone())),
            steer(pipeline, {direction(pipeline): 1.0}, start=start, stop=start + 0.5),
            activations.read(pipeline, site, lambda h: changed.append(not torch.equal(h, before[-1]))),
        ):
            family.draw(["a judge"], [1], num_inference_steps=4)
        assert float(pipeline.scheduler.timesteps[-1]) == 1
    finally:
        pipeline.scheduler = retained
    assert changed == ([True, True, False, False] if start == 0 else [False, False, True, True])
