from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from directrix.directions.strength import checked, expand
from directrix.errors import StrengthError


@pytest.mark.parametrize(
    ("branch", "guided", "expected"),
    [
        ("conditional", True, [0, 0, 1, 2]),
        ("unconditional", True, [1, 2, 0, 0]),
        ("both", True, [1, 2, 1, 2]),
        ("conditional", False, [1, 2]),
        ("both", False, [1, 2]),
    ],
)
def test_rows(branch: str, guided: bool, expected: list[float]):
    rows = expand([1, 2], len(expected), guided, branch)
    assert rows is not None
    assert rows.dtype == torch.float32
    assert rows.tolist() == expected


@pytest.mark.parametrize(
    ("layout", "branch", "expected"),
    [
        ("conditional-unconditional", "conditional", [1, 2, 0, 0]),
        ("conditional-unconditional", "unconditional", [0, 0, 1, 2]),
        ("conditional-unconditional", "both", [1, 2, 1, 2]),
        ("conditional", "conditional", [1, 2]),
        ("conditional", "unconditional", None),
        ("unconditional", "conditional", None),
        ("unconditional", "unconditional", [1, 2]),
        ("unconditional", "both", [1, 2]),
    ],
)
def test_rows_of_other_layouts(layout: str, branch: str, expected: list[float] | None):
    batch = 4 if "-" in layout else 2
    rows = expand([1, 2], batch, True, branch, layout)
    assert (None if rows is None else rows.tolist()) == expected


def test_one_number_is_for_all():
    rows = expand(-0.5, 6, True, "conditional")
    assert rows is not None
    assert rows.tolist() == [0, 0, 0, -0.5, -0.5, -0.5]


@pytest.mark.parametrize("zero", [0, 0.0, -0.0, [0, 0.0], torch.zeros(2), np.zeros(2)])
def test_zero_touches_nothing(zero: Any):
    assert expand(zero, 4, True, "both") is None


@pytest.mark.parametrize("one", [1, 1.0, np.float32(1), torch.tensor(1.0), np.int64(1)])
def test_numbers_of_all_kinds(one: Any):
    assert checked(one) == 1.0


def test_lists_of_all_kinds():
    assert checked((1, 2.0)) == checked(torch.tensor([1, 2])) == checked(np.array([1.0, 2.0])) == (1.0, 2.0)


@pytest.mark.parametrize(
    "bad",
    [
        float("nan"),
        float("inf"),
        "1.0",
        "strong",
        None,
        True,
        [1.0, float("nan")],
        [],
        [[1.0]],
        ["1"],
        10**400,
        1e39,
        1j,
    ],
)
def test_what_is_not_a_strength(bad: Any):
    with pytest.raises(StrengthError):
        checked(bad)


def test_wrong_number_of_strengths_names_both_numbers():
    with pytest.raises(StrengthError, match="3 strengths for a batch of 4 images"):
        expand([1, 2, 3], 8, True, "conditional")
    with pytest.raises(StrengthError, match="1 strengths for a batch of 2 images"):
        expand([0.0], 2, False, "conditional")


def test_unknown_branch_suggests_the_nearest():
    with pytest.raises(StrengthError, match="did you mean 'conditional'"):
        expand(1.0, 2, True, "conditonal")


def test_no_unconditional_half_without_guidance():
    with pytest.raises(StrengthError, match="without guidance"):
        expand(1.0, 2, False, "unconditional")


def test_odd_guided_batch():
    with pytest.raises(StrengthError, match="3 rows"):
        expand(1.0, 3, True, "both")
