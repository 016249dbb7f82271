"""Other precisions, and attention that is exchanged meanwhile: what is added has the activations' own type."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor, FusedAttnProcessor2_0

from directrix.interventions.steering import steer
from directrix.models import hooks


def cast(pipeline: Any) -> None:
    pipeline.to(torch.bfloat16)
    pipeline.unet.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.bfloat16)


@contextmanager
def autocast(_pipeline: Any) -> Iterator[None]:
    with torch.autocast("cpu", torch.bfloat16):
        yield


PRECISIONS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "bfloat16": (lambda pipeline: pipeline.to(torch.bfloat16), lambda _: nullcontext()),
    "float16": (lambda pipeline: pipeline.to(torch.float16), lambda _: nullcontext()),
    "layerwise float8": (cast, lambda _: nullcontext()),
    "autocast": (lambda _: None, autocast),
}


@pytest.mark.parametrize("precision", PRECISIONS)
def test_what_is_added(
    make_pipeline: Callable[..., Any], draw: Any, make_direction: Any, check_steering: Any, precision: str
):
    pipeline = make_pipeline()
    if precision == "layerwise float8" and not hasattr(pipeline.unet, "enable_layerwise_casting"):
        pytest.skip("this version of diffusers does not cast by layers")
    direction = make_direction()
    change, within = PRECISIONS[precision]
    change(pipeline)
    before: list[torch.Tensor] = []
    after: list[torch.Tensor] = []
    with within(pipeline):
        check_steering(pipeline, lambda: draw(pipeline), direction)
        with (
            hooks.edit_output(pipeline.unet.mid_block, lambda h: before.append(h.clone())),
            steer(pipeline, {direction: 0.7}),
            hooks.edit_output(pipeline.unet.mid_block, lambda h: after.append(h.clone())),
        ):
            draw(pipeline)
    for h, steered in zip(before, after, strict=True):
        assert steered.dtype == h.dtype
        assert torch.equal(steered[0], h[0])
        assert torch.equal(steered[1], h[1] + (0.7 * direction.tensor).to(h.dtype))


def test_attention_that_is_exchanged(make_pipeline: Callable[..., Any], draw: Any, make_direction: Any):
    """Fused projections, other processors and frozen weights, each while steered; the hooks stay, and go at the end."""
    pipeline = make_pipeline()
    direction, unet = make_direction(), pipeline.unet
    plain = draw(pipeline)
    own = dict(unet.attn_processors)
    with steer(pipeline, {direction: 1.0}):
        steered = draw(pipeline)
        unet.fuse_qkv_projections()
        unet.requires_grad_(False)
        torch.testing.assert_close(draw(pipeline), steered, atol=1e-4, rtol=1e-4)
        unet.unfuse_qkv_projections()
        unet.set_attn_processor(AttnProcessor())
        torch.testing.assert_close(draw(pipeline), steered, atol=1e-4, rtol=1e-4)
        unet.set_attn_processor(own)
        assert torch.equal(draw(pipeline), steered)
    assert torch.equal(draw(pipeline), plain)
    unet.fuse_qkv_projections()
    fused = draw(pipeline)
    with steer(pipeline, {direction: 0.0}):
        assert torch.equal(draw(pipeline), fused)
        assert any(isinstance(each, FusedAttnProcessor2_0) for each in unet.attn_processors.values())
    assert not any(each._forward_hooks or each._forward_pre_hooks for each in unet.modules())


def test_heads_of_fused_projections(make_pipeline: Callable[..., Any], draw: Any):
    from directrix import models
    from directrix.directions.direction import Direction
    from directrix.models import sites

    pipeline = make_pipeline()
    site = sites.find(pipeline, "mid_block.attentions.0.transformer_blocks.0.attn1.heads")
    tensor = torch.randn(site.channels, generator=torch.Generator().manual_seed(1))
    direction = Direction("woman", tensor, site, models.identity(pipeline))
    with steer(pipeline, {direction: 1.0}):
        steered = draw(pipeline)
        pipeline.unet.fuse_qkv_projections()
        torch.testing.assert_close(draw(pipeline), steered, atol=1e-4, rtol=1e-4)
