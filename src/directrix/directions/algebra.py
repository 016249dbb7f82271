"""Which directions make others, and what those remember: the rules behind the operators of `Direction`.

Directions of one model, site and shape form a vector space. A calibration does not survive arithmetic, so sums and
multiples start with the standard strengths; the parents' recipes and digests are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from directrix.directions.header import Header
from directrix.errors import MismatchError


def derivation(expression: str, *parents: Header) -> Mapping[str, Any]:
    """Name, recipe and provenance of what was computed from the parents; expression: how, such as "a + b"."""
    return {
        "name": expression,
        "recipe": {"method": "algebra", "expression": expression, "parents": [dict(each.recipe) for each in parents]},
        "provenance": {"parents": [{"name": each.name, "digest": each.digest} for each in parents]},
    }


def check_alike(one: Header, other: Header, verb: str) -> None:
    """Raises MismatchError unless both belong to one model and site and have one shape; verb: for its sentence."""
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
    if one.shape != other.shape:
        raise MismatchError(
            f"Cannot {verb} '{one.name}' of shape {one.shape} and '{other.name}' of shape {other.shape}.",
            "two directions of the same shape.",
            "resized(height, width) or pooled() on one of them.",
        )
