"""Ridge regression whose penalty is chosen by what it says of rows that it has not seen.

Leaving rows out and fitting the others, their mean too, has a closed form: it costs one fit a penalty, not one a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

# Shares of the rows' mean square length: few rows need a large one, lest all hang on single columns.
RIDGES = (0.03, 0.1, 0.3, 1.0, 3.0)


class Fit(NamedTuple):
    """weights: (K, D). left: (N, K), what is left of each row's values, read by a fit of all other groups."""

    weights: Tensor
    left: Tensor


def ridge_regression(rows: Tensor, values: Tensor, groups: Tensor) -> Fit:
    """Fit values to rows, with whichever of `RIDGES` leaves least of rows that are left out.

    rows: float32 (N, D), less their mean. values: (N, K), less theirs. groups: int64 (N,); rows of one group, which are
    alike by more than their values, are left out together.
    """
    # Solved among whichever are fewer.
    products = rows @ rows.T if len(rows) <= rows.shape[1] else rows.T @ rows
    _, places, sizes = torch.unique(groups, return_inverse=True, return_counts=True)
    members = places.argsort(stable=True).split(sizes.tolist())
    fits = (_fit(rows, values, products, members, ridge) for ridge in RIDGES)
    return min(fits, key=lambda fit: float(fit.left.square().sum()))


def _fit(rows: Tensor, values: Tensor, products: Tensor, members: Sequence[Tensor], ridge: float) -> Fit:
    """products: of the rows with each other, (N, N), or of the columns, (D, D). members: the places of each group."""
    count = len(rows)
    # Rows that are all alike tell nothing, whatever the penalty.
    penalty = (ridge * products.diagonal().sum() / count).clamp_min(1e-12)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(products + penalty * torch.eye(len(products))))
    among_rows = count <= rows.shape[1]
    if among_rows:
        factors = inverse @ values
        weights, rest = factors.T @ rows, penalty * factors
    else:
        weights = (inverse @ (rows.T @ values)).T
        rest = values - rows @ weights.T
    # With y - H y what is left of all rows, (I - H)_SS left_S = (y - H y)_S where the rows S are left out. They are not
    # in the mean then either, whose part of H is 1 / N everywhere.
    left = torch.empty_like(rest)
    for size in {len(each) for each in members}:
        of_size = torch.stack([each for each in members if len(each) == size])
        if among_rows:
            own = penalty * inverse[of_size[:, :, None], of_size[:, None, :]]
        else:
            some = rows[of_size]
            own = torch.eye(size) - some @ inverse @ some.transpose(1, 2)
        left[of_size] = torch.linalg.solve(own - 1 / count, rest[of_size])
    return Fit(weights, left)
