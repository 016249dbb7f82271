"""Every way in which a pipeline is called: schedulers, callbacks, embeddings, several images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import diffusers
import pytest
import torch

from directrix.interventions.steering import steer
from directrix.models import hooks

SCHEDULERS = [
    "DDIMScheduler",
    "DDPMScheduler",
    "PNDMScheduler",
    "LMSDiscreteScheduler",
    "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler",
    "HeunDiscreteScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "DEISMultistepScheduler",
    "UniPCMultistepScheduler",
    "LCMScheduler",
]


def with_scheduler(pipeline: Any, name: str) -> Any:
    # As Stable Diffusion comes: without the four extra passes that PNDM begins with.
    config = dict(pipeline.scheduler.config) | {"skip_prk_steps": True}
    pipeline.scheduler = getattr(diffusers, name).from_config(config)
    return pipeline


@pytest.mark.parametrize("name", SCHEDULERS)
def test_steering_with_every_scheduler(
    make_pipeline: Callable[..., Any], draw: Callable[..., Any], check_steering: Callable[..., None], name: str
):
    pipeline = with_scheduler(make_pipeline(), name)
    check_steering(pipeline, lambda: draw(pipeline))


@pytest.mark.parametrize("name", SCHEDULERS)
def test_windows_with_every_scheduler(
    make_pipeline: Callable[..., Any], draw: Callable[..., Any], make_direction: Any, name: str
):
    """Of six steps the second half is steered, however often a scheduler asks within a step."""
    pipeline = with_scheduler(make_pipeline(), name)
    before: list[torch.Tensor] = []
    changed: list[bool] = []
    asked: list[float] = []
    with (
        hooks.before_call(pipeline.unet, lambda args, _kwargs: asked.append(float(args[1]))),
        hooks.edit_output(pipeline.unet.mid_block, lambda h: before.append(h.clone())),
        steer(pipeline, {make_direction(of=pipeline): 1.0}, start=0.5),
        hooks.edit_output(pipeline.unet.mid_block, lambda h: changed.append(not torch.equal(h, before[-1]))),
    ):
        draw(pipeline, num_inference_steps=6)
    assert changed == sorted(changed), changed
    assert 0.4 <= sum(changed) / len(changed) <= 0.6
    assert len(asked) == len(changed)


@pytest.mark.parametrize("name", ["PNDMScheduler", "EulerAncestralDiscreteScheduler", "UniPCMultistepScheduler"])
@pytest.mark.parametrize("method", ["difference", "trajectory", "reconstruction"])
def test_discovery_with_other_schedulers(
    make_pipeline: Callable[..., Any], discover: Callable[..., Any], name: str, method: str
):
    direction = discover(with_scheduler(make_pipeline(), name), method)
    assert direction.norm() > 0


def test_a_callback_may_look_and_change(pipeline: Any, draw: Callable[..., Any], check_steering: Callable[..., None]):
    steps: list[int] = []

    def halve(_pipeline: Any, step: int, _timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        steps.append(step)
        return {"latents": tensors["latents"] * 0.5}

    check_steering(pipeline, lambda: draw(pipeline, callback_on_step_end=halve))
    assert steps[:3] == [0, 1, 2]


def test_a_callback_may_end_guidance(pipeline: Any, draw: Callable[..., Any], make_direction: Any):
    """The batch then has one half, and that one is steered."""
    direction = make_direction(shape=(32,))

    def unguided(pipe: Any, step: int, _timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        if step == 0:
            pipe._guidance_scale = 0.0
            tensors["prompt_embeds"] = tensors["prompt_embeds"].chunk(2)[-1]
        return tensors

    before: list[torch.Tensor] = []
    after: list[torch.Tensor] = []
    with (
        hooks.edit_output(pipeline.unet.mid_block, lambda h: before.append(h.clone())),
        steer(pipeline, {direction: [1.0, 0.5]}),
        hooks.edit_output(pipeline.unet.mid_block, lambda h: after.append(h.clone())),
    ):
        draw(
            pipeline,
            ["a judge", "a cook"],
            2,
            callback_on_step_end=unguided,
            callback_on_step_end_tensor_inputs=["prompt_embeds"],
        )
    sizes = [len(h) for h in after]
    assert sizes == [4, 2, 2]
    for old, new in zip(before, after, strict=True):
        strengths = torch.tensor([0.0] * (len(old) - 2) + [1.0, 0.5])
        added = strengths[:, None, None, None] * direction.tensor[:, None, None]
        torch.testing.assert_close(new - old, added.expand_as(old), atol=1e-5, rtol=1e-4)


def test_a_callback_may_interrupt(pipeline: Any, draw: Callable[..., Any], make_direction: Any):
    def stop(pipe: Any, step: int, _timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        pipe._interrupt = step == 1
        return tensors

    plain = draw(pipeline)
    with steer(pipeline, {make_direction(): 1.0}):
        draw(pipeline, callback_on_step_end=stop)
    assert torch.equal(draw(pipeline), plain)


def test_embeddings_in_place_of_prompts(pipeline: Any, draw: Callable[..., Any], make_direction: Any):
    direction = make_direction()
    told, empty = pipeline.encode_prompt(["a judge", "a cook"], torch.device("cpu"), 1, True)
    with steer(pipeline, {direction: [1.0, -0.5]}):
        expected = draw(pipeline, ["a judge", "a cook"], 2)
        given = draw(pipeline, None, 2, prompt_embeds=told, negative_prompt_embeds=empty)
    assert torch.equal(given, expected)


@pytest.mark.parametrize("embedded", [False, True])
def test_several_images_of_a_prompt(pipeline: Any, draw: Callable[..., Any], make_direction: Any, embedded: bool):
    direction, strengths = make_direction(), [0.0, 1.0, -1.0, 0.0]
    prompts: Any = ["a judge", "a cook"]
    options: dict[str, Any] = {"num_images_per_prompt": 2}
    if embedded:
        told, empty = pipeline.encode_prompt(prompts, torch.device("cpu"), 1, True)
        prompts, options = None, options | {"prompt_embeds": told, "negative_prompt_embeds": empty}
    plain = draw(pipeline, prompts, 4, **options)
    with steer(pipeline, {direction: strengths}):
        steered = draw(pipeline, prompts, 4, **options)
    same = [torch.equal(a, b) for a, b in zip(plain, steered, strict=True)]
    assert same == [True, False, False, True]


@pytest.mark.parametrize("negative", ["a cook", None])
def test_negative_prompts_and_rescaled_guidance(
    pipeline: Any, draw: Callable[..., Any], check_steering: Callable[..., None], negative: Any
):
    check_steering(pipeline, lambda: draw(pipeline, negative_prompt=negative, guidance_rescale=0.7))
