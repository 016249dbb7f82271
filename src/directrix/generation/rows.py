"""The rows of a run: all that decides each of its images, from the run's settings and the image's place alone.

A row and the image's own random generator never depend on the batch that the image happens to be drawn in.
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
from directrix.errors import OutputError
from directrix.generation import manifest
from directrix.interventions.protocol import Intervention, Plan, select
from directrix.models import SteerableModel, lora

if TYPE_CHECKING:
    import torch

# What may differ between two runs that draw the same image.
_NOT_SETTINGS = ("file", "flagged", "sha256", "versions")
# Only where there is something to say, so a row that lacks one differs from a row that has it.
_PLANNED = ("assigned", "rewritten_prompt", "unmet", "gates", "loras")
# What differs most visibly between two runs.
_FIRST = ("prompt", "seed")
# Settings of interventions that rows share; where each image has strengths of its own, there is nothing to share.
_STEERED = 1000


def image_seed(seed: int, prompt_index: int, image_index: int) -> int:
    """The seed of one image, in [0, 2^63): the start of a SHA-256, so that no two places share one."""
    digest = hashlib.sha256(f"{seed}/{prompt_index}/{image_index}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def image_generator(seed: int, prompt_index: int, image_index: int) -> torch.Generator:
    """The random generator of one image, on the CPU, where it gives the same noise for every device."""
    import torch

    return torch.Generator("cpu").manual_seed(image_seed(seed, prompt_index, image_index))


class Rows(Sequence[dict[str, Any]]):
    """The rows of a run, all images of the first prompt first; each is made when it is asked for.

    Args:
        parts: the interventions as they are applied, planned already.
        plan: what was assigned and how prompts were rewritten.
        settings: seed, negative prompt, steps, guidance scale, height and width.
    """

    def __init__(
        self,
        model: SteerableModel,
        prompts: Sequence[str],
        images_per_prompt: int,
        parts: Sequence[Intervention],
        plan: Plan,
        settings: Mapping[str, Any],
    ) -> None:
        self._prompts, self._images, self._parts, self._plan = prompts, images_per_prompt, parts, plan
        loras = lora.of(model.denoiser)
        shared = {
            **settings,
            **({"loras": loras} if loras else {}),
            "scheduler": type(model.scheduler).__name__,
            "dtype": str(model.denoiser.dtype).removeprefix("torch."),
            "model": asdict(model.identity),
            "versions": {"directrix": __version__, **{name: version(name) for name in ("diffusers", "torch")}},
        }
        # As they are read again, and one object for all rows.
        self._shared = json.loads(json.dumps(shared))
        self._steered: dict[str, list[dict[str, Any]]] = {}

    def __len__(self) -> int:
        return len(self._prompts) * self._images

    def name(self, position: int) -> str:
        """The file of an image."""
        prompt_index, image_index = divmod(position, self._images)
        return f"{prompt_index:04d}-{image_index:03d}.png"

    def __getitem__(self, position: Any) -> Any:
        if isinstance(position, slice):
            return [self[each] for each in range(len(self))[position]]
        position = range(len(self))[position]
        prompt_index, image_index = divmod(position, self._images)
        prompt, plan, shared = self._prompts[prompt_index], self._plan, self._shared
        steered = json.dumps([dict(select(part, [position], len(self)).config) for part in self._parts])
        if steered not in self._steered:
            if len(self._steered) == _STEERED:
                self._steered.clear()
            self._steered[steered] = json.loads(steered)
        row = {
            "file": self.name(position),
            "prompt": prompt,
            "prompt_index": prompt_index,
            "image_index": image_index,
            "image_seed": image_seed(shared["seed"], prompt_index, image_index),
            "interventions": self._steered[steered],
            **shared,
        }
        if plan.assigned and plan.assigned[position]:
            row["assigned"] = dict(plan.assigned[position])
        if plan.rewritten and plan.rewritten[prompt_index] != prompt:
            row["rewritten_prompt"] = plan.rewritten[prompt_index]
        if plan.unmet and plan.unmet[prompt_index]:
            row["unmet"] = list(plan.unmet[prompt_index])
        if plan.gates and plan.gates[prompt_index]:
            row["gates"] = json.loads(json.dumps(plan.gates[prompt_index]))
        return row


def asks_for(new: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    """Whether the old row's image is the one that the new row asks for."""
    return all(old.get(key) == new.get(key) for key in (*new, *_PLANNED) if key not in _NOT_SETTINGS)


def whole(folder: Path, row: Mapping[str, Any]) -> bool:
    """Whether a row's image is there as it was drawn; one that was changed or cut off since is drawn again."""
    try:
        return row.get("sha256") == manifest.sha256((folder / row["file"]).read_bytes())
    except OSError:
        return False


def refuse_another_run(folder: Path, known: Mapping[str, Mapping[str, Any]], rows: Rows) -> None:
    """OutputError for a folder that holds images of another run, or files of these names that no run wrote."""
    run = (folder / manifest.NAME).exists()
    for position in range(len(rows)):
        name = rows.name(position)
        old = known.get(name)
        if old is None and not run and (folder / name).exists():
            raise _taken(f"The folder '{folder}' has a file {name} that no run wrote.")
        if old is not None and not asks_for(new := rows[position], old):
            differ = (key for key in (*_FIRST, *new, *_PLANNED) if old.get(key) != new.get(key))
            key = next(key for key in differ if key not in _NOT_SETTINGS)
            what = f"the {key.replace('_', ' ')} of {name} was {_short(old.get(key))} and is {_short(new.get(key))}"
            if isinstance(new.get(key), list | dict):
                what = f"the {key.replace('_', ' ')} of {name} were others"
            raise _taken(f"The folder '{folder}' holds images of another run: {what}.")


def _taken(happened: str) -> OutputError:
    expected = "a folder of its own for each run, or the same settings, which go on with it."
    return OutputError(happened, expected, "another folder, or overwrite=True (--overwrite), which draws them anew.")


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."
