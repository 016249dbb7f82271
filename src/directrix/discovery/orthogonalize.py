"""Taking directions out of each other, and giving them their form: linear algebra on what a method found.

Opposite concepts found alone share a large common part (female and male of the published vectors have a cosine of .25),
and attributes that go together in the model leak into each other. Both are parts of a vector that other vectors name,
so they can be taken out of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from directrix.errors import ConceptError

if TYPE_CHECKING:
    from torch import Tensor

# A vector of which less than this share of its size is left is rounding error.
NOTHING = 1e-3


def orthogonalized(
    vectors: Tensor,
    *,
    contrast: bool = False,
    preserved: int = 0,
    shape: str = "map",
    rank: int | None = None,
    names: Sequence[str] = (),
) -> Tensor:
    """Vectors (K, C, H, W) of one run to vectors of the same K; (K, C, 1, 1) for shape "channel".

    Args:
        contrast: take the part out that all the concepts share, so that they sum to zero (before any truncation).
        preserved: how many of the last concepts are only there to be left alone: the space that they span is taken out
            of the others.
        shape: "map" for (C, H, W), "channel" for the mean over place.
        rank: of a map as a matrix (C, H * W), at least 1; None for a full one.
        names: of the concepts, for messages.

    Raises:
        ConceptError: nothing is left of a concept.
    """
    import torch

    if shape == "channel":
        vectors = vectors.mean(dim=(2, 3), keepdim=True)
    asked = len(vectors) - preserved
    wanted, others = vectors[:asked], vectors[asked:]
    before = wanted.flatten(1).norm(dim=1)
    if contrast:
        wanted = wanted - wanted.mean(dim=0, keepdim=True)
    if preserved:
        wanted = without(wanted, others)
    left = wanted.flatten(1).norm(dim=1)
    for place in (left < NOTHING * before).nonzero().flatten().tolist():
        raise ConceptError(
            f"Nothing of the concept '{names[place] if names else place + 1}' is left once the others are taken out.",
            "concepts that differ from those they are contrasted with, or that are preserved.",
            "other prompts, or without contrast and preserve.",
        )
    if rank is not None:
        wanted = truncated(wanted, rank)
    return torch.cat([wanted, others]) if preserved else wanted


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
