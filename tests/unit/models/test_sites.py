from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from directrix.errors import ModelError, SiteError
from directrix.models import hooks, sites
from directrix.models.identity import Site


def seen_size(pipeline: Any, site: Site, height: int, width: int) -> tuple[int, ...]:
    seen: list[torch.Tensor] = []
    with torch.no_grad(), hooks.edit_output(sites.module_of(pipeline, site), seen.append):
        pipeline.unet(torch.zeros(1, 4, height, width), 1, torch.zeros(1, 3, 32))
    return tuple(seen[0].shape[1:])


def test_mid_block_is_found_from_structure(pipeline: Any):
    assert sites.find(pipeline) == Site("mid_block", 32, "channels-first")
    assert sites.module_of(pipeline, sites.find(pipeline)) is pipeline.unet.mid_block


@pytest.mark.parametrize("name", ["mid_block", "up_blocks.0", "up_blocks.1"])
@pytest.mark.parametrize("size", [(8, 8), (16, 8), (6, 10), (7, 9)])
def test_spatial_size_is_what_the_network_does(pipeline: Any, name: str, size: tuple[int, int]):
    site = sites.find(pipeline, name)
    assert (site.channels, *sites.spatial_size(pipeline, site, *size)) == seen_size(pipeline, site, *size)


def test_size_after_down_blocks(pipeline: Any):
    sizes = [sites.spatial_size(pipeline, Site(f"down_blocks.{index}", 32), 9, 8) for index in (0, 1)]
    assert sizes == [(5, 4), (5, 4)]


def test_override(pipeline: Any):
    assert sites.find(pipeline, "mid_block.resnets.0") == Site("mid_block.resnets.0", 32)
    assert sites.find(pipeline, "time_embedding.linear_2").layout == "channels-last"


def test_unknown_module_suggests_the_nearest(pipeline: Any):
    with pytest.raises(SiteError, match="did you mean 'mid_block'"):
        sites.find(pipeline, "midblock")
    with pytest.raises(SiteError, match="no module"):
        sites.module_of(pipeline, Site("nowhere", 32))


def test_module_without_channels(pipeline: Any):
    with pytest.raises(SiteError, match="channels"):
        sites.find(pipeline, "time_proj")


def test_size_of_an_inner_module_is_not_guessed(pipeline: Any):
    with pytest.raises(SiteError, match="not known"):
        sites.spatial_size(pipeline, sites.find(pipeline, "up_blocks.0.resnets.0"), 8, 8)


def test_compiled_denoisers_are_unwrapped(pipeline: Any):
    compiled = SimpleNamespace(_orig_mod=pipeline.unet)
    assert sites.denoiser(SimpleNamespace(unet=compiled)) is pipeline.unet


def test_no_denoiser():
    with pytest.raises(ModelError, match="no denoiser"):
        sites.denoiser(SimpleNamespace(unet=None))


def test_unknown_structure_teaches():
    with pytest.raises(SiteError, match="Its parts: 0"):
        sites.find(SimpleNamespace(unet=nn.Sequential(nn.Linear(1, 1))))


def test_transformer_has_its_middle_block():
    from diffusers import PixArtTransformer2DModel

    network = PixArtTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=4,
        in_channels=4,
        out_channels=4,
        num_layers=3,
        cross_attention_dim=8,
        sample_size=8,
        caption_channels=8,
        norm_num_groups=1,
    )
    owner = SimpleNamespace(transformer=network)
    site = sites.find(owner)
    assert site == Site("transformer_blocks.1", 8, "channels-last")
    with pytest.raises(SiteError, match="no height and width"):
        sites.spatial_size(owner, site, 8, 8)
