"""Ridge regression that is judged by rows left out, against fits that really leave them out."""

from __future__ import annotations

import pytest
import torch

from directrix.regression import RIDGES, _fit, ridge_regression


def centred(count: int, size: int, noise: float, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    rows = torch.randn(count, size, generator=random)
    values = rows[:, :2] + noise * torch.randn(count, 2, generator=random)
    return rows - rows.mean(0), values - values.mean(0)


@pytest.mark.parametrize(("count", "size"), [(12, 30), (30, 12), (20, 20)])
@pytest.mark.parametrize("ridge", RIDGES)
def test_what_is_left_is_that_of_a_fit_of_all_others(count: int, size: int, ridge: float):
    rows, values = centred(count, size, 0.5)
    weights, left = _fit(rows, values, ridge)
    penalty = ridge * rows.square().sum() / count
    inverse = torch.linalg.inv(rows.T @ rows + penalty * torch.eye(size))
    assert torch.allclose(weights, (inverse @ rows.T @ values).T, atol=1e-4)
    for place in range(count):
        others = torch.arange(count) != place
        mean, usual = rows[others].mean(0), values[others].mean(0)
        some = rows[others] - mean
        alone = torch.linalg.solve(
            some.T @ some + penalty * torch.eye(size), some.T @ (values[others] - usual)
        )
        assert torch.allclose(left[place], values[place] - usual - (rows[place] - mean) @ alone, atol=1e-3)


@pytest.mark.parametrize(("count", "size"), [(20, 200), (60, 200), (200, 60)])
@pytest.mark.parametrize("ridge", RIDGES)
def test_of_noise_less_is_never_left_than_there_is(count: int, size: int, ridge: float):
    for seed in range(3):
        rows, values = centred(count, size, 50.0, seed)
        assert _fit(rows, values, ridge).left.square().sum() > 0.95 * values.square().sum()


def test_the_penalty_follows_what_can_be_told():
    # Values that are told by the rows and nothing else: the least penalty leaves least.
    clear = centred(400, 20, 0.0)
    assert torch.equal(ridge_regression(*clear).left, _fit(*clear, RIDGES[0]).left)
    # Few rows of noise: the largest one.
    noise = centred(60, 200, 50.0)
    assert torch.equal(ridge_regression(*noise).left, _fit(*noise, RIDGES[-1]).left)
    for data in (centred(100, 150, 2.0), centred(150, 100, 2.0)):
        chosen = ridge_regression(*data).left.square().sum()
        assert chosen == min(_fit(*data, ridge).left.square().sum() for ridge in RIDGES)
