from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from directrix.directions.strength import BRANCHES, expand
from directrix.errors import StrengthError

NUMBERS = st.floats(-1e6, 1e6, width=32)


@given(st.lists(NUMBERS, min_size=1, max_size=6), st.booleans(), st.sampled_from(BRANCHES))
def test_each_half_holds_the_strengths_or_zeros(strengths: list[float], guided: bool, branch: str):
    batch = len(strengths) * (2 if guided else 1)
    if not guided and branch == "unconditional":
        with pytest.raises(StrengthError):
            expand(strengths, batch, guided, branch)
        return
    rows = expand(strengths, batch, guided, branch)
    if not any(strengths):
        assert rows is None
        return
    assert rows is not None
    halves = rows.chunk(2) if guided else (None, rows)
    for name, half in zip(("unconditional", "conditional"), halves, strict=True):
        if half is not None:
            steered = not guided or branch in (name, "both")
            assert half.tolist() == (strengths if steered else [0.0] * len(strengths))


@given(NUMBERS, st.integers(1, 8), st.booleans())
def test_one_number_is_the_same_as_that_number_for_each(strength: float, images: int, guided: bool):
    batch = images * (2 if guided else 1)
    one = expand(strength, batch, guided, "conditional")
    each = expand([strength] * images, batch, guided, "conditional")
    assert (one is None and each is None) or torch.equal(one, each)  # pyright: ignore


@given(st.lists(NUMBERS, min_size=1, max_size=6), st.integers(1, 8))
def test_wrong_numbers_raise(strengths: list[float], images: int):
    if len(strengths) != images:
        with pytest.raises(StrengthError, match=f"{len(strengths)} strengths for a batch of {images} images"):
            expand(strengths, images, False, "both")
