"""The row of an image: all that decides it, known before it is drawn.

A row of the manifest and the image's own random generator both follow from the run's settings and the
image's place, never from the batch that it happens to be drawn in.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from directrix import __version__
from directrix.generation import manifest
from directrix.interventions.protocol import Intervention, Plan, select
from directrix.models import SteerableModel

if TYPE_CHECKING:
    import torch

# What may differ between two runs that draw the same image.
_NOT_SETTINGS = ("file", "flagged", "sha256", "versions")
# Only where a planner wrote them, so a row that lacks one differs from a row that has it.
_PLANNED = ("assigned", "rewritten_prompt", "unmet")


def image_seed(seed: int, prompt_index: int, image_index: int) -> int:
    """The seed of one image, in [0, 2^63): the start of a SHA-256, so that no two places share one."""
    digest = hashlib.sha256(f"{seed}/{prompt_index}/{image_index}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def image_generator(
    seed: int, prompt_index: int, image_index: int, device: str | torch.device = "cpu"
) -> torch.Generator:
    """The random generator of one image. On the CPU it gives the same noise for every device."""
    import torch

    return torch.Generator(device).manual_seed(image_seed(seed, prompt_index, image_index))


def rows(
    model: SteerableModel,
    prompts: Sequence[str],
    images_per_prompt: int,
    parts: Sequence[Intervention],
    plan: Plan,
    settings: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """The rows of a run, all images of the first prompt first.

    Args:
        parts: the interventions as they are applied, planned already.
        plan: what was assigned and how prompts were rewritten.
        settings: seed, negative prompt, steps, guidance scale, height and width.
    """
    shared = {
        **settings,
        "scheduler": type(model.scheduler).__name__,
        "dtype": str(model.denoiser.dtype).removeprefix("torch."),
        "model": asdict(model.identity),
        "versions": {"directrix": __version__, **{name: version(name) for name in ("diffusers", "torch")}},
    }
    total = len(prompts) * images_per_prompt
    made = []
    for position in range(total):
        prompt_index, image_index = divmod(position, images_per_prompt)
        row = {
            "file": f"{prompt_index:04d}-{image_index:03d}.png",
            "prompt": prompts[prompt_index],
            "prompt_index": prompt_index,
            "image_index": image_index,
            "image_seed": image_seed(settings["seed"], prompt_index, image_index),
            "interventions": [dict(select(part, [position], total).config) for part in parts],
            **shared,
        }
        if plan.assigned and plan.assigned[position]:
            row["assigned"] = dict(plan.assigned[position])
        if plan.rewritten and plan.rewritten[prompt_index] != prompts[prompt_index]:
            row["rewritten_prompt"] = plan.rewritten[prompt_index]
        if plan.unmet and plan.unmet[prompt_index]:
            row["unmet"] = list(plan.unmet[prompt_index])
        made.append(json.loads(json.dumps(row)))
    return made


def same(folder: Path, old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> bool:
    """Whether the image of an old row is there, whole, and the one that the new row asks for."""
    if old is None or any(old.get(key) != new.get(key) for key in (*new, *_PLANNED) if key not in _NOT_SETTINGS):
        return False
    # An image that was changed or cut off since is drawn again.
    return old.get("sha256") == manifest.sha256((folder / new["file"]).read_bytes())
