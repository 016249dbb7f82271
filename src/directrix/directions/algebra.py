"""Which directions make others, and what those remember: the rules behind the operators of `Direction`.

Directions of one model, site and shape form a vector space. A calibration does not survive arithmetic, so sums and
multiples start with the standard strengths; the parents' recipes and digests are kept.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from directrix.errors import MismatchError

if TYPE_CHECKING:
    from torch import Tensor

    from directrix.directions.direction import Direction, Strengths


def derived(expression: str, tensor: Tensor, strengths: Strengths, *parents: Direction) -> Direction:
    """A direction that was computed from others, at the first parent's site of its model.

    Args:
        expression: how, such as "a + b", which is its name.
        tensor: (C, H, W) or (C,).
        strengths: of the result.
        parents: one or more, in the order of the expression.

    Raises:
        MismatchError: the tensor's shape does not fit the site.
        DirectrixError: the tensor holds values that are not finite.
    """
    return replace(
        parents[0],
        name=expression,
        tensor=tensor,
        strengths=strengths,
        recipe={"method": "algebra", "expression": expression, "parents": [dict(each.recipe) for each in parents]},
        provenance={"parents": [{"name": each.name, "digest": each.digest()} for each in parents]},
    )


def check_alike(one: Direction, other: Direction, verb: str) -> None:
    """Raises MismatchError unless both belong to one model and site and have one shape; verb: for its sentence."""
    shape, other_shape = tuple(one.tensor.shape), tuple(other.tensor.shape)
    if one.model.fingerprint != other.model.fingerprint:
        raise MismatchError(
            f"Cannot {verb} '{one.name}' of the model '{one.model.name}' and '{other.name}' of '{other.model.name}'.",
            "two directions of the same model.",
            "discover both with the same model.",
        )
    if one.site != other.site:
        raise MismatchError(
            f"Cannot {verb} '{one.name}' at '{one.site.name}' and '{other.name}' at '{other.site.name}'.",
            "two directions of the same site.",
            "steer with both at once: steer(pipeline, {a: 1.0, b: 1.0}).",
        )
    if shape != other_shape:
        raise MismatchError(
            f"Cannot {verb} '{one.name}' of shape {shape} and '{other.name}' of shape {other_shape}.",
            "two directions of the same shape.",
            "resized(height, width) or pooled() on one of them.",
        )
