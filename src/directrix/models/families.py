"""What is particular to a family of models, and cannot be read off its network.

All else follows from structure: what a denoiser wants to be told is recorded while its pipeline draws (see
``discover.drawing``), and which tokens are the image's follows from the size of its input (see ``activations``).
"""

from __future__ import annotations

import inspect
from typing import Any, Literal

from directrix.models.sites import denoiser

# Where the halves of guidance are: in one batch, in this order, or in two calls, or nowhere.
Layout = Literal["unconditional-conditional", "conditional-unconditional", "two-calls", "none"]

# By the beginning of the pipeline's name; whatever is not here has both halves in one batch, unconditional first.
_LAYOUTS: dict[str, Layout] = {
    "Lumina2": "two-calls",
    "LuminaText2Img": "conditional-unconditional",
    "Lumina": "conditional-unconditional",
    "Flux": "two-calls",
    "Chroma": "two-calls",
    "QwenImage": "two-calls",
    "CogView4": "two-calls",
    "LatentConsistencyModel": "none",
}
# Their clock runs from 0 (noise) to 1 (image), and what they predict points that way too.
_REVERSED = ("Lumina",)


def guidance_layout(pipeline: Any) -> Layout:
    """How the pipeline lays out the halves of guidance when it uses any."""
    name = type(pipeline).__name__
    fitting = [start for start in _LAYOUTS if name.startswith(start)]
    return _LAYOUTS[max(fitting, key=len)] if fitting else "unconditional-conditional"


def embeds_guidance(pipeline: Any) -> bool:
    """Whether the guidance scale is one of the denoiser's inputs, as in FLUX [dev] and latent consistency models."""
    config: Any = getattr(denoiser(pipeline), "config", {})
    return bool(config.get("guidance_embeds")) or config.get("time_cond_proj_dim") is not None


def halved(pipeline: Any, guidance_scale: float) -> bool:
    """Whether this guidance scale makes the pipeline ask its denoiser about two halves."""
    layout = guidance_layout(pipeline)
    if layout == "none" or embeds_guidance(pipeline):
        return False
    # Two calls that nothing but `true_cfg_scale` switches on.
    if "true_cfg_scale" in parameters(pipeline):
        return False
    return guidance_scale > 1


def reversed_clock(pipeline: Any) -> bool:
    """Whether the denoiser is told 1 - t / T in place of t."""
    return type(pipeline).__name__.startswith(_REVERSED)


def parameters(pipeline: Any) -> set[str]:
    """Names of the arguments that the pipeline's call takes."""
    return set(inspect.signature(type(pipeline).__call__).parameters)


def accepted(pipeline: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    """Those of the arguments that the pipeline's call takes."""
    signature = inspect.signature(type(pipeline).__call__)
    if any(each.kind is each.VAR_KEYWORD for each in signature.parameters.values()):
        return arguments
    return {name: value for name, value in arguments.items() if name in signature.parameters}


def text_to_image(pipeline: Any) -> Any:
    """The text-to-image pipeline with the same parts, for one that starts from an image; else the pipeline itself.

    So a direction for a ControlNet's pipeline is one of the denoiser that the ControlNet stands beside.

    An inpainting network of its own (with channels for the mask) has no such sibling and is left as it is.
    """
    network = denoiser(pipeline)
    image = inspect.signature(type(pipeline).__call__).parameters.get("image")
    if image is None or masked(pipeline):
        return pipeline
    from diffusers import AutoPipelineForText2Image

    try:
        sibling = AutoPipelineForText2Image.from_pipe(pipeline, controlnet=None)
    except ValueError:
        return pipeline
    return sibling if denoiser(sibling) is network else pipeline


def masked(pipeline: Any) -> bool:
    """Whether the denoiser has input channels for a mask and the masked image, beside the latents."""
    config: Any = getattr(denoiser(pipeline), "config", {})
    channels, given = config.get("in_channels"), config.get("out_channels")
    return "mask_image" in parameters(pipeline) and hasattr(pipeline, "unet") and channels != given
