"""What a direction says of itself, beside its tensor: the head of its file, and all that its cards need."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from directrix.errors import StrengthError
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


@dataclass(frozen=True, kw_only=True)
class Header:
    """A direction without its tensor.

    Args:
        name, site, model, recipe, strengths, provenance: see `directrix.Direction`.
        shape: of the tensor, (C, H, W) or (C,).
        sha256: of the tensor's bytes, float32 in C order.
        digest: sixteen hexadecimal digits that stand for the tensor and its place; a file leaves it out.
    """

    # Whoever reads one from a file is strict; see `directrix.checks.validated`.
    __pydantic_config__: ClassVar = {"extra": "forbid", "strict": True}

    name: str
    shape: tuple[int, ...]
    sha256: str
    site: Site
    model: ModelIdentity
    recipe: Mapping[str, Any]
    strengths: Strengths
    provenance: Mapping[str, Any]
    digest: str = ""
