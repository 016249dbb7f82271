"""A tiny Stable Diffusion as one file, with the names that A1111 and ComfyUI know."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_OUTSIDE = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
    # Two blocks of one layer each: the input blocks are 0 to 3, and so are the output blocks.
    "down_blocks.0.resnets.0": "input_blocks.1.0",
    "down_blocks.0.downsamplers.0.conv": "input_blocks.2.0.op",
    "down_blocks.1.resnets.0": "input_blocks.3.0",
    "down_blocks.1.attentions.0": "input_blocks.3.1",
    "up_blocks.0.resnets.0": "output_blocks.0.0",
    "up_blocks.0.attentions.0": "output_blocks.0.1",
    "up_blocks.0.resnets.1": "output_blocks.1.0",
    "up_blocks.0.attentions.1": "output_blocks.1.1",
    "up_blocks.0.upsamplers.0.conv": "output_blocks.1.2.conv",
    "up_blocks.1.resnets.0": "output_blocks.2.0",
    "up_blocks.1.resnets.1": "output_blocks.3.0",
}
_VAE = {
    "mid_block.resnets.0": "mid.block_1",
    "mid_block.attentions.0": "mid.attn_1",
    "mid_block.resnets.1": "mid.block_2",
    "conv_norm_out": "norm_out",
    "group_norm": "norm",
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "proj_out",
    "conv_shortcut": "nin_shortcut",
}


def _of_unet(name: str) -> str:
    for ours in sorted(_OUTSIDE, key=len, reverse=True):
        if name.startswith(f"{ours}."):
            rest = name.removeprefix(f"{ours}.")
            if "resnets" in ours:
                part, _, leaf = rest.rpartition(".")
                rest = f"{_RESNET[part]}.{leaf}"
            return f"model.diffusion_model.{_OUTSIDE[ours]}.{rest}"
    raise KeyError(name)


def _of_vae(name: str) -> str:
    for ours, theirs in _VAE.items():
        name = name.replace(ours, theirs)
    name = re.sub(r"down_blocks\.(\d)\.resnets\.(\d)", r"down.\1.block.\2", name)
    name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", name)
    # Counted from the other end; there are two blocks.
    name = re.sub(r"up_blocks\.(\d)", lambda found: f"up.{1 - int(found[1])}", name)
    name = re.sub(r"up\.(\d)\.resnets\.(\d)", r"up.\1.block.\2", name)
    name = re.sub(r"up\.(\d)\.upsamplers\.0", r"up.\1.upsample", name)
    return f"first_stage_model.{name}"


def write(pipeline: Any, path: Path) -> Path:
    """Writes the weights of the tiny pipeline (`conftest.build_pipeline`) to one file."""
    from safetensors.torch import save_file

    state = {_of_unet(name): each for name, each in pipeline.unet.state_dict().items()}
    state |= {_of_vae(name): each for name, each in pipeline.vae.state_dict().items()}
    for name, each in pipeline.text_encoder.state_dict().items():
        state[f"cond_stage_model.transformer.text_model.{name.removeprefix('text_model.')}"] = each
    save_file({name: each.clone().contiguous() for name, each in state.items()}, path)
    return path
