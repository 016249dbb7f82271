"""What other people add to a denoiser, and what of it stands aside while a direction is looked for.

A LoRA stays: it is part of what the model knows. An IP-Adapter's image prompt is given with each call, and a direction
is a difference between words; so it is taken out and put back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def without_image_prompts(network: Any) -> Iterator[None]:
    """Within: the denoiser as it was before an IP-Adapter was loaded, if one was."""
    config: Any = getattr(network, "config", None)
    if getattr(config, "encoder_hid_dim_type", None) != "ip_image_proj":
        yield
        return
    from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0

    processors, projection = dict(network.attn_processors), network.encoder_hid_proj
    plain = {
        name: (AttnProcessor2_0() if "2_0" in type(each).__name__ else AttnProcessor())
        if type(each).__name__.startswith("IPAdapter")
        else each
        for name, each in processors.items()
    }
    try:
        network.encoder_hid_proj = None
        config.encoder_hid_dim_type = None
        network.set_attn_processor(plain)
        yield
    finally:
        network.encoder_hid_proj = projection
        config.encoder_hid_dim_type = "ip_image_proj"
        network.set_attn_processor(processors)
