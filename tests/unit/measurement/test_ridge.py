"""Ridge regression that is judged by rows left out, against fits that really leave them out."""

from __future__ import annotations

import pytest
import torch

from directrix.measurement.calibration.ridge import RIDGES, Fit, _fit, ridge_regression


def centred(count: int, size: int, noise: float, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    rows = torch.randn(count, size, generator=random)
    values = rows[:, :2] + noise * torch.randn(count, 2, generator=random)
    return rows - rows.mean(0), values - values.mean(0)


def fit(rows: torch.Tensor, values: torch.Tensor, ridge: float, size: int = 1) -> Fit:
    """Groups of so many rows, the last of fewer."""
    products = rows @ rows.T if len(rows) <= rows.shape[1] else rows.T @ rows
    return _fit(rows, values, products, torch.arange(len(rows)).split(size), ridge)


@pytest.mark.parametrize(("count", "size"), [(12, 30), (30, 12), (20, 20)])
@pytest.mark.parametrize("ridge", RIDGES)
@pytest.mark.parametrize("together", [1, 3, 7])
def test_what_is_left_is_that_of_a_fit_of_all_others(count: int, size: int, ridge: float, together: int):
    rows, values = centred(count, size, 0.5)
    weights, left = fit(rows, values, ridge, together)
    penalty = ridge * rows.square().sum() / count
    inverse = torch.linalg.inv(rows.T @ rows + penalty * torch.eye(size))
    assert torch.allclose(weights, (inverse @ rows.T @ values).T, atol=1e-4)
    for out in torch.arange(count).split(together):
        others = torch.ones(count, dtype=torch.bool)
        others[out] = False
        mean, usual = rows[others].mean(0), values[others].mean(0)
        some = rows[others] - mean
        alone = torch.linalg.solve(some.T @ some + penalty * torch.eye(size), some.T @ (values[others] - usual))
        assert torch.allclose(left[out], values[out] - usual - (rows[out] - mean) @ alone, atol=1e-3)


def test_groups_are_in_any_order_and_of_any_size():
    rows, values = centred(40, 25, 0.5)
    groups = torch.randint(9, (40,), generator=torch.Generator().manual_seed(3))
    weights, left = ridge_regression(rows, values, groups)
    order = groups.argsort(stable=True)
    again = ridge_regression(rows[order], values[order], groups[order])
    assert torch.allclose(again.weights, weights, atol=1e-4)
    assert torch.allclose(again.left, left[order], atol=1e-4)
    alone = ridge_regression(rows, values, torch.arange(40))
    assert not torch.allclose(alone.left, left, atol=1e-2)


def test_rows_that_are_all_alike_tell_nothing():
    values = torch.randn(6, 2, generator=torch.Generator().manual_seed(0))
    values = values - values.mean(0)
    for rows in (torch.zeros(6, 10), torch.zeros(6, 3)):
        weights, left = ridge_regression(rows, values, torch.arange(6))
        assert torch.equal(weights, torch.zeros_like(weights))
        assert torch.allclose(left, values * 6 / 5)


@pytest.mark.parametrize(("count", "size"), [(20, 200), (60, 200), (200, 60)])
@pytest.mark.parametrize("ridge", RIDGES)
def test_of_noise_less_is_never_left_than_there_is(count: int, size: int, ridge: float):
    for seed in range(3):
        rows, values = centred(count, size, 50.0, seed)
        assert fit(rows, values, ridge).left.square().sum() > 0.95 * values.square().sum()


def test_the_penalty_follows_what_can_be_told():
    # values that follow from the rows and nothing else: the least penalty leaves least.
    clear = centred(400, 20, 0.0)
    assert torch.equal(ridge_regression(*clear, torch.arange(400)).left, fit(*clear, RIDGES[0]).left)
    # Few rows of noise: the largest one.
    noise = centred(60, 200, 50.0)
    assert torch.equal(ridge_regression(*noise, torch.arange(60)).left, fit(*noise, RIDGES[-1]).left)
    for data in (centred(100, 150, 2.0), centred(150, 100, 2.0)):
        chosen = ridge_regression(*data, torch.arange(len(data[0]))).left.square().sum()
        assert chosen == min(fit(*data, ridge).left.square().sum() for ridge in RIDGES)
