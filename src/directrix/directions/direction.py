"""A direction: what a concept adds to the activations at one site of one model.

    h' = h + strength * direction

`Direction` is a tensor that knows its model, its site and how it was found. Directions of the same model,
site and shape form a vector space: they add, subtract and scale. A (C, H, W) direction is tied to one latent
size; a (C,) one is free of it. Resizing is never silent: see `resized` and `pooled`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING, Any

from directrix.checks import number
from directrix.directions import hub, serialization
from directrix.directions.serialization import Header, Strengths
from directrix.errors import DirectrixError, MismatchError, StrengthError
from directrix.models.files import write_atomically
from directrix.models.identity import ModelIdentity, Site

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Direction:
    """A direction at a site of a model.

    Equality and hash are by identity, so that a direction can be a key: `steer(pipeline, {direction: 1.0})`.

    Args:
        name: what it is called, such as "woman".
        tensor: (C, H, W) or (C,); stored as a float32 copy on the CPU.
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
        shape, channels = tuple(tensor.shape), self.site.channels
        has = f"The direction '{self.name}' has shape {shape}"
        if len(shape) not in (1, 3) or shape[0] != channels or 0 in shape:
            raise MismatchError(f"{has}.", f"({channels}, H, W) or ({channels},) at the site '{self.site.name}'.")
        if len(shape) == 3 and self.site.layout == "channels-last":
            flat = f"{has} at a site that has no height and width."
            raise MismatchError(flat, f"({channels},).", "pool it over space first.")
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

    def _repr_html_(self) -> str:
        from directrix.directions.card import html

        return html(self.header)

    def with_(self, **changes: Any) -> Direction:
        """A copy with some fields changed."""
        return replace(self, **changes)

    def norm(self) -> float:
        """The L2 norm of the whole tensor."""
        return float(self.tensor.double().norm())

    def cosine(self, other: Direction) -> float:
        """Cosine of the angle to another direction, in [-1, 1]; 0 where one of them is zero.

        Raises MismatchError where the other belongs to another model or site, or has another shape.
        """
        self.header.check_alike(other.header, "compare")
        a, b = self.tensor.double().flatten(), other.tensor.double().flatten()
        size = float(a.norm()) * float(b.norm())
        return max(-1.0, min(1.0, float(a @ b) / size)) if size else 0.0

    def digest(self) -> str:
        """Sixteen hexadecimal digits that stand for the tensor and the place it is added at."""
        return self.header.digest

    @cached_property
    def header(self) -> Header:
        """All but the tensor."""
        shape, values = tuple(self.tensor.shape), self.tensor.numpy().tobytes()
        place = f"{self.site}|{self.model.fingerprint}|{shape}"
        sha256, digest = (hashlib.sha256(each).hexdigest() for each in (values, place.encode() + values))
        recipe, provenance = dict(self.recipe), dict(self.provenance)
        return Header(self.name, shape, sha256, self.site, self.model, recipe, self.strengths, provenance, digest[:16])

    def pooled(self) -> Direction:
        """The mean over height and width: a (C,) direction, free of the latent size."""
        if self.tensor.ndim == 1:
            return self
        return self._derived(f"pooled({self.name})", self.tensor.mean(dim=(1, 2)), strengths=self.strengths)

    def resized(self, height: int, width: int) -> Direction:
        """The direction for another size of activations, (C, height, width): bilinear, or (C,) repeated over space.

        Raises MismatchError for a height or width below 1, or a site that has none.
        """
        from torch.nn.functional import interpolate

        if height < 1 or width < 1:
            happened = f"The direction '{self.name}' cannot be resized to {height} x {width}."
            raise MismatchError(happened, "the height and width of activations, 1 or more.")
        if self.tensor.ndim == 1:
            tensor = self.tensor[:, None, None].expand(-1, height, width)
        else:
            tensor = interpolate(self.tensor[None], (height, width), mode="bilinear", align_corners=False)[0]
        return self._derived(f"resized({self.name}, {height}, {width})", tensor, strengths=self.strengths)

    def save(self, path: str | PathLike[str]) -> None:
        """Writes one safetensors file; raises OutputError, and DirectionFileError for recipes that JSON cannot hold."""
        write_atomically(path, serialization.encode(self.header, self.tensor))

    @staticmethod
    def load(path: str | PathLike[str]) -> Direction:
        """Reads one safetensors file and checks all of it.

        Raises DirectionFileError: missing, truncated, foreign, of a newer format, or with values that make no sense.
        """
        found, tensor = serialization.read(path)
        try:
            direction = Direction(
                found.name, tensor, found.site, found.model, found.recipe, found.strengths, found.provenance
            )
        except DirectrixError as error:
            serialization.refuse(path, f"its content makes no sense. {error.happened.rstrip('.')}", error)
        # Finite values of the right shape can still be wrong: one flipped bit changes every image.
        if direction.header.sha256 != found.sha256:
            serialization.refuse(path, "its values are not those that were saved")
        return direction

    @staticmethod
    def from_pretrained(
        source: str | PathLike[str],
        revision: str | None = None,
        *,
        file: str = hub.FILE,
        token: str | bool | None = None,
    ) -> Direction:
        """Reads a direction from the Hugging Face hub ("owner/name[@revision]"), a folder or a file.

        The arguments are those of `directrix.directions.hub.locate`. Raises HubError where it is not there or the hub
        cannot be reached, and DirectionFileError where the file is no direction or is damaged.
        """
        return Direction.load(hub.locate(source, revision, file=file, token=token))

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
            repository, revision, private, token: see `directrix.directions.hub.upload`.
            message: of the commit.
            license, tags: for the model card.
            card: whether README.md is written anew; else it stays as it is.
            picture: PNG of the direction's card, which `directrix card` writes.

        Returns the address of the commit. Raises HubError: no token, no right to write, or no connection to the hub.
        """
        from directrix.directions.card import hub_card

        files = {hub.FILE: serialization.encode(self.header, self.tensor)}
        if card:
            page = hub_card(self.header, repository, picture=picture is not None, license=license, tags=tags)
            files[hub.CARD] = page.encode()
        if picture is not None:
            files[hub.PICTURE] = picture
        message = message or f"Upload the direction '{self.name}'"
        return hub.upload(files, repository, message, revision=revision, private=private, token=token)

    def __add__(self, other: object) -> Direction:
        if not isinstance(other, Direction):
            return NotImplemented
        self.header.check_alike(other.header, "add")
        return self._derived(f"{self.name} + {other.name}", self.tensor + other.tensor, other)

    def __sub__(self, other: object) -> Direction:
        if not isinstance(other, Direction):
            return NotImplemented
        self.header.check_alike(other.header, "subtract")
        return self._derived(f"{self.name} - {other._term()}", self.tensor - other.tensor, other)

    def __neg__(self) -> Direction:
        old = self.strengths
        mirrored = Strengths(old.default, -old.maximum, -old.minimum)
        return self._derived(f"-{self._term()}", -self.tensor, strengths=mirrored)

    def __mul__(self, factor: object) -> Direction:
        if isinstance(factor, bool) or not isinstance(factor, int | float):
            return NotImplemented
        factor = number("The factor", factor, error=StrengthError)
        return self._derived(f"{factor:g} * {self._term()}", self.tensor * factor)

    __rmul__ = __mul__

    def __truediv__(self, factor: object) -> Direction:
        if isinstance(factor, bool) or not isinstance(factor, int | float):
            return NotImplemented
        if number("The divisor", factor, error=StrengthError) == 0:
            raise StrengthError("A direction cannot be divided by 0.", "a finite number other than 0.")
        return self._derived(f"{self._term()} / {factor:g}", self.tensor / factor)

    def _term(self) -> str:
        return f"({self.name})" if " " in self.name else self.name

    def _derived(
        self, expression: str, tensor: Tensor, *others: Direction, strengths: Strengths | None = None
    ) -> Direction:
        """What was computed from this direction and others, named after how, with the parents' recipes and digests.

        A calibration does not survive arithmetic, so sums and multiples start with the standard strengths.
        """
        parents = (self, *others)
        recipe = {"method": "algebra", "expression": expression, "parents": [dict(each.recipe) for each in parents]}
        provenance = {"parents": [{"name": each.name, "digest": each.digest()} for each in parents]}
        return Direction(expression, tensor, self.site, self.model, recipe, strengths or Strengths(), provenance)
