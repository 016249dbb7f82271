"""Ridge regression whose penalty is chosen by what it says of rows that it has not seen.

Leaving a row out and fitting the others, their mean too, has a closed form: it costs one fit a penalty, not one a row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

# Shares of the rows' mean square length: few rows need a large one, lest all hang on single columns.
RIDGES = (0.03, 0.1, 0.3, 1.0, 3.0)


class Fit(NamedTuple):
    """weights: (K, D). left: (N, K), what is left of each row's values where it is read by a fit of all the others."""

    weights: Tensor
    left: Tensor


def ridge_regression(rows: Tensor, values: Tensor) -> Fit:
    """Fit values to rows, with whichever of ``RIDGES`` leaves least of rows that are left out.

    rows: float32 (N, D), less their mean. values: (N, K), less theirs.
    """
    return min(
        (_fit(rows, values, ridge) for ridge in RIDGES), key=lambda fit: float(fit.left.square().sum())
    )


def _fit(rows: Tensor, values: Tensor, ridge: float) -> Fit:
    import torch

    count, size = rows.shape
    penalty = ridge * rows.square().sum() / count
    # Solved among whichever are fewer.
    if count <= size:
        inverse = torch.linalg.inv(rows @ rows.T + penalty * torch.eye(count))
        factors = inverse @ values
        # A row that is left out is not in the mean either: of centred rows it is minus the sum of the others.
        return Fit((rows.T @ factors).T, factors / (inverse.diagonal() - 1 / (count * penalty))[:, None])
    inverse = torch.linalg.inv(rows.T @ rows + penalty * torch.eye(size))
    weights = inverse @ (rows.T @ values)
    own = ((rows @ inverse) * rows).sum(1) + 1 / count
    return Fit(weights.T, (values - rows @ weights) / (1 - own)[:, None])
