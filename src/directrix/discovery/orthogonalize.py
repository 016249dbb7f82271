"""Separating directions from each other, and giving them their shape: linear algebra on what a method found.

Opposite concepts found alone share a large common part (female and male of the published vectors have a cosine of .25),
and attributes that go together in the model leak into each other. Both are parts of a vector that other vectors name,
so they can be taken out of it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from directrix.errors import ConceptError, DirectrixError

if TYPE_CHECKING:
    from torch import Tensor

SHAPES = ("map", "channel")
# A vector of which less than this share of its size is left is rounding error.
NOTHING = 1e-3


@dataclass(frozen=True)
class Separation:
    """What is done to the vectors of one run.

    shape: "map" for (C, H, W), "channel" for their mean over place, (C,).
    rank: of a map as a matrix (C, H * W), at least 1; None for a full one.
    contrast: take the part out that all concepts of the run share, so that they sum to zero (before any truncation).
    preserved: how many of the run's last concepts are only there to be left alone: the space that they span is taken
        out of the others.
    names: of the run's concepts, for messages.

    Raises DirectrixError for values that make no sense.
    """

    shape: str = "map"
    rank: int | None = None
    contrast: bool = False
    preserved: int = 0
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.shape not in SHAPES:
            raise DirectrixError(f"The shape is {self.shape!r}.", f"one of {', '.join(SHAPES)}.")
        if self.rank is not None and (isinstance(self.rank, bool) or not isinstance(self.rank, int) or self.rank < 1):
            raise DirectrixError(f"The rank is {self.rank!r}.", "a whole number of at least 1, or None.")
        if self.rank is not None and self.preserved:
            raise DirectrixError(
                "A rank was given together with concepts to preserve.",
                "one of the two: a truncated map is no longer free of what was taken out.",
                "rank=None.",
            )
        if self.rank is not None and self.shape == "channel":
            raise DirectrixError(
                "A rank was given for a direction of shape 'channel'.",
                "a rank for a map only; a channel direction has rank 1.",
                "shape='map'.",
            )

    def describe(self) -> dict[str, Any]:
        """As the recipe holds it."""
        return {key: value for key, value in asdict(self).items() if key != "names"}

    def __call__(self, vectors: Tensor) -> Tensor:
        """Vectors (K, C, H, W) to vectors of the same K; (K, C, 1, 1) for shape "channel"."""
        if self.shape == "channel":
            vectors = vectors.mean(dim=(2, 3), keepdim=True)
        asked = len(vectors) - self.preserved
        wanted, others = vectors[:asked], vectors[asked:]
        before = wanted.flatten(1).norm(dim=1)
        if self.contrast:
            wanted = wanted - wanted.mean(dim=0, keepdim=True)
        if self.preserved:
            wanted = without(wanted, others)
        left = wanted.flatten(1).norm(dim=1)
        for place in (left < NOTHING * before).nonzero().flatten().tolist():
            name = self.names[place] if self.names else str(place + 1)
            raise ConceptError(
                f"Nothing of the concept '{name}' is left once the others are taken out of it.",
                "concepts that differ from those they are contrasted with, or that are preserved.",
                "other prompts, or without contrast and preserve.",
            )
        if self.rank is not None:
            wanted = truncated(wanted, self.rank)
        return wanted if not self.preserved else _joined(wanted, others)


def _joined(wanted: Tensor, others: Tensor) -> Tensor:
    import torch

    return torch.cat([wanted, others])


def without(vectors: Tensor, others: Tensor) -> Tensor:
    """The vectors, less their projections on the space that the others span."""
    import torch

    basis, sizes, _ = torch.linalg.svd(others.flatten(1).double().T, full_matrices=False)
    # Others that are nearly the same span fewer dimensions than there are of them.
    basis = basis[:, sizes > 1e-6 * sizes.max()] if len(sizes) and sizes.max() > 0 else basis[:, :0]
    flat = vectors.flatten(1).double()
    return (flat - flat @ basis @ basis.T).to(vectors.dtype).view_as(vectors)


def truncated(vectors: Tensor, rank: int) -> Tensor:
    """Each vector as a matrix (C, H * W) of at most this rank, the nearest one (Eckart and Young 1936)."""
    import torch

    left, sizes, right = torch.linalg.svd(vectors.flatten(2).double(), full_matrices=False)
    retained = left[..., :rank] @ (sizes[..., :rank, None] * right[..., :rank, :])
    return retained.to(vectors.dtype).view_as(vectors)
