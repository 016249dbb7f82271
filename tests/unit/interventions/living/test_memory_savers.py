"""What pipelines offer against running out of memory, and other precisions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import diffusers
import pytest
import torch

from directrix.discovery.environment import frozen
from directrix.discovery.frozen_denoiser import FrozenDenoiser
from directrix.interventions.steering import steer
from directrix.models import sites
from directrix.models.steerable import SteerableModel
from unit.models.families.diffusion_transformers import flux

CALLS = ["enable_attention_slicing", "enable_vae_slicing", "enable_vae_tiling"]


def saving(pipeline: Any, call: str) -> Any:
    part, _, rest = call.removeprefix("enable_").partition("_")
    if part == "vae":
        getattr(pipeline.vae, f"enable_{rest}")()
    else:
        getattr(pipeline, call)(1)
    return pipeline


@pytest.mark.parametrize("call", CALLS)
def test_steering(make_pipeline: Callable[..., Any], draw: Callable[..., Any], make_direction: Any, call: str):
    def pictures(pipeline: Any) -> torch.Tensor:
        return draw(pipeline, ["a judge", "a cook"], 2, output_type="pt")

    pipeline = make_pipeline()
    direction = make_direction(of=pipeline)
    with steer(pipeline, {direction: [1.0, 0.0]}):
        expected = pictures(pipeline)
    saving(pipeline, call)
    plain = pictures(pipeline)
    with steer(pipeline, {direction: [1.0, 0.0]}):
        steered = pictures(pipeline)
    if call != "enable_vae_tiling":  # which blends
        torch.testing.assert_close(steered, expected, atol=1e-3, rtol=1e-3)
    assert torch.equal(steered[1], plain[1])
    assert not torch.allclose(steered[0], plain[0])


@pytest.mark.parametrize("method", ["difference", "trajectory", "reconstruction"])
def test_discovery(make_pipeline: Callable[..., Any], discover: Callable[..., Any], method: str):
    expected = discover(make_pipeline(), method)
    pipeline = make_pipeline()
    for call in CALLS:
        saving(pipeline, call)
    processors = {name: id(each) for name, each in pipeline.unet.attn_processors.items()}
    found = discover(pipeline, method)
    assert {name: id(each) for name, each in pipeline.unet.attn_processors.items()} == processors
    # Images to learn from come from the U-Net alone, so the VAE's savings change nothing.
    torch.testing.assert_close(found.tensor, expected.tensor, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("method", ["difference", "trajectory"])
def test_discovery_in_half_precision(
    make_pipeline: Callable[..., Any],
    discover: Callable[..., Any],
    draw: Callable[..., Any],
    dtype: torch.dtype,
    method: str,
):
    exact = discover(make_pipeline(), method)
    pipeline = make_pipeline().to(dtype)
    direction = discover(pipeline, method)
    assert direction.model.fingerprint == exact.model.fingerprint
    assert direction.cosine(exact) > 0.8
    plain = draw(pipeline)
    with steer(pipeline, {direction: 1.0}):
        assert draw(pipeline).dtype == dtype
    with steer(pipeline, {direction: 0.0}):
        assert torch.equal(draw(pipeline), plain)


@pytest.mark.parametrize("site", ["mid_block", "mid_block.resnets.0", "up_blocks.0", "up_blocks.0.resnets.0.conv1"])
def test_gradient_checkpointing_gives_the_same_gradient(make_pipeline: Callable[..., Any], site: str):
    pipeline = make_pipeline()
    expected = gradient(pipeline, site)
    pipeline.unet.enable_gradient_checkpointing()
    torch.testing.assert_close(gradient(pipeline, site), expected)
    assert pipeline.unet.is_gradient_checkpointing


def gradient(pipeline: Any, site: str) -> torch.Tensor:
    """Of a loss by a vector at the site that is not zero, so that a pass without it would be another one."""
    model = SteerableModel.of(pipeline)
    with frozen(model):
        denoiser = FrozenDenoiser(model, model.find_site(site))
        source = torch.Generator().manual_seed(0)
        states = torch.randn(2, 4, 8, 8, generator=source)
        told = denoiser.encode(["a person", "a judge"])
        vector = torch.randn(2, denoiser_channels(pipeline, site), 1, 1, generator=source).requires_grad_()
        loss = denoiser.steered(states, torch.tensor([5, 700]), told, vector).square().mean()
        return torch.autograd.grad(loss, vector)[0]


def denoiser_channels(pipeline: Any, site: str) -> int:
    return sites.find(pipeline, site).channels


def test_discovery_and_steering_with_gradient_checkpointing(
    make_pipeline: Callable[..., Any],
    discover: Callable[..., Any],
    draw: Callable[..., Any],
    check_steering: Callable[..., None],
):
    expected = discover(make_pipeline(), "trajectory")
    pipeline = make_pipeline()
    pipeline.unet.enable_gradient_checkpointing()
    direction = discover(pipeline, "trajectory")
    torch.testing.assert_close(direction.tensor, expected.tensor)
    check_steering(pipeline, lambda: draw(pipeline), direction)


def test_fused_projections(
    make_pipeline: Callable[..., Any],
    discover: Callable[..., Any],
    draw: Callable[..., Any],
    check_steering: Callable[..., None],
):
    """Directions of the model as it was steer it fused, and those of it fused steer it as it was."""
    pipeline = make_pipeline()
    before = discover(pipeline)
    pipeline.unet.fuse_qkv_projections()
    check_steering(pipeline, lambda: draw(pipeline), before)
    fused = discover(pipeline, "trajectory")
    assert fused.model == before.model
    pipeline.unet.unfuse_qkv_projections()
    check_steering(pipeline, lambda: draw(pipeline), fused)
    fresh = make_pipeline()
    check_steering(fresh, lambda: draw(fresh), fused)


def test_a_discovery_sets_caches_aside(discover: Callable[..., Any]):
    """A cache takes states that follow one another for steps of one run."""
    if not hasattr(diffusers, "FirstBlockCacheConfig"):
        pytest.skip("this version of diffusers has no such cache")
    pipeline = flux()
    call = {"height": 16, "width": 16, "max_sequence_length": 16}
    expected = discover(pipeline, "trajectory", call=call)
    pipeline.transformer.enable_cache(diffusers.FirstBlockCacheConfig(threshold=10.0))
    assert torch.equal(discover(pipeline, "trajectory", call=call).tensor, expected.tensor)
    assert pipeline.transformer.is_cache_enabled
