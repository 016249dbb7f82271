"""A discovery leaves everything of the user's as it was, whatever it did and wherever it ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import diffusers
import pytest
import torch
from torch import nn

from directrix.concept import Concept
from directrix.discovery import Optimizer, Sampling, discover
from directrix.discovery.site_search import search_sites
from directrix.errors import InterruptedRun
from directrix.interventions.steering import steer

WOMAN = Concept.of("woman", "a woman", "a person")
SAMPLING = Sampling(1, guidance_scale=4.0, num_inference_steps=2)
METHODS = ("difference", "trajectory", "distillation", "reconstruction")


def seen(value: Any) -> Any:
    """What can be compared of a value: itself where it is plain, else which object it is."""
    if isinstance(value, torch.Tensor):
        return id(value), value._version, value.dtype, value.device, value.requires_grad
    if isinstance(value, dict):
        return {key: seen(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [seen(each) for each in value]
    return value if isinstance(value, int | float | str | None) else (type(value), id(value))


def everything(pipeline: Any) -> dict[str, Any]:
    """Every attribute of a pipeline, of its schedulers, and of every module of its networks; torch's random state."""
    found: dict[str, Any] = {"random": torch.get_rng_state().tolist()}
    places: list[tuple[str, Any]] = [("pipeline", pipeline)]
    for name, part in pipeline.components.items():
        if isinstance(part, nn.Module):
            places += [(f"{name}.{each}", module) for each, module in part.named_modules()]
        elif part is not None:
            places.append((name, part))
    for place, owner in places:
        found |= {f"{place} {key}": seen(value) for key, value in vars(owner).items()}
    return found


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Names of what is another one, or there only once."""
    missing = object()
    return [key for key in before | after if before.get(key, missing) != after.get(key, missing)]


@contextmanager
def unchanged(pipeline: Any) -> Iterator[None]:
    before = everything(pipeline)
    yield
    assert changes(before, everything(pipeline)) == []


@pytest.fixture(scope="module")
def odd(make_pipeline: Callable[..., Any]) -> Any:
    """A pipeline that is in the middle of something: trained, checkpointed, with a scheduler that others correct."""
    pipeline = make_pipeline()
    pipeline.scheduler = diffusers.DDIMScheduler(clip_sample=True, steps_offset=0)
    pipeline("a cook", num_inference_steps=3, guidance_scale=3.0, output_type="latent")
    pipeline.unet.train().mid_block.eval()
    pipeline.unet.requires_grad_(True).conv_in.requires_grad_(False)
    pipeline.unet.enable_gradient_checkpointing()
    pipeline.set_progress_bar_config(disable=True, desc="mine")
    return pipeline


@pytest.fixture(scope="module")
def controlled(odd: Any) -> Any:
    """The same with a ControlNet, so that discovery draws with the sibling that has the same parts."""
    parts = {key: value for key, value in odd.components.items() if key != "image_encoder"}
    controlnet = diffusers.ControlNetModel.from_unet(odd.unet, conditioning_embedding_out_channels=(4, 4, 4, 8))
    return diffusers.StableDiffusionControlNetPipeline(**parts, controlnet=controlnet, requires_safety_checker=False)


def found(pipeline: Any, method: str) -> Any:
    optimizer = None if method == "difference" else Optimizer(2, 2)
    return discover(pipeline, WOMAN, method, sampling=SAMPLING, optimizer=optimizer)


@pytest.mark.parametrize("method", METHODS)
def test_a_discovery(odd: Any, method: str):
    with unchanged(odd):
        found(odd, method)


def test_a_search_for_sites(odd: Any):
    with unchanged(odd):
        search_sites(odd, WOMAN, ["mid_block"], sampling=SAMPLING)


def test_the_sibling_of_a_controlnet_changes_no_configuration(controlled: Any):
    """Its constructor corrects the scheduler's, which is the same object."""
    with unchanged(controlled):
        direction = found(controlled, "difference")
    assert controlled.scheduler.config.clip_sample and not controlled.scheduler.config.steps_offset
    before = everything(controlled)
    with steer(controlled, {direction: 1.0}):
        pass
    assert changes(before, everything(controlled)) == []


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("call", [1, 4, 9])
def test_a_discovery_that_ends_midway(odd: Any, error: type[BaseException], call: int):
    """While inputs are captured, images are drawn, vectors are fitted."""
    calls = 0

    def fail(*_: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == call:
            raise error("midway")

    handle = odd.unet.mid_block.register_forward_hook(fail)
    try:
        with unchanged(odd), pytest.raises((error, InterruptedRun)):
            found(odd, "trajectory")
    finally:
        handle.remove()
    assert calls == call
