"""The nodes. What they put into the model is `MiddleBlock`, which ComfyUI calls with the middle block's output."""

from __future__ import annotations

import os
from typing import Any

import torch

from .direction_file import Direction, read

FOLDER = "directrix"
# ComfyUI numbers the rows of its batch so in `cond_or_uncond`.
COND, UNCOND = 0, 1
BRANCHES = {"conditional": (COND,), "unconditional": (UNCOND,), "both": (COND, UNCOND)}
REFUSE, RESIZE, AVERAGE = "refuse", "resize", "average"


class MiddleBlock:
    """Adds strength times direction to the middle block's output, for the rows and the steps that are steered.

    Args:
        direction: what is added.
        strength: 1.0 is the calibrated effect.
        branch: a key of BRANCHES.
        start, stop: step i of n is steered if start <= i / n < stop.
        other_sizes: what to do where the picture's size is not the direction's: "refuse"; "resize", bilinear;
            "average", the direction's mean over place.
    """

    def __init__(
        self,
        direction: Direction,
        strength: float,
        branch: str = "conditional",
        start: float = 0.0,
        stop: float = 1.0,
        other_sizes: str = REFUSE,
    ) -> None:
        self.direction, self.strength = direction, strength
        self.branch, self.start, self.stop, self.other_sizes = branch, start, stop, other_sizes

    def __call__(self, given: dict[str, Any]) -> dict[str, Any]:
        """Takes and returns ComfyUI's dictionary; `h` (B, C, H, W) is replaced, never written to."""
        h, told = given["h"], given["transformer_options"]
        if self.strength == 0 or not self._is_open(told):
            return given
        kinds = told["cond_or_uncond"]
        # A chunk of the batch for each kind, all of the same number of pictures.
        size = h.shape[0] // len(kinds)
        added = (self.strength * self._fitting(h)).to(h.dtype)
        steered = h.clone()
        for place, kind in enumerate(kinds):
            if kind in BRANCHES[self.branch]:
                steered[place * size : (place + 1) * size] += added
        return {**given, "h": steered}

    def _is_open(self, told: dict[str, Any]) -> bool:
        if (self.start, self.stop) == (0.0, 1.0):
            return True
        steps, now = told.get("sample_sigmas"), told.get("sigmas")
        if steps is None or now is None or len(steps) < 2:
            raise ValueError(
                "The sampler does not say which step this is, so start and stop cannot be kept. Use start 0 and stop "
                "1, or a sampler of ComfyUI's own."
            )
        # The last sigma is where sampling ends; no step begins there. Some samplers look between two steps.
        begins = torch.as_tensor(steps)[:-1].float().cpu()
        index = int((begins - float(torch.as_tensor(now).flatten()[0])).abs().argmin())
        return self.start <= index / len(begins) < self.stop

    def _fitting(self, h: torch.Tensor) -> torch.Tensor:
        """The direction, float32 on h's device, in a shape that can be added to h."""
        tensor, name = self.direction.tensor, self.direction.name
        if tensor.shape[0] != h.shape[1]:
            raise ValueError(
                f"The direction '{name}' has {tensor.shape[0]} channels, this model's middle block {h.shape[1]}. It "
                f"was found with {self.direction.model}: load that."
            )
        if tensor.ndim == 3 and tensor.shape[1:] != h.shape[2:]:
            if self.other_sizes == AVERAGE:
                tensor = tensor.mean(dim=(1, 2))
            elif self.other_sizes == RESIZE:
                tensor = torch.nn.functional.interpolate(
                    tensor[None], tuple(h.shape[2:]), mode="bilinear", align_corners=False
                )[0]
            else:
                raise ValueError(
                    f"The direction '{name}' was found at {tensor.shape[1]} x {tensor.shape[2]} activations; this "
                    f"picture has {h.shape[2]} x {h.shape[3]}. Use the size it was found with, or set other_sizes to "
                    "resize or average."
                )
        return (tensor[:, None, None] if tensor.ndim == 1 else tensor).to(h.device)


class LoadDirection:
    """Reads a direction from ComfyUI's folder models/directrix."""

    CATEGORY = "directrix"
    FUNCTION = "load"
    RETURN_TYPES = ("DIRECTRIX_DIRECTION", "FLOAT", "STRING")
    RETURN_NAMES = ("direction", "strength", "about")
    DESCRIPTION = "A direction's file, its default strength, and what it says about itself."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"file": (_files(),)}}

    @classmethod
    def IS_CHANGED(cls, file: str) -> float:
        return os.path.getmtime(_path(file))

    def load(self, file: str) -> tuple[Direction, float, str]:
        direction = read(_path(file))
        about = (
            f"{direction.name}, found with {direction.model}; strength {direction.default:g}, sensible from "
            f"{direction.minimum:g} to {direction.maximum:g}"
        )
        return direction, direction.default, about


class Steer:
    """Gives back the model, steered; the one that came in stays as it is. Several in a row add up."""

    CATEGORY = "directrix"
    FUNCTION = "steer"
    RETURN_TYPES = ("MODEL",)
    DESCRIPTION = "Adds a direction to the middle block's output, in the prompt's half of guidance by default."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        share = {"min": 0.0, "max": 1.0, "step": 0.01}
        return {
            "required": {
                "model": ("MODEL",),
                "direction": ("DIRECTRIX_DIRECTION",),
                "strength": ("FLOAT", {"default": 1.0, "min": -10.0, "max": 10.0, "step": 0.05}),
                "branch": (list(BRANCHES), {"default": "conditional"}),
                "start": ("FLOAT", {"default": 0.0, **share}),
                "stop": ("FLOAT", {"default": 1.0, **share}),
                "other_sizes": ([REFUSE, RESIZE, AVERAGE], {"default": REFUSE}),
            }
        }

    def steer(
        self,
        model: Any,
        direction: Direction,
        strength: float,
        branch: str,
        start: float,
        stop: float,
        other_sizes: str,
    ) -> tuple[Any]:
        if not hasattr(model, "set_model_middle_block_after_patch"):
            raise ValueError(
                "This ComfyUI lets no node change the middle block's output. Update it: its models need "
                "set_model_middle_block_after_patch."
            )
        steered = model.clone()
        if strength != 0 and start < stop:
            patch = MiddleBlock(direction, strength, branch, start, stop, other_sizes)
            steered.set_model_middle_block_after_patch(patch)
        return (steered,)


def _files() -> list[str]:
    import folder_paths

    if FOLDER not in folder_paths.folder_names_and_paths:
        folder_paths.add_model_folder_path(FOLDER, os.path.join(folder_paths.models_dir, FOLDER))
    return [each for each in folder_paths.get_filename_list(FOLDER) if each.endswith(".safetensors")]


def _path(file: str) -> str:
    import folder_paths

    path = folder_paths.get_full_path(FOLDER, file)
    if path is None:
        raise ValueError(f"There is no '{file}' in models/{FOLDER}. Put the direction's file there.")
    return path
