"""A direction without its tensors: what its file says beside them, and all that its cards need."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from directrix.directions.projection import Projection
from directrix.errors import MismatchError, StrengthError
from directrix.models.identity import ModelIdentity, Site

if TYPE_CHECKING:
    from torch import Tensor

    from directrix.directions.part import Part


@dataclass(frozen=True)
class Strengths:
    """The strengths that make sense; 1.0 is the calibrated effect."""

    default: float = 1.0
    minimum: float = -1.5
    maximum: float = 1.5

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, vars(self).values())) or self.minimum > self.maximum:
            happened = f"The strengths are {self.minimum} to {self.maximum}, default {self.default}."
            raise StrengthError(happened, "finite numbers, the least one first.")


@dataclass(frozen=True)
class ProjectionHeader:
    """A projection without its tensors; see `directions.projection.Projection`.

    sha256: of its values.
    """

    __pydantic_config__: ClassVar = {"extra": "ignore", "strict": True}

    offsets: tuple[float, ...]
    keep_norm: bool
    sha256: str

    def with_(self, basis: Tensor, covectors: Tensor) -> Projection:
        """The projection itself."""
        return Projection(basis, covectors, self.offsets, self.keep_norm)


@dataclass(frozen=True)
class PartHeader:
    """A part without its tensor.

    Args:
        site, weights, projection, branch: see `directions.part.Part`.
        shape: of the tensor.
        sha256: of the tensor's bytes, float32 in C order.
    """

    __pydantic_config__: ClassVar = {"extra": "ignore", "strict": True}

    site: Site
    shape: tuple[int, ...]
    sha256: str
    weights: tuple[float, ...] | None = None
    projection: ProjectionHeader | None = None
    branch: str = "conditional"

    @property
    def plain(self) -> bool:
        """Whether format 1 can hold it."""
        layout, dimensions = self.site.layout, len(self.shape)
        added = self.weights is None and self.projection is None and self.is_conditional
        return added and (layout == "channels-first" or (layout == "channels-last" and dimensions == 1))

    @property
    def is_conditional(self) -> bool:
        """See `directions.part.Part`."""
        return self.branch == "conditional"

    @classmethod
    def of(cls, part: Part) -> PartHeader:
        """That of a part."""
        known, shape = part.projection, tuple(part.tensor.shape)
        about = None if known is None else ProjectionHeader(known.offsets, known.keep_norm, known.sha256())
        digest = hashlib.sha256(part.tensor.numpy().tobytes()).hexdigest()
        return cls(part.site, shape, digest, part.weights, about, part.branch)

    def __str__(self) -> str:
        affine = "" if self.projection is None else ", affine"
        where = "" if self.is_conditional else ", unconditional branch"
        return f"{self.site.name} ({' x '.join(map(str, self.shape))}{affine}{where})"


@dataclass(frozen=True)
class Header:
    """A direction without its tensors: what its file says beside them, and all that its cards need.

    Args:
        name, model, recipe, strengths, provenance: see `directrix.Direction`.
        parts: each without its tensor.
        digest: sixteen hexadecimal digits that stand for the tensors and their places; a file leaves it out.
    """

    # Whoever reads one from a file is strict; see `directrix.checks.validated`. Keys of other programs are ignored.
    __pydantic_config__: ClassVar = {"extra": "ignore", "strict": True}

    name: str
    parts: tuple[PartHeader, ...]
    model: ModelIdentity
    recipe: Mapping[str, Any]
    strengths: Strengths
    provenance: Mapping[str, Any]
    digest: str = ""

    @property
    def place(self) -> dict[str, Any]:
        """As a card has it: the site's name and the shape; of several parts all of them in words, and no shape."""
        first, *others = self.parts
        if others:
            return {"site": ", ".join(map(str, self.parts)), "shape": [], "map": self.is_map}
        return {"site": first.site.name, "shape": list(first.shape)}

    @property
    def is_map(self) -> bool:
        """Whether it belongs to one size of images."""
        return any(len(each.shape) == 3 for each in self.parts)

    def check_model(self, other: Header, verb: str) -> None:
        """Raises MismatchError unless both are of one model; verb: for its sentence."""
        if self.model.fingerprint != other.model.fingerprint:
            raise self._differing(other, verb, "model", self.model.name, other.model.name, "one model for both.")

    def check_alike(self, other: Header, verb: str) -> None:
        """Raises MismatchError unless both are of one model, at the same sites, and of the same shapes.

        Of parts of the unconditional branch one may have more than the other.
        """
        self.check_model(other, verb)
        mine, theirs = ({(each.site, each.weights): each.shape for each in _conditional(one)} for one in (self, other))
        if mine.keys() != theirs.keys():
            same = "directions of the same sites, such as parts of both: direction.with_(parts=direction.parts[:1])."
            here, there = (listed(_conditional(one)) for one in (self, other))
            raise self._differing(other, verb, "site", here, there, same)
        for key, shape in mine.items():
            if shape != theirs[key]:
                remedy = "resized(height, width) or pooled() on one of them."
                raise self._differing(other, verb, "shape", shape, theirs[key], remedy)

    def _differing(self, other: Header, verb: str, what: str, here: Any, there: Any, remedy: str) -> MismatchError:
        happened = f"Cannot {verb} '{self.name}' ({what} {here}) and '{other.name}' ({what} {there})."
        return MismatchError(happened, f"two directions of the same {what}.", remedy)


def listed(parts: Sequence[Any]) -> str:
    """The sites of parts, by name, and which of them act on the unconditional branch."""
    return ", ".join(each.site.name + " (unconditional)" * (not each.is_conditional) for each in parts)


def _conditional(header: Header) -> list[PartHeader]:
    return [each for each in header.parts if each.is_conditional]
