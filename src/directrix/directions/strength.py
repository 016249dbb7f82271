"""Strengths: one number for all images, or one for each.

`expand` is the only place that knows how a guided batch is laid out. The denoiser's batch is

    "conditional"                [conditional 1, ..., conditional n]
    "unconditional-conditional"  [unconditional 1, ..., unconditional n, conditional 1, ..., conditional n]

and likewise for any other parts in any order, such as "unconditional" in a call of its own, or, with perturbed
attention, "unconditional-conditional-conditional",
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
# How most pipelines lay out a guided call of their denoiser.
LAYOUT = "unconditional-conditional"


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


def images_of(batch: int, guided: bool, layout: str = LAYOUT) -> int:
    """How many images the denoiser's batch of so many rows is about; the arguments are those of `expand`.

    Raises StrengthError where several parts are in the batch, and its rows are no multiple of them.
    """
    # Without guidance a layout of guided calls says nothing.
    parts = layout.count("-") + 1 if guided or "unconditional" not in layout else 1
    if batch % parts:
        raise StrengthError(
            f"A guided batch of {batch} rows has no {parts} equal parts.",
            f"a multiple of {parts}.",
            "guided=False if the denoiser is called without guidance.",
        )
    return batch // parts


def expand(strength: Strength, batch: int, guided: bool, branch: str, layout: str = LAYOUT) -> Tensor | None:
    """The strength of each row of the denoiser's batch.

    Args:
        strength: a number for all images or one per image.
        batch: rows of the denoiser's batch, both branches of guidance counted.
        guided: whether there are two branches of guidance, in this batch or in two.
        layout: of the guided batch, as above.
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
        return rows.repeat(batch // images)
    parts = [rows if branch in (part, "both") else torch.zeros_like(rows) for part in layout.split("-")]
    return torch.cat(parts) if any(part is rows for part in parts) else None


def _finite(value: Any) -> float:
    # Steering multiplies in float32, where larger numbers would be infinite.
    return number("The strength", value, -3e38, 3e38, error=StrengthError, remedy="1.0.")
