"""Directions of one model, site and shape form a vector space; files give back what was saved."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from directrix.directions.direction import Direction, Strengths
from directrix.errors import DirectionFileError
from directrix.models.identity import ModelIdentity, Site

FLOATS = st.floats(-1e3, 1e3, width=32)
FACTORS = st.floats(-100, 100)
NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).filter(str.strip)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def directions(draw: st.DrawFn, shape: tuple[int, ...] | None = (3, 2, 2)) -> Direction:
    if shape is None:
        channels = draw(st.integers(1, 4))
        shape = (channels, draw(st.integers(1, 3)), draw(st.integers(1, 3))) if draw(st.booleans()) else (channels,)
    count = int(torch.tensor(shape).prod())
    values = draw(st.lists(FLOATS, min_size=count, max_size=count))
    return Direction(
        draw(NAMES),
        torch.tensor(values).reshape(shape),
        Site("mid_block", shape[0]),
        ModelIdentity("tiny", "", "f"),
        recipe=draw(st.dictionaries(NAMES, JSON, max_size=3)),
        strengths=Strengths(draw(FACTORS), -100.0, 100.0),
    )


def close(a: Direction, b: Direction) -> None:
    torch.testing.assert_close(a.tensor, b.tensor, atol=0.5, rtol=1e-3)


@given(directions(), directions(), directions(), FACTORS, FACTORS)
@settings(max_examples=50)
def test_vector_space(a: Direction, b: Direction, c: Direction, k: float, m: float):
    close(a + b, b + a)
    close((a + b) + c, a + (b + c))
    close(a - b, a + -b)
    close(k * (a + b), k * a + k * b)
    close((k + m) * a, k * a + m * a)
    opposite = -a
    assert torch.equal((-opposite).tensor, a.tensor)
    assert torch.equal((1 * a).tensor, a.tensor)
    assert (a - a).norm() == 0


@given(directions(), directions())
@settings(max_examples=50)
def test_norm_and_cosine(a: Direction, b: Direction):
    assert -1 <= a.cosine(b) <= 1
    assert a.cosine(b) == pytest.approx(b.cosine(a))
    assert a.cosine(-b) == pytest.approx(-a.cosine(b))
    assert (2 * a).norm() == pytest.approx(2 * a.norm(), rel=1e-5, abs=1e-30)
    assert (a + b).norm() <= a.norm() + b.norm() + 1e-2


@given(directions(shape=None))
@settings(max_examples=40)
def test_files_give_back_everything(direction: Direction):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "direction.safetensors"
        direction.save(path)
        back = Direction.load(path)
        back.save(path)
        assert Direction.load(path).digest() == direction.digest()
    assert torch.equal(back.tensor, direction.tensor)
    for field in ("name", "site", "model", "recipe", "strengths", "provenance"):
        assert getattr(back, field) == getattr(direction, field)


@given(st.data())
@settings(max_examples=100)
def test_damaged_files_are_refused_or_read_right(data: st.DataObject):
    """Whatever byte is changed, loading either refuses or gives finite values of the right shape."""
    direction = Direction("a", torch.ones(2, 2, 2), Site("mid_block", 2), ModelIdentity("tiny", "", "f"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "direction.safetensors"
        direction.save(path)
        content = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 4))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content)
        try:
            back = Direction.load(path)
        except DirectionFileError:
            return
    assert torch.equal(back.tensor, direction.tensor)
