"""A direction: what a concept adds to the activations of one model, at one site or at several.

    h_s' = h_s + strength * direction_s        at each site s that it has a part for

`Direction` has a name, a model, and one or more parts (`directions.part`): tensors that know their sites. Directions of
one model form a vector space: they add, subtract and scale, part by part. A map is tied to one latent size; a (C,) part
is free of it. Resizing is never silent: see `resized` and `pooled`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING, Any, overload

from directrix.directions import hub, serialization
from directrix.directions.algebra import Algebra
from directrix.directions.header import Header, PartHeader, Strengths, listed
from directrix.directions.part import Part
from directrix.errors import DirectrixError, MismatchError
from directrix.models.files import write_atomically
from directrix.models.identity import ModelIdentity, Site

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False, init=False, repr=False)
class Direction(Algebra):
    """A direction of a model: Direction(name, tensor, site, model) at one site, Direction(name, parts=..., model=...).

    Equality and hash are by identity, so that a direction can be a key: `steer(pipeline, {direction: 1.0})`.

    Args:
        name: what it is called, such as "woman".
        tensor, site: its one part's, without weights.
        parts: in their place, one or more; no two of one site, the same weights and one branch.
        model: the model it belongs to.
        recipe: how it was found (method, steps, prompts, ...); JSON values.
        strengths: default, least and greatest sensible strength.
        provenance: versions, times, figures; JSON values.

    Raises:
        MismatchError: a tensor's shape does not fit its site, or two parts are in one place.
        DirectrixError: a tensor holds values that are not finite; no name, or no part.
    """

    name: str
    parts: tuple[Part, ...]
    model: ModelIdentity
    recipe: Mapping[str, Any]
    strengths: Strengths
    provenance: Mapping[str, Any]

    @overload
    def __init__(
        self,
        name: str,
        tensor: Tensor,
        site: Site,
        model: ModelIdentity,
        recipe: Mapping[str, Any] | None = None,
        strengths: Strengths | None = None,
        provenance: Mapping[str, Any] | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        name: str,
        *,
        parts: Sequence[Part],
        model: ModelIdentity,
        recipe: Mapping[str, Any] | None = None,
        strengths: Strengths | None = None,
        provenance: Mapping[str, Any] | None = None,
    ) -> None: ...
    def __init__(
        self,
        name: str,
        tensor: Tensor | None = None,
        site: Site | None = None,
        model: ModelIdentity | None = None,
        recipe: Mapping[str, Any] | None = None,
        strengths: Strengths | None = None,
        provenance: Mapping[str, Any] | None = None,
        *,
        parts: Sequence[Part] = (),
    ) -> None:
        if not isinstance(name, str) or not name.strip():
            raise DirectrixError("The direction has no name.", "a short name such as 'woman'.")
        found = tuple(parts)
        if tensor is not None and site is not None and not found:
            found = (Part(site, tensor, owner=f"The direction '{name}'"),)
        elif tensor is not None or site is not None or not found:
            raise DirectrixError(f"The direction '{name}' has no parts.", "a tensor and its site, or parts.")
        if model is None:
            raise DirectrixError(f"The direction '{name}' names no model.", "the identity of its model.")
        twice = next((each for place, each in enumerate(found) if each.key in [a.key for a in found[:place]]), None)
        if twice is not None:
            raise MismatchError(f"The direction '{name}' has two parts at '{twice.site.name}'.", "one, their sum.")
        given = (name, found, model, recipe or {}, strengths or Strengths(), provenance or {})
        for field, value in zip(Direction.__dataclass_fields__, given, strict=True):
            object.__setattr__(self, field, value)

    @property
    def tensor(self) -> Tensor:
        """The tensor of a direction of one part; MismatchError where there are several, so that none is forgotten."""
        return self._only("tensor").tensor

    @property
    def site(self) -> Site:
        """The site of a direction of one part; MismatchError where there are several, so that none is forgotten."""
        return self._only("site").site

    def _only(self, what: str) -> Part:
        if len(self.parts) == 1:
            return self.parts[0]
        raise MismatchError(
            f"The direction '{self.name}' has {len(self.parts)} parts, at {listed(self.parts)}, and so no one {what}.",
            "a direction of one part.",
            "direction.parts, which has a site and a tensor for each.",
        )

    def __repr__(self) -> str:
        where = ", ".join(
            f"shape={tuple(each.tensor.shape)}, site={each.site.name!r}{', unconditional' * (not each.is_conditional)}"
            for each in self.parts
        )
        return f"Direction({self.name!r}, {where}, model={self.model.name!r}, norm={self.norm():.4g})"

    def _repr_html_(self) -> str:
        from directrix.directions.card import html

        return html(self.header)

    def with_(self, **changes: Any) -> Direction:
        """A copy with some fields changed; of one part, also its tensor, site or weights."""
        own = {name: changes.pop(name) for name in ("tensor", "site", "weights") if name in changes}
        if own:
            changes["parts"] = (replace(self._only(next(iter(own))), **own),)
        return Direction(**{**{name: getattr(self, name) for name in self.__dataclass_fields__}, **changes})

    def scaled(self, factor: float) -> Direction:
        """The same direction in another unit: every tensor times a factor, all else as it is."""
        return self.with_(parts=self._each(lambda tensor: tensor * factor))

    def norm(self) -> float:
        """The L2 norm of all parts together, of both branches of guidance."""
        return math.hypot(*(float(each.tensor.double().norm()) for each in self.parts))

    def cosine(self, other: Direction) -> float:
        """Cosine of the angle to another direction, in [-1, 1]; 0 where one of them is zero.

        Of what they do in the conditional branch of guidance.
        Raises MismatchError where the other belongs to another model or other sites, or has other shapes.
        """
        self.header.check_alike(other.header, "compare")
        mine, theirs = (
            {each.key: each.tensor.double().flatten() for each in one.parts if each.is_conditional}
            for one in (self, other)
        )
        size = math.hypot(*(float(each.norm()) for each in mine.values()))
        size *= math.hypot(*(float(each.norm()) for each in theirs.values()))
        product = sum(float(each @ theirs[key]) for key, each in mine.items())
        return max(-1.0, min(1.0, product / size)) if size else 0.0

    def digest(self) -> str:
        """Sixteen hexadecimal digits that stand for the tensors and the places they are added at."""
        return self.header.digest

    @cached_property
    def header(self) -> Header:
        """All but the tensors."""
        whole = hashlib.sha256()
        parts = tuple(map(PartHeader.of, self.parts))
        for each, known in zip(self.parts, parts, strict=True):
            curve = "" if each.weights is None else f"|{each.weights}"
            affine = "" if known.projection is None else f"|{known.projection.sha256}"
            where = "" if known.is_conditional else f"|{each.branch}"
            whole.update(f"{each.site}|{self.model.fingerprint}|{known.shape}{curve}{affine}{where}".encode())
            whole.update(each.tensor.numpy().tobytes())
        recipe, provenance = dict(self.recipe), dict(self.provenance)
        digest = whole.hexdigest()[:16]
        return Header(self.name, parts, self.model, recipe, self.strengths, provenance, digest)

    def pooled(self) -> Direction:
        """Each part's mean over height and width: (C,) parts, free of the latent size."""
        if all(each.tensor.ndim == 1 for each in self.parts):
            return self
        return self._derived(f"pooled({self.name})", [each.pooled() for each in self.parts], strengths=self.strengths)

    def resized(self, height: int, width: int, site: str | None = None) -> Direction:
        """The direction for another size of activations: maps bilinearly, (C,) repeated over space.

        Args:
            site: the name of the one whose part is resized; None for a direction of one part.

        Raises MismatchError for a height or width below 1, a site that has none, or several parts and no site.
        """
        if height < 1 or width < 1:
            happened = f"The direction '{self.name}' cannot be resized to {height} x {width}."
            raise MismatchError(happened, "the height and width of activations, 1 or more.")
        name = self._only("size").site.name if site is None else site
        if all(each.site.name != name for each in self.parts):
            has = listed(self.parts)
            raise MismatchError(f"The direction '{self.name}' has no part at '{name}'.", f"one of {has}.")
        parts = [each.resized(height, width) if each.site.name == name else each for each in self.parts]
        return self._derived(f"resized({self.name}, {height}, {width})", parts, strengths=self.strengths)

    def save(self, path: str | PathLike[str]) -> None:
        """Writes one safetensors file; raises OutputError, and DirectionFileError for recipes that JSON cannot hold."""
        write_atomically(path, serialization.encode(self.header, self.parts))

    @staticmethod
    def load(path: str | PathLike[str]) -> Direction:
        """Reads one safetensors file and checks all of it.

        Raises DirectionFileError: missing, truncated, foreign, of a newer format, or with values that make no sense.
        """
        found, tensors = serialization.read(path)
        try:
            direction = Direction(
                found.name,
                parts=[
                    Part(each.site, tensor, each.weights, each.projection and each.projection.with_(*own), each.branch)
                    for each, (tensor, *own) in zip(found.parts, tensors, strict=True)
                ],
                model=found.model,
                recipe=found.recipe,
                strengths=found.strengths,
                provenance=found.provenance,
            )
        except DirectrixError as error:
            serialization.refuse(path, f"its content makes no sense. {error.happened.rstrip('.')}", error)
        # Finite values of the right shape can still be wrong: one flipped bit changes every image.
        if direction.header.parts != found.parts:
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

        files = {hub.FILE: serialization.encode(self.header, self.parts)}
        if card:
            page = hub_card(self.header, repository, picture=picture is not None, license=license, tags=tags)
            files[hub.CARD] = page.encode()
        if picture is not None:
            files[hub.PICTURE] = picture
        message = message or f"Upload the direction '{self.name}'"
        return hub.upload(files, repository, message, revision=revision, private=private, token=token)
