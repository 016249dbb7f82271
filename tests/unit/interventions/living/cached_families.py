"""Tiny pipelines whose transformers diffusers can cache, and directions that are built into a block of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

import diffusers
import pytest
import torch

from directrix import models
from directrix.directions.direction import Direction
from directrix.models import sites
from unit.models.families import diffusion_transformers, parts

STEPS = 6
if not hasattr(diffusers, "SeaCacheConfig"):
    pytest.skip("diffusers without these caches", allow_module_level=True)


class Family(NamedTuple):
    """A pipeline's maker and its call; image: where a block's output has its image, None where it is the output."""

    build: Callable[[], Any]
    call: dict[str, Any]
    image: int | None = None


def _wan() -> Any:
    transformer = diffusers.WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=16,
        out_channels=16,
        text_dim=16,
        freq_dim=16,
        ffn_dim=32,
        num_layers=3,
        cross_attn_norm=True,
        qk_norm="rms_norm_across_heads",
        rope_max_seq_len=32,
    )
    vae = diffusers.AutoencoderKLWan(
        base_dim=3, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True]
    )
    return diffusers.WanPipeline(
        transformer=transformer,
        vae=vae.eval(),
        scheduler=diffusion_transformers.flow(),
        text_encoder=parts.t5(),
        tokenizer=parts.fast_tokenizer(),
    )


def _cogvideox() -> Any:
    transformer = diffusers.CogVideoXTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=8,
        in_channels=4,
        out_channels=4,
        time_embed_dim=2,
        text_embed_dim=16,
        num_layers=3,
        sample_width=2,
        sample_height=2,
        sample_frames=9,
        patch_size=2,
        temporal_compression_ratio=4,
        max_text_seq_length=16,
    )
    vae = diffusers.AutoencoderKLCogVideoX(
        down_block_types=("CogVideoXDownBlock3D",) * 4,
        up_block_types=("CogVideoXUpBlock3D",) * 4,
        block_out_channels=(8, 8, 8, 8),
        latent_channels=4,
        layers_per_block=1,
        norm_num_groups=2,
        temporal_compression_ratio=4,
    )
    return diffusers.CogVideoXPipeline(
        tokenizer=parts.fast_tokenizer(),
        text_encoder=parts.t5(),
        vae=vae.eval(),
        transformer=transformer,
        scheduler=diffusers.DDIMScheduler(),
    )


SMALL = {"height": 16, "width": 16, "guidance_scale": 5.0}
FAMILIES = {
    # One call a step, guidance embedded; two calls a step; both branches in one call.
    "flux": Family(diffusion_transformers.flux, {**SMALL, "max_sequence_length": 16}, 1),
    "wan": Family(_wan, {**SMALL, "num_frames": 1}),
    "cogvideox": Family(_cogvideox, {**SMALL, "num_frames": 8, "max_sequence_length": 16}, 0),
}


@cache
def built(name: str) -> Any:
    """The family's pipeline, one for all tests."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return parts.ready(FAMILIES[name].build())


def draw(name: str, **options: Any) -> torch.Tensor:
    """Latents of one image or video."""
    settings = {"num_inference_steps": STEPS, "output_type": "latent", **FAMILIES[name].call, **options}
    return built(name)(["a judge"], generator=[torch.Generator().manual_seed(0)], **settings)[0]


def direction(name: str, site: str | None = None, scale: float = 1.0) -> Direction:
    """A random direction at a site of the family."""
    pipeline = built(name)
    found = sites.find(pipeline, site)
    tensor = scale * torch.randn(found.channels, generator=torch.Generator().manual_seed(1))
    return Direction("woman", tensor, found, models.identity(pipeline))


@contextmanager
def cached(name: str, config: Any) -> Iterator[None]:
    """Within, the family's transformer has this cache."""
    transformer = built(name).transformer
    transformer.enable_cache(config)
    try:
        yield
    finally:
        transformer.disable_cache()


@contextmanager
def built_in(name: str, of: Direction, acts: Callable[[], bool] = lambda: True) -> Iterator[None]:
    """Within, the module itself adds the direction to the conditional branch; to be entered before a cache comes."""
    transformer, image = built(name).transformer, FAMILIES[name].image
    contexts: list[str] = []
    cache_context = transformer.cache_context

    def following(context: str, **options: Any) -> Any:
        contexts[:] = [context]
        return cache_context(context, **options)

    def added(h: torch.Tensor) -> torch.Tensor:
        if contexts == ["uncond"] or not acts():
            return h
        rows = torch.arange(len(h)) >= (len(h) // 2)
        return h + rows[:, None, None] * of.tensor

    if of.site.name.endswith(".heads"):
        module = transformer.get_submodule(of.site.name.removesuffix(".heads")).to_out[0]
        own = module.forward

        def forward(h: torch.Tensor) -> torch.Tensor:
            return own(added(h))
    else:
        module = transformer.get_submodule(of.site.name)
        own = module.forward

        def forward(*args: Any, **kwargs: Any) -> Any:
            output = own(*args, **kwargs)
            if image is None:
                return added(output)
            return tuple(added(each) if place == image else each for place, each in enumerate(output))

    module.forward, transformer.cache_context = forward, following
    try:
        yield
    finally:
        del module.forward, transformer.cache_context
