"""What an affine part takes out before it adds: how far its attribute is there already.

    P(h) = sum_k b_k (a_k . h - o_k)

The basis b spans what the attribute's values add, the covectors a read it (a_k . b_l is 1 for k = l, else 0), and o_k
is what they read of a neutral prompt. With a = (B' S^-1 B)^-1 B' S^-1, B the matrix of the basis and S the covariance
of h, h - P(h) is the least change after which no linear probe tells the attribute: LEACE (Belrose et al. 2023, theorem
4.3). Adding a value's vector then sets it, an optimal affine concept switch (MidSteer, ICML 2026).
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from directrix.errors import DirectrixError, MismatchError
from directrix.models.activations import by_image

if TYPE_CHECKING:
    from torch import Tensor

# Where a row has one vector, or tokens of text.
LAYOUTS = ("text", "pooled", "vector")


@dataclass(frozen=True, eq=False)
class Projection:
    """Of a part whose tensor has some shape.

    Args:
        basis, covectors: (k, *shape), k at least 1; stored as float32 copies on the CPU.
        offsets: k numbers.
        keep_norm: whether each token, or each row without tokens, gets back the L2 norm that it had before.

    Raises:
        MismatchError: they are not of one shape, or not one offset for each.
        DirectrixError: a value that is not finite.
    """

    basis: Tensor
    covectors: Tensor
    offsets: tuple[float, ...]
    keep_norm: bool = False

    def __post_init__(self) -> None:
        import torch

        for name in ("basis", "covectors"):
            stored = getattr(self, name).detach().to(device="cpu", dtype=torch.float32, copy=True).contiguous()
            object.__setattr__(self, name, stored)
        object.__setattr__(self, "offsets", tuple(map(float, self.offsets)))
        shapes = tuple(self.basis.shape), tuple(self.covectors.shape)
        if shapes[0] != shapes[1] or len(shapes[0]) < 2 or len(self.offsets) != shapes[0][0] or 0 in shapes[0]:
            raise MismatchError(
                f"A projection has a basis of shape {shapes[0]}, covectors of {shapes[1]} and {len(self.offsets)} "
                "offsets.",
                "a covector and an offset for each vector of the basis.",
            )
        finite = all(bool(each.isfinite().all()) for each in (self.basis, self.covectors))
        if not finite or not all(map(math.isfinite, self.offsets)):
            raise DirectrixError("A projection holds values that are not finite.", "finite numbers.")

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the part's tensor."""
        return tuple(self.basis.shape[1:])

    def sha256(self) -> str:
        """Of its values, 64 hexadecimal digits."""
        values = self.basis.numpy().tobytes() + self.covectors.numpy().tobytes()
        return hashlib.sha256(values + f"|{self.offsets}|{self.keep_norm}".encode()).hexdigest()

    def levels(self, h: Tensor) -> Tensor:
        """What the covectors read of each row of h (n, *shape) or (n, tokens, C) for shape (C,): float32 (n, k)."""
        import torch

        rows = h.float()
        if rows.ndim > self.basis.ndim:
            rows = rows.mean(dim=1)
        covectors = self.covectors.flatten(1).to(h.device)
        read = by_image(partial(torch.matmul, other=covectors.T), rows.flatten(1))
        return read - torch.tensor(self.offsets, device=h.device)

    def of(self, h: Tensor) -> Tensor:
        """P(h) of each row, float32, in a shape that can be taken from h."""
        basis = self.basis.to(h.device)
        # Summed image by image: a product's last bits depend on how many there are.
        found = (self.levels(h).reshape(-1, len(basis), *[1] * len(self.shape)) * basis).sum(dim=1)
        return found[:, None] if found.ndim < h.ndim else found

    def __add__(self, other: Projection) -> Projection:
        import torch

        return Projection(
            torch.cat([self.basis, other.basis]),
            torch.cat([self.covectors, other.covectors]),
            (*self.offsets, *other.offsets),
            self.keep_norm or other.keep_norm,
        )
