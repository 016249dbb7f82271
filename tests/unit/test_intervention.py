from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from directrix.intervention import Intervention, compose, select


class Noted:
    """Notes when it is entered and left."""

    def __init__(self, name: str, notes: list[str], broken: bool = False) -> None:
        self.name = name
        self.config = {"method": name}
        self._notes = notes
        self._broken = broken

    @contextmanager
    def applied(self, pipeline: Any) -> Iterator[None]:
        if self._broken:
            raise RuntimeError
        self._notes.append(f"+{self.name}")
        try:
            yield
        finally:
            self._notes.append(f"-{self.name}")


class Chosen(Noted):
    def select(self, images: Any, total: int) -> Noted:
        return Noted(f"{self.name}{list(images)}/{total}", self._notes)


def test_composition_enters_in_order_and_leaves_in_reverse():
    notes: list[str] = []
    both = compose(Noted("a", notes), Noted("b", notes))
    assert isinstance(both, Intervention)
    with both.applied(None):
        pass
    assert notes == ["+a", "+b", "-b", "-a"]
    assert both.name == "a + b"
    assert both.config == {"method": "composed", "parts": [{"method": "a"}, {"method": "b"}]}


def test_the_first_is_left_when_the_second_fails():
    notes: list[str] = []
    with (
        pytest.raises(RuntimeError),
        compose(Noted("a", notes), Noted("b", notes, broken=True)).applied(None),
    ):
        pass
    assert notes == ["+a", "-a"]


def test_none_and_one():
    one = Noted("a", [])
    assert compose(one) is one
    with compose().applied(None):
        pass
    assert compose().name == "none"


def test_select_asks_those_that_can_choose():
    fixed, chosen = Noted("a", []), Chosen("b", [])
    assert select(fixed, [1], 2) is fixed
    assert select(compose(fixed, chosen), [1], 2).name == "a + b[1]/2"
