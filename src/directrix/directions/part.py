"""A part of a direction: what is added at one site.

    h' = h + strength * weight(step) * tensor

The tensor's shape follows the site's layout:

    channels-first   (C, H, W), a map, tied to one latent size; or (C,), alike everywhere
    channels-last    (H, W, C), a map of a transformer's patch grid; or (C,), alike for all tokens
    vector           (C,), for a module that puts out one vector a row, such as the embedding of time and text
    text             (tokens, C) or (C,), alike for all tokens, for text states that the denoiser is given
    pooled           (C,), for a pooled text embedding that the denoiser is given

One with a projection (`directions.projection`) is affine: it first takes out how far its attribute is there already,

    h' = h - min(1, |s|) P(h) + s * tensor,    s = strength * weight(step)

Most parts act on the conditional branch of guidance. One may act on the unconditional branch in its place: guidance
leads away from that, so what is added there is what images are to show less of, as of a negative prompt.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import InitVar, dataclass, replace
from typing import TYPE_CHECKING

from directrix.checks import number, one_of
from directrix.directions.projection import LAYOUTS, Projection
from directrix.errors import DirectrixError, MismatchError, StrengthError
from directrix.models.identity import Site

if TYPE_CHECKING:
    from torch import Tensor

# By layout: numbers of dimensions, where the channels are among them, and the shapes in words.
_SHAPES: Mapping[str, tuple[tuple[int, ...], int, str]] = {
    "channels-first": ((1, 3), 0, "({0}, H, W) or ({0},)"),
    "channels-last": ((1, 3), -1, "(H, W, {0}) or ({0},)"),
    "vector": ((1,), 0, "({0},)"),
    "text": ((1, 2), -1, "(tokens, {0}) or ({0},)"),
    "pooled": ((1,), 0, "({0},)"),
}


@dataclass(frozen=True, eq=False)
class Part:
    """What a direction adds at one site.

    Args:
        site: where it is added.
        tensor: of a shape as above; stored as a float32 copy on the CPU.
        weights: factors of the strength, each for an equal stretch of the steps in their order: (1, 0) acts in the
            first half. None for the whole strength in every step.
        projection: of an affine part, at a site of text or of one vector a row; None for one that only adds.
        branch: of guidance, "conditional" or "unconditional", where it acts; see ``acts_in``.
        owner: whose it is, for errors.

    Raises:
        MismatchError: the tensor's shape does not fit the site, or the projection's the tensor's.
        DirectrixError: the tensor holds values that are not finite.
        StrengthError: there are no weights, or one is not a finite number; or another branch.
    """

    site: Site
    tensor: Tensor
    weights: tuple[float, ...] | None = None
    projection: Projection | None = None
    branch: str = "conditional"
    owner: InitVar[str] = "A direction"

    def __post_init__(self, owner: str) -> None:
        import torch

        # A copy, so that nobody can change a direction after it was checked.
        tensor = self.tensor.detach().to(device="cpu", dtype=torch.float32, copy=True).contiguous()
        shape, site = tuple(tensor.shape), self.site
        dimensions, place, allowed = _SHAPES[site.layout]
        if len(shape) not in dimensions or shape[place] != site.channels or 0 in shape:
            raise MismatchError(f"{owner} at '{site.name}' has shape {shape}.", f"{allowed.format(site.channels)}.")
        if not bool(torch.isfinite(tensor).all()):
            raise DirectrixError(
                f"{owner} at '{site.name}' holds values that are not finite.",
                "finite numbers.",
                "a smaller learning rate, or float32 instead of float16 for its discovery.",
            )
        object.__setattr__(self, "tensor", tensor)
        if self.weights is not None:
            weights = tuple(number("A weight", each, -3e38, 3e38, error=StrengthError) for each in self.weights)
            if not weights:
                raise StrengthError("There are no weights.", "one or more numbers.", "None for the same in every step.")
            object.__setattr__(self, "weights", weights)
        one_of("branch", self.branch, ("conditional", "unconditional"), error=StrengthError)
        known = self.projection
        if known is not None and (known.shape != shape or site.layout not in LAYOUTS):
            raise MismatchError(
                f"{owner} at '{site.name}' has shape {shape}, its projection {known.shape}.",
                "one shape for both, at a site of text or of one vector a row.",
                "a direction that only adds: method='embedding'.",
            )

    @property
    def key(self) -> tuple[Site, tuple[float, ...] | None, str]:
        """Parts of one key add up."""
        return self.site, self.weights, self.branch

    @property
    def is_conditional(self) -> bool:
        """Whether it acts on what is steered, and not beside it on the unconditional branch."""
        return self.branch == "conditional"

    def acts_in(self, branch: str, guided: bool) -> str | None:
        """The branch of guidance that it acts in where a direction steers ``branch``; None for no branch.

        A part of the unconditional branch is there for what others do in the conditional one. So where another branch
        is steered, or there is no guidance, it does nothing.
        """
        if self.is_conditional:
            return branch
        return self.branch if guided and branch == "conditional" else None

    def weight(self, fraction: float) -> float:
        """The strength's factor at a step, given as the fraction of the steps before it, in [0, 1)."""
        return 1.0 if self.weights is None else self.weights[int(fraction * len(self.weights))]

    def with_tensor(self, tensor: Tensor) -> Part:
        """The same with another tensor."""
        return replace(self, tensor=tensor)

    def pooled(self) -> Part:
        """The mean over height and width, (C,); what has none stays as it is."""
        if self.tensor.ndim < 3:
            return self
        return self.with_tensor(self.tensor.mean(dim=(0, 1) if self.site.layout == "channels-last" else (1, 2)))

    def resized(self, height: int, width: int) -> Part:
        """For another size of activations: a map bilinearly, (C,) repeated over space.

        Raises MismatchError for a site without height and width.
        """
        from torch.nn.functional import interpolate

        last = self.site.layout == "channels-last"
        if self.site.layout in ("vector", "text", "pooled"):
            raise MismatchError(
                f"The direction at '{self.site.name}' cannot be resized: its site has no height and width.",
                "a map, or a vector at a site that has them.",
            )
        if self.tensor.ndim == 1:
            tensor = self.tensor[:, None, None].expand(-1, height, width)
        else:
            first = self.tensor.permute(2, 0, 1) if last else self.tensor
            tensor = interpolate(first[None], (height, width), mode="bilinear", align_corners=False)[0]
        return self.with_tensor(tensor.permute(1, 2, 0) if last else tensor)


def merged(parts: tuple[Part, ...], others: tuple[Part, ...]) -> tuple[Part, ...]:
    """The sum: parts of one site, the same weights and one branch are added up, the others stand side by side.

    Raises MismatchError where two of one site have different shapes.
    """
    found = {each.key: each for each in parts}
    for each in others:
        same = found.get(each.key)
        if same is not None and same.tensor.shape != each.tensor.shape:
            shapes = " and ".join(str(tuple(one.tensor.shape)) for one in (same, each))
            raise MismatchError(
                f"The directions have the shapes {shapes} at '{each.site.name}'.",
                "two directions of the same shape.",
                "resized(height, width) or pooled() on one of them.",
            )
        found[each.key] = each if same is None else _sum(same, each)
    return tuple(found.values())


def _sum(one: Part, other: Part) -> Part:
    projections = [each.projection for each in (one, other) if each.projection is not None]
    both = projections[0] + projections[1] if len(projections) == 2 else next(iter(projections), None)
    return replace(one, tensor=one.tensor + other.tensor, projection=both)
