"""Strengths: one number for all images, or one for each.

`expand` is the only place that knows how a guided batch is laid out. The denoiser's batch is

    without guidance             [image 1, ..., image n]
    "unconditional-conditional"  [unconditional 1, ..., unconditional n, conditional 1, ..., conditional n]
    "conditional-unconditional"  the other way round
    "conditional"                [conditional 1, ..., conditional n], the other branch in a call of its own
    "unconditional"              [unconditional 1, ..., unconditional n], likewise

where n is the number of prompts times the images per prompt, in the pipeline's order: all images of the first
prompt, then all of the second.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from directrix.checks import number, one_of
from directrix.errors import StrengthError

if TYPE_CHECKING:
    from torch import Tensor

    Strength = float | Sequence[float] | Tensor
else:
    Strength = Any

BRANCHES = ("conditional", "unconditional", "both")
# How one guided call of the denoiser is laid out.
LAYOUTS = ("unconditional-conditional", "conditional-unconditional", "conditional", "unconditional")


def checked(strength: Strength) -> float | tuple[float, ...]:
    """The strength as a number or a tuple of one number per image; StrengthError for what is no finite number.

    strength: a number, a sequence of numbers, or a tensor or array of no or one dimension.
    """
    given: Any = strength
    values = given.tolist() if hasattr(given, "tolist") else given
    if isinstance(values, list | tuple):
        if not values:
            raise StrengthError("The list of strengths is empty.", "one strength per image.", "a single number.")
        return tuple(map(_finite, values))
    return _finite(values)


def images_of(batch: int, guided: bool, layout: str = LAYOUTS[0]) -> int:
    """How many images the denoiser's batch of so many rows is about; the arguments are those of `expand`.

    Raises StrengthError where both branches of guidance are in the batch, and its rows are no even number.
    """
    if not guided or layout not in ("unconditional-conditional", "conditional-unconditional"):
        return batch
    if batch % 2:
        raise StrengthError(
            f"A guided batch of {batch} rows has no two equal halves.",
            "an even number.",
            "guided=False if the denoiser is called without guidance.",
        )
    return batch // 2


def expand(strength: Strength, batch: int, guided: bool, branch: str, layout: str = LAYOUTS[0]) -> Tensor | None:
    """The strength of each row of the denoiser's batch.

    Args:
        strength: a number for all images or one per image.
        batch: rows of the denoiser's batch, both branches of guidance counted.
        guided: whether there are two branches of guidance, in this batch or in two.
        layout: of the guided batch, one of the four above.
        branch: the one that is steered; without guidance "conditional" and "both" mean the whole batch.

    Returns:
        float32 tensor (batch,) on the CPU, or None where every strength is 0 and nothing must be touched.

    Raises:
        StrengthError: not as many strengths as images, or a branch that this batch does not have.
    """
    import torch

    branch = one_of("branch", branch, BRANCHES, error=StrengthError)
    values = checked(strength)
    images = images_of(batch, guided, layout)
    if not guided and branch == "unconditional":
        raise StrengthError(
            "branch='unconditional' was asked for, but these images are drawn without guidance.",
            "a guidance scale above 1.",
            "branch='conditional', which is the whole batch here.",
        )
    if isinstance(values, tuple) and len(values) != images:
        raise StrengthError(
            f"There are {len(values)} strengths for a batch of {images} images.",
            f"one number, or {images} (prompts times images per prompt).",
            "one strength per image in the pipeline's order: all images of the first prompt come first.",
        )
    each = list(values) if isinstance(values, tuple) else [values] * images
    if not any(each):
        return None
    rows = torch.tensor(each, dtype=torch.float32)
    if not guided:
        return rows
    if images == batch:
        return rows if branch in (layout, "both") else None
    none = torch.zeros_like(rows)
    halves = [rows if branch != "conditional" else none, rows if branch != "unconditional" else none]
    return torch.cat(halves if layout == "unconditional-conditional" else halves[::-1])


def _finite(value: Any) -> float:
    # Steering multiplies in float32, where larger numbers would be infinite.
    return number("The strength", value, -3e38, 3e38, error=StrengthError, remedy="1.0.")
