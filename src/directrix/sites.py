"""Where a model is steered: finding a site, its module and the size of its output.

A U-Net's site is the output of its mid block, the bottleneck ("h-space"). A transformer's is its middle
block.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from directrix.direction import Site
from directrix.errors import ModelError, SiteError, suggestion

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Site", "denoiser", "find", "module_of", "spatial_size"]


def denoiser(pipeline: Any) -> nn.Module:
    """The network of a diffusers pipeline that predicts the noise: its `unet` or `transformer`.

    Raises:
        ModelError: the pipeline has neither.
    """
    for name in ("unet", "transformer"):
        module = getattr(pipeline, name, None)
        if module is not None:
            # torch.compile wraps the module; hooks and names belong to the one inside.
            return getattr(module, "_orig_mod", module)
    raise ModelError(
        f"{type(pipeline).__name__} has no denoiser.",
        "a diffusers pipeline with a `unet` or a `transformer`.",
        'directrix.load("emoji") or a pipeline such as StableDiffusionPipeline.',
    )


def find(pipeline: Any, site: str | None = None) -> Site:
    """Finds the site from the model's structure, or checks the one that is named.

    Args:
        pipeline: a diffusers pipeline.
        site: dotted name of a module inside the denoiser; None for the mid block (U-Net) or the middle block.

    Raises:
        SiteError: no such module, or nothing known about its output.
    """
    network = denoiser(pipeline)
    if site is None:
        if getattr(network, "mid_block", None) is not None:
            site = "mid_block"
        elif len(getattr(network, "transformer_blocks", ())):
            site = f"transformer_blocks.{len(network.transformer_blocks) // 2}"  # pyright: ignore
        else:
            children = ", ".join(name for name, _ in network.named_children())
            raise SiteError(
                f"{type(network).__name__} has neither a mid block nor transformer blocks.",
                "a U-Net or a transformer of diffusers.",
                f"name the site yourself, for example find(pipeline, 'NAME'). Its parts: {children}.",
            )
    module = _module(network, site)
    channels, layout = _output(network, module, site)
    return Site(site, channels, layout)


def module_of(pipeline: Any, site: Site) -> nn.Module:
    """The module whose output is the site.

    Raises:
        SiteError: the pipeline's denoiser has no such module.
    """
    return _module(denoiser(pipeline), site.name)


def spatial_size(pipeline: Any, site: Site, latent_height: int, latent_width: int) -> tuple[int, int]:
    """Height and width of a U-Net's activations at the site, for latents of the given size.

    Raises:
        SiteError: the size cannot be worked out for this site.
    """
    network = denoiser(pipeline)
    parts = site.name.split(".")
    if site.layout != "channels-first" or not hasattr(network, "down_blocks"):
        raise SiteError(
            f"The activations at '{site.name}' have no height and width.",
            "a site of a U-Net.",
            "a direction of shape (C,).",
        )
    downs: Any = network.down_blocks
    sizes = [(latent_height, latent_width)]
    if parts[0] == "down_blocks" and len(parts) == 2:
        downs = downs[: int(parts[1]) + 1]
    for block in downs:
        # Not every down block halves: the last one of a U-Net has no downsampler.
        for sampler in getattr(block, "downsamplers", None) or ():
            sizes.append((_halved(sizes[-1][0], sampler), _halved(sizes[-1][1], sampler)))
    if parts[0] == "mid_block" or (parts[0] == "down_blocks" and len(parts) == 2):
        return sizes[-1]
    if parts[0] == "up_blocks" and len(parts) == 2:
        ups: Any = network.up_blocks
        raised = sum(bool(getattr(block, "upsamplers", None)) for block in ups[: int(parts[1]) + 1])
        return sizes[len(sizes) - 1 - raised]
    raise SiteError(
        f"The size of the activations at '{site.name}' is not known.",
        "mid_block, down_blocks.N or up_blocks.N.",
        "one of these, or a direction of shape (C,).",
    )


def _halved(size: int, sampler: Any) -> int:
    # With padding 0 diffusers pads one row on one side, which rounds down instead of up.
    return size // 2 if getattr(sampler, "padding", 1) == 0 else (size + 1) // 2


def _module(network: nn.Module, name: str) -> nn.Module:
    names = [each for each, _ in network.named_modules() if each]
    if name not in names:
        shown = [each for each in names if each.count(".") <= 1 and "norm" not in each and "act" not in each]
        raise SiteError(
            f"{type(network).__name__} has no module '{name}'.",
            "the dotted name of one of its modules.",
            suggestion(name, shown[:40]),
        )
    return network.get_submodule(name)


def _output(network: Any, module: Any, name: str) -> tuple[int, str]:
    config: Any = getattr(network, "config", {})
    if (
        name.startswith("transformer_blocks.")
        and name.count(".") == 1
        and hasattr(config, "attention_head_dim")
    ):
        return int(config.num_attention_heads * config.attention_head_dim), "channels-last"
    resnets = getattr(module, "resnets", None)
    candidates = [resnets[-1]] if resnets else [module]
    for each in candidates:
        channels = getattr(each, "out_channels", None)
        if isinstance(channels, int):
            return channels, "channels-first"
        features = getattr(each, "out_features", None)
        if isinstance(features, int):
            return features, "channels-last"
    raise SiteError(
        f"The number of channels of '{name}' ({type(module).__name__}) is not known.",
        "a block of residual layers, a transformer block, a convolution or a linear layer.",
        "a site such as 'mid_block'.",
    )
