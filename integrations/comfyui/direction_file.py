"""Reading a direction's file with safetensors alone: ComfyUI need not have Directrix installed.

The file holds one float32 tensor "direction" and JSON metadata "directrix"; Directrix's docs/files.md describes both.
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import NamedTuple

import torch
from safetensors import safe_open

FORMAT = 1
# diffusers' name of the place that ComfyUI calls the middle block: the output of the U-Net's bottleneck.
SITE = "mid_block"


class Direction(NamedTuple):
    """What steering needs of a file.

    tensor: float32 on the CPU, (C, H, W) or (C,). model: the name of the model it was found with. default, minimum,
    maximum: strengths.
    """

    name: str
    tensor: torch.Tensor
    model: str
    default: float
    minimum: float
    maximum: float


def read(path: str | os.PathLike[str]) -> Direction:
    """Reads and checks a direction's file.

    Raises:
        ValueError: it is missing, damaged, no direction, of a newer format, or at a place that ComfyUI cannot steer.
    """
    try:
        with safe_open(os.fspath(path), framework="pt", device="cpu") as file:
            text = (file.metadata() or {}).get("directrix")
            tensor = file.get_tensor("direction") if text else None
    except Exception as error:
        raise ValueError(
            f"'{path}' is not a readable safetensors file with a direction: {error}. Copy or download it again."
        ) from error
    if text is None or tensor is None:
        raise ValueError(f"'{path}' holds no direction. Take a file that `directrix discover` wrote.")
    try:
        told = json.loads(text)
        form = told["format"]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"'{path}' is damaged: its metadata make no sense. Copy or download it again.") from error
    if form != FORMAT:
        raise ValueError(
            f"'{path}' has format {form}: it has several parts, or a place or a branch that this node does not steer. "
            f"It reads format {FORMAT}. Find one with `directrix discover --method difference`."
        )
    try:
        site, strengths = told["site"], told["strengths"]
        direction = Direction(
            str(told["name"]),
            tensor.float().contiguous(),
            str(told["model"]["name"]),
            float(strengths["default"]),
            float(strengths["minimum"]),
            float(strengths["maximum"]),
        )
        place, channels, digest = str(site["name"]), int(site["channels"]), told.get("sha256")
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"'{path}' is damaged: its metadata make no sense. Copy or download it again.") from error
    if place != SITE:
        raise ValueError(
            f"'{path}' is for the site '{place}'. ComfyUI steers the middle block, '{SITE}' in Directrix, alone."
        )
    right = tensor.ndim in (1, 3) and tensor.shape[0] == channels
    if not right or hashlib.sha256(direction.tensor.numpy().tobytes()).hexdigest() != digest:
        raise ValueError(f"'{path}' is damaged: its values are not those that were saved. Copy it again.")
    return direction
