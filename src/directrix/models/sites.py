"""Where a model is steered: finding a site, its module and the size of its output.

A U-Net's site is the output of its mid block, the bottleneck ("h-space"). A transformer has no bottleneck; its site is
its middle block. Any other module can be named, and so can the heads of an attention: `NAME.heads.3` is the slice that
head 3 of the attention `NAME` puts out before the output projection mixes the heads, `NAME.heads` all of them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from directrix.errors import ModelError, SiteError, suggestion
from directrix.models.identity import Site

if TYPE_CHECKING:
    from torch import nn

# Lists of a transformer's blocks, in the order in which one of them is looked for.
_LISTS = ("transformer_blocks", "joint_transformer_blocks", "layers", "blocks", "single_transformer_blocks")
# Parts that stand beside the denoiser, and do some of its steps or one of its branches.
_SECOND = ("transformer_2", "unet_2", "unconditional_transformer")
_HEADS = re.compile(r"(?P<attention>.+)\.heads(?:\.(?P<head>\d+))?")


class Heads(NamedTuple):
    """Where the heads of a site are: channels [start, stop) of what the module `projection` is given."""

    projection: nn.Module
    start: int
    stop: int


def denoiser(pipeline: Any) -> nn.Module:
    """The network that predicts the noise: a pipeline's (or a `SteerableModel`'s) `unet` or `transformer`.

    It is never what torch.compile wraps around it. A network is itself.

    Raises:
        ModelError: the pipeline has neither.
    """
    if hasattr(pipeline, "named_modules"):
        return getattr(pipeline, "_orig_mod", pipeline)
    pipeline = getattr(pipeline, "pipeline", pipeline)
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


def denoisers(pipeline: Any) -> list[nn.Module]:
    """All networks that share a pipeline's steps, that of `denoiser` first.

    Raises:
        ModelError: it has none, or two that differ in structure, of which a direction would fit one alone.
    """
    first = denoiser(pipeline)
    others = [getattr(getattr(pipeline, "pipeline", pipeline), name, None) for name in _SECOND]
    networks = [first, *(getattr(each, "_orig_mod", each) for each in others if each is not None)]
    shapes = [[(name, each.shape) for name, each in network.named_parameters()] for network in networks[1:]]
    if shapes and any(each != [(name, of.shape) for name, of in first.named_parameters()] for each in shapes):
        raise ModelError(
            f"{type(pipeline).__name__} shares its steps out among denoisers of different structure.",
            "one denoiser, or several of one structure.",
            "a pipeline without the second one.",
        )
    return networks


def find(pipeline: Any, site: str | None = None) -> Site:
    """Finds the site from the model's structure, or checks the one that is named.

    Args:
        pipeline: a diffusers pipeline.
        site: dotted name of a module inside the denoiser, or of an attention's heads; None for the mid block (U-Net)
            or the middle block.

    Raises:
        SiteError: no such module, or nothing known about its output.
    """
    network = denoiser(pipeline)
    if site is None:
        if getattr(network, "mid_block", None) is not None:
            site = "mid_block"
        elif among := blocks(network):
            first = [name for name in among if name.rpartition(".")[0] == among[0].rpartition(".")[0]]
            site = first[len(first) // 2]
        else:
            children = ", ".join(name for name, _ in network.named_children())
            raise SiteError(
                f"{type(network).__name__} has neither a mid block nor transformer blocks.",
                "a U-Net or a transformer of diffusers.",
                f"name the site yourself, for example find(pipeline, 'NAME'). Its parts: {children}.",
            )
    found = heads(network, site)
    if found is not None:
        return Site(site, found.stop - found.start, "channels-last")
    module = _module(network, site)
    channels, layout = _output(network, module, site)
    return Site(site, channels, layout)


def blocks(network: nn.Module) -> list[str]:
    """Names of a transformer's blocks, those that read text and image in separate streams first; none in a U-Net."""
    if getattr(network, "mid_block", None) is not None:
        return []
    lists = [(name, getattr(network, name, ())) for name in _LISTS]
    return [f"{name}.{index}" for name, each in lists for index in range(len(each))]


def listed(pipeline: Any) -> list[Site]:
    """The sites that the model's structure offers: its blocks in order, then the heads of all attentions in them."""
    network: Any = denoiser(pipeline)
    names = blocks(network)
    if not names:
        names = [f"down_blocks.{index}" for index in range(len(getattr(network, "down_blocks", ())))]
        names += ["mid_block"] if getattr(network, "mid_block", None) is not None else []
        names += [f"up_blocks.{index}" for index in range(len(getattr(network, "up_blocks", ())))]
    sites = [find(pipeline, name) for name in names]
    for name, module in network.named_modules():
        if any(name.startswith(f"{block}.") for block in names) and isinstance(getattr(module, "heads", None), int):
            try:
                sites.append(find(pipeline, f"{name}.heads"))
            except SiteError:
                continue
    return sites


def heads(network: nn.Module, name: str) -> Heads | None:
    """Where the heads of a site are; None for a site that is a module's output.

    Raises:
        SiteError: the attention is none, has fewer heads, or no output projection of its own.
    """
    match = _HEADS.fullmatch(name)
    if match is None:
        return None
    attention: Any = _module(network, match["attention"])
    count = getattr(attention, "heads", None)
    out: Any = getattr(attention, "to_out", None)
    projection = out[0] if hasattr(out, "__getitem__") else None
    width = getattr(projection, "in_features", 0)
    if projection is None and getattr(attention, "pre_only", False):
        # Blocks of one stream project attention and feed-forward layer together, attention first.
        projection = getattr(network.get_submodule(match["attention"].rpartition(".")[0]), "proj_out", None)
        width = getattr(attention, "inner_dim", 0)
    if not isinstance(count, int) or projection is None or not width or width % count:
        raise SiteError(
            f"'{match['attention']}' ({type(attention).__name__}) has no heads that can be told apart.",
            "an attention with an output projection.",
            "`directrix sites` lists those there are.",
        )
    if match["head"] is None:
        return Heads(projection, 0, width)
    head = int(match["head"])
    if head >= count:
        raise SiteError(
            f"'{match['attention']}' has no head {head}.", f"0 to {count - 1}.", f"{match['attention']}.heads.0."
        )
    return Heads(projection, head * (width // count), (head + 1) * (width // count))


def parent_of_heads(site: Site) -> str:
    """The name of the block that an attention's site stands in."""
    match = _HEADS.fullmatch(site.name)
    return "" if match is None else match["attention"].rpartition(".")[0]


def head_count(pipeline: Any, site: Site) -> int | None:
    """How many heads an attention's site holds; None for a site that is a module's output."""
    match = _HEADS.fullmatch(site.name)
    if match is None:
        return None
    attention: Any = denoiser(pipeline).get_submodule(match["attention"])
    return int(attention.heads) if match["head"] is None else 1


def module_of(pipeline: Any, site: Site) -> nn.Module:
    """The module whose output is the site; for heads, the projection that they go into.

    Raises:
        SiteError: the pipeline's denoiser has no such module.
    """
    network = denoiser(pipeline)
    found = heads(network, site.name)
    return _module(network, site.name) if found is None else found.projection


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
    try:
        if name:
            return network.get_submodule(name)
    except AttributeError:
        pass
    names = [each for each, _ in network.named_modules() if each]
    shown = [each for each in names if each.count(".") <= 1 and "norm" not in each and "act" not in each]
    raise SiteError(
        f"{type(network).__name__} has no module '{name}'.",
        "the dotted name of one of its modules.",
        suggestion(name, shown[:40]),
    )


def _output(network: Any, module: Any, name: str) -> tuple[int, str]:
    config: Any = getattr(network, "config", {})
    if name in blocks(network):
        for width in (
            (config.get("num_attention_heads") or 0) * (config.get("attention_head_dim") or 0),
            config.get("hidden_size"),
        ):
            if width:
                return int(width), "channels-last"
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
