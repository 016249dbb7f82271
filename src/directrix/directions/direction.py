"""A direction: what a concept adds to the activations at one site of one model.

    h' = h + strength * direction

`Direction` is a tensor that knows its model, its site and how it was found. Directions of the same model,
site and shape form a vector space: they add, subtract and scale. A (C, H, W) direction is tied to one latent
size; a (C,) one is free of it. Resizing is never silent: see `resized` and `pooled`.
"""

from __future__ import annotations

import hashlib
import importlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING, Any

from directrix.directions.algebra import check_alike, derived
from directrix.errors import DirectrixError, MismatchError, StrengthError
from directrix.models.identity import ModelIdentity, Site

if TYPE_CHECKING:
    from torch import Tensor


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


@dataclass(frozen=True, eq=False)
class Direction:
    """A direction at a site of a model.

    Equality and hash are by identity, so that a direction can be a key: `steer(pipeline, {direction: 1.0})`.

    Args:
        name: what it is called, such as "woman".
        tensor: (C, H, W) or (C,); kept as a float32 copy on the CPU.
        site: where it is added.
        model: the model it belongs to.
        recipe: how it was found (method, steps, prompts, ...); JSON values.
        strengths: default, least and greatest sensible strength.
        provenance: versions, times, figures; JSON values.

    Raises:
        MismatchError: the tensor's shape does not fit the site.
        DirectrixError: the tensor holds values that are not finite.
    """

    name: str
    tensor: Tensor
    site: Site
    model: ModelIdentity
    recipe: Mapping[str, Any] = field(default_factory=dict)
    strengths: Strengths = field(default_factory=Strengths)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        import torch

        if not isinstance(self.name, str) or not self.name.strip():
            raise DirectrixError("The direction has no name.", "a short name such as 'woman'.")
        # A copy, so that nobody can change a direction after it was checked.
        tensor = self.tensor.detach().to(device="cpu", dtype=torch.float32, copy=True).contiguous()
        shape = tuple(tensor.shape)
        if len(shape) not in (1, 3) or shape[0] != self.site.channels or 0 in shape:
            raise MismatchError(
                f"The direction '{self.name}' has shape {shape}.",
                f"({self.site.channels}, H, W) or ({self.site.channels},) at the site '{self.site.name}'.",
            )
        if len(shape) == 3 and self.site.layout == "channels-last":
            raise MismatchError(
                f"The direction '{self.name}' has shape {shape} at a site that has no height and width.",
                f"({self.site.channels},).",
                "pool it over space first.",
            )
        if not bool(torch.isfinite(tensor).all()):
            raise DirectrixError(
                f"The direction '{self.name}' holds values that are not finite.",
                "finite numbers.",
                "a smaller learning rate, or float32 instead of float16 for its discovery.",
            )
        object.__setattr__(self, "tensor", tensor)

    def __repr__(self) -> str:
        return (
            f"Direction({self.name!r}, shape={tuple(self.tensor.shape)}, site={self.site.name!r}, "
            f"model={self.model.name!r}, norm={self.norm():.4g})"
        )

    def with_(self, **changes: Any) -> Direction:
        """A copy with some fields changed."""
        return replace(self, **changes)

    def norm(self) -> float:
        """The L2 norm of the whole tensor."""
        return float(self.tensor.double().norm())

    def cosine(self, other: Direction) -> float:
        """Cosine of the angle to another direction, in [-1, 1]; 0 where one of them is zero.

        Raises:
            MismatchError: the other belongs to another model or site, or has another shape.
        """
        check_alike(self, other, "compare")
        a, b = self.tensor.double().flatten(), other.tensor.double().flatten()
        size = float(a.norm()) * float(b.norm())
        return max(-1.0, min(1.0, float(a @ b) / size)) if size else 0.0

    def digest(self) -> str:
        """Sixteen hexadecimal digits that stand for the tensor and the place it is added at."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        head = f"{self.site}|{self.model.fingerprint}|{tuple(self.tensor.shape)}"
        return hashlib.sha256(head.encode() + self.tensor.numpy().tobytes()).hexdigest()[:16]

    def pooled(self) -> Direction:
        """The mean over height and width: a (C,) direction, free of the latent size."""
        if self.tensor.ndim == 1:
            return self
        return derived(f"pooled({self.name})", self.tensor.mean(dim=(1, 2)), self.strengths, self)

    def resized(self, height: int, width: int) -> Direction:
        """The direction for another size of activations, by bilinear interpolation: (C, height, width).

        A (C,) direction is repeated over space.

        Raises:
            MismatchError: a height or width below 1, or a site that has none.
        """
        from torch.nn.functional import interpolate

        if height < 1 or width < 1:
            raise MismatchError(
                f"The direction '{self.name}' cannot be resized to {height} x {width}.",
                "the height and width of activations, 1 or more.",
            )
        if self.tensor.ndim == 1:
            tensor = self.tensor[:, None, None].expand(-1, height, width)
        else:
            tensor = interpolate(self.tensor[None], (height, width), mode="bilinear", align_corners=False)[0]
        return derived(f"resized({self.name}, {height}, {width})", tensor, self.strengths, self)

    def save(self, path: str | PathLike[str]) -> None:
        """Writes one safetensors file; see `directrix.directions.serialization.save`."""
        # By name: storage lies above this layer.
        importlib.import_module("directrix.directions.serialization").save(self, path)

    @staticmethod
    def load(path: str | PathLike[str]) -> Direction:
        """Reads one safetensors file and checks all of it; see `directrix.directions.serialization.load`."""
        return importlib.import_module("directrix.directions.serialization").load(path)

    @staticmethod
    def from_pretrained(
        source: str | PathLike[str],
        revision: str | None = None,
        *,
        file: str = "direction.safetensors",
        token: str | bool | None = None,
    ) -> Direction:
        """Reads a direction from the Hugging Face hub ("owner/name"), a folder or a file.

        See `directrix.directions.hub.locate`.

        Args:
            source: "owner/name[@revision]", a folder that holds `file`, or a file.
            revision: branch, tag or commit on the hub.
            file: its name in the repository or folder.
            token: for private repositories; None for the one that `hf auth login` kept.

        Raises:
            HubError: it is not there, or the hub cannot be reached.
            DirectionFileError: the file is no direction, or is damaged.
        """
        return importlib.import_module("directrix.directions.hub").load(source, revision, file=file, token=token)

    def push_to_hub(
        self,
        repository: str,
        *,
        revision: str | None = None,
        private: bool | None = None,
        message: str | None = None,
        token: str | bool | None = None,
        license: str | None = None,
        tags: Sequence[str] = (),
        card: bool = True,
        picture: bytes | None = None,
    ) -> str:
        """Puts the direction into a repository of the Hugging Face hub, with a model card.

        Args:
            repository: "owner/name"; made where there is none.
            revision: branch to commit to, made where there is none; None for the main branch.
            private: whether a repository that is made is private; None for the owner's default.
            message: of the commit.
            token: that may write; None for the one that `hf auth login` kept.
            license, tags: for the model card.
            card: whether README.md is written anew; else it stays as it is.
            picture: PNG of the direction's card, which `directrix card` writes.

        Returns:
            The address of the commit.

        Raises:
            HubError: no token, no right to write, or the hub cannot be reached.
        """
        page = None
        if card:
            made = importlib.import_module("directrix.directions.hub_card").hub_card
            page = made(self, repository, picture=picture is not None, license=license, tags=tags)
        return importlib.import_module("directrix.directions.hub").upload(
            self, repository, page, picture, revision=revision, private=private, message=message, token=token
        )

    def __add__(self, other: object) -> Direction:
        if not isinstance(other, Direction):
            return NotImplemented
        check_alike(self, other, "add")
        return derived(f"{self.name} + {other.name}", self.tensor + other.tensor, Strengths(), self, other)

    def __sub__(self, other: object) -> Direction:
        if not isinstance(other, Direction):
            return NotImplemented
        check_alike(self, other, "subtract")
        name = f"({other.name})" if " " in other.name else other.name
        return derived(f"{self.name} - {name}", self.tensor - other.tensor, Strengths(), self, other)

    def __neg__(self) -> Direction:
        old = self.strengths
        mirrored = Strengths(old.default, -old.maximum, -old.minimum)
        return derived(f"-{self._term()}", -self.tensor, mirrored, self)

    def __mul__(self, factor: object) -> Direction:
        if isinstance(factor, bool) or not isinstance(factor, int | float):
            return NotImplemented
        if not math.isfinite(factor):
            raise StrengthError(f"A direction cannot be multiplied by {factor}.", "a finite number.")
        return derived(f"{factor:g} * {self._term()}", self.tensor * factor, Strengths(), self)

    __rmul__ = __mul__

    def __truediv__(self, factor: object) -> Direction:
        if isinstance(factor, bool) or not isinstance(factor, int | float):
            return NotImplemented
        if factor == 0 or not math.isfinite(factor):
            raise StrengthError(f"A direction cannot be divided by {factor}.", "a finite number other than 0.")
        return derived(f"{self._term()} / {factor:g}", self.tensor / factor, Strengths(), self)

    def _term(self) -> str:
        return f"({self.name})" if " " in self.name else self.name
