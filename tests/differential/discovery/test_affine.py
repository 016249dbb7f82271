"""The affine projection beside the formula of LEACE as it is published, in numpy."""

import numpy as np
import pytest
import torch

from directrix.discovery.affine import oblique, spanned


def leace(rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    """I - W^+ P W: W the inverse root of the covariance, P the orthogonal projection onto W times what is erased."""
    centred = rows - rows.mean(axis=0)
    sizes, vectors = np.linalg.eigh(centred.T @ centred / len(rows))
    root, inverse = ((vectors * sizes**power) @ vectors.T for power in (0.5, -0.5))
    seen = inverse @ values.T
    onto = seen @ np.linalg.pinv(seen)
    return np.eye(rows.shape[1]) - root @ onto @ inverse


@pytest.mark.parametrize("several", [1, 2, 3])
def test_what_is_taken_out_is_what_leace_takes_out(several: int):
    source = np.random.default_rng(several)
    rows = source.normal(size=(200, 12)) @ source.normal(size=(12, 12))
    values = source.normal(size=(several, 12))
    basis = spanned(torch.tensor(values))
    covectors = oblique(basis, torch.tensor(rows), 0.0)
    ours = np.eye(12) - (basis.T @ covectors).numpy()
    np.testing.assert_allclose(ours, leace(rows, values), atol=1e-5)


def test_erased_labels_no_longer_covary():
    """Theorem 4.1: with the basis of the labels' covariances, no linear probe is better than a constant."""
    source = np.random.default_rng(9)
    labels = source.integers(0, 2, size=(300, 1)).astype(float)
    rows = source.normal(size=(300, 8)) + labels * source.normal(size=(1, 8))
    covariance = ((labels - labels.mean()).T @ rows) / len(rows)
    basis = spanned(torch.tensor(covariance))
    erased = rows - (torch.tensor(rows) @ oblique(basis, torch.tensor(rows), 0.0).T @ basis).numpy()
    assert np.abs((labels - labels.mean()).T @ erased / len(rows)).max() < 1e-6
