"""Affine parts of directions: taking out what the rows say already, and keeping their norm (`directions.projection`).

    h' = n (h - sum_i min(1, |s_i|) P_i(h) + sum_i s_i c_i),    n = |h| / |...| where the norm is kept, else 1

What is taken out is read of h as it came in, so the order of directions does not matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from directrix.directions.projection import Projection

if TYPE_CHECKING:
    from torch import Tensor


class Removal(NamedTuple):
    """What a direction takes out of some rows.

    rows: their places, or a slice. strengths: one of each of these rows, float32 (n,).
    """

    rows: Tensor | slice
    strengths: Tensor
    projection: Projection


def remove(result: Tensor, h: Tensor, removals: Sequence[Removal]) -> None:
    """Changes rows of the result, to which the directions were added already, in place.

    h: what came in, (rows, ...).
    """
    for rows, strengths, projection in removals:
        there = h[rows]
        shares = strengths.abs().clamp_max(1).to(h.device).reshape(-1, *[1] * (h.ndim - 1))
        result[rows] -= (shares * projection.of(there)).to(h.dtype)
    for rows, _, projection in removals:
        if projection.keep_norm:
            before, after = (each[rows].float().norm(dim=-1, keepdim=True) for each in (h, result))
            # A second direction of the same rows finds the norm there already.
            result[rows] = (result[rows].float() * (before / after.clamp_min(1e-12))).to(h.dtype)
