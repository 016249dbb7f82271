"""What a direction says of itself, beside its tensor: the head of its file, and all that its cards need."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from directrix.errors import MismatchError, StrengthError
from directrix.models.identity import ModelIdentity, Site


@dataclass(frozen=True)
class Strengths:
    """The strengths that make sense; 1.0 is the calibrated effect."""

    default: float = 1.0
    minimum: float = -1.5
    maximum: float = 1.5

    def __post_init__(self) -> None:
        values = (self.minimum, self.default, self.maximum)
        if not all(math.isfinite(value) for value in values) or self.minimum > self.maximum:
            raise StrengthError(
                f"The strengths are {self.minimum} to {self.maximum}, default {self.default}.",
                "finite numbers, the least one first.",
            )


@dataclass(frozen=True)
class Header:
    """A direction without its tensor.

    Args:
        name, site, model, recipe, strengths, provenance: see `directrix.Direction`.
        shape: of the tensor, (C, H, W) or (C,).
        sha256: of the tensor's bytes, float32 in C order.
        digest: sixteen hexadecimal digits that stand for the tensor and its place; a file leaves it out.
    """

    # Whoever reads one from a file is strict; see `directrix.checks.validated`. Keys of other programs are ignored.
    __pydantic_config__: ClassVar = {"extra": "ignore", "strict": True}

    name: str
    shape: tuple[int, ...]
    sha256: str
    site: Site
    model: ModelIdentity
    recipe: Mapping[str, Any]
    strengths: Strengths
    provenance: Mapping[str, Any]
    digest: str = ""

    def derived(self, expression: str, *others: Header) -> Mapping[str, Any]:
        """Name, recipe and provenance of what was computed from this direction and others.

        A calibration does not survive arithmetic, so sums and multiples start with the standard strengths; the
        parents' recipes and digests are stored.
        """
        parents = (self, *others)
        return {
            "name": expression,
            "strengths": Strengths(),
            "recipe": {"method": "algebra", "expression": expression, "parents": [each.recipe for each in parents]},
            "provenance": {"parents": [{"name": each.name, "digest": each.digest} for each in parents]},
        }

    def check_alike(self, other: Header, verb: str) -> None:
        """Raises MismatchError unless both are of one model, site and shape; verb: for its sentence."""
        a, b = self, other
        apart = "steer with both at once: steer(pipeline, {a: 1.0, b: 1.0})."
        parts = (
            ("model", a.model.name, b.model.name, a.model.fingerprint == b.model.fingerprint, "one model for both."),
            ("site", a.site.name, b.site.name, a.site == b.site, apart),
            ("shape", a.shape, b.shape, a.shape == b.shape, "resized(height, width) or pooled() on one of them."),
        )
        for part, here, there, same, remedy in parts:
            if not same:
                raise MismatchError(
                    f"Cannot {verb} '{a.name}' ({part} {here}) and '{b.name}' ({part} {there}).",
                    f"two directions of the same {part}.",
                    remedy,
                )
