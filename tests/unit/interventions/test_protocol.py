from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from directrix.errors import DirectrixError
from directrix.interventions.protocol import Intervention, Plan, compose, planned, select


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
    with pytest.raises(RuntimeError), compose(Noted("a", notes), Noted("b", notes, broken=True)).applied(None):
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


class Planning(Noted):
    """Tells every prompt with its own name behind it, and assigns and misses what it is given."""

    def __init__(self, name: str, assigned: dict[str, str], unmet: tuple[str, ...] = ()) -> None:
        super().__init__(name, [])
        self._assigned = assigned
        self._unmet = unmet

    def plan(self, prompts: Any, images_per_prompt: int, seed: int) -> Plan:
        return Plan(
            Noted(f"{self.name}/{seed}", []),
            (self._assigned,) * (len(prompts) * images_per_prompt),
            tuple(f"{prompt} {self.name}" for prompt in prompts),
            (self._unmet,) * len(prompts),
        )


@pytest.mark.parametrize("composed", [False, True])
def test_planners_read_what_the_ones_before_them_tell(composed: bool):
    parts = [Planning("a", {"x": "1"}, ("p",)), Noted("b", []), Planning("c", {"y": "2"}, ("q", "p"))]
    given = [compose(*parts)] if composed else parts
    made, plan = planned(given, ["one", "two"], 2, 7)
    assert plan.rewritten == ("one a c", "two a c")
    assert plan.assigned == ({"x": "1", "y": "2"},) * 4
    assert plan.unmet == (("p", "q"),) * 2
    assert " + ".join(each.name for each in made) == plan.intervention.name == "a/7 + b + c/7"


def test_without_planners_nothing_is_planned():
    part = Noted("a", [])
    assert planned([part], ["one"], 2, 0) == ((part,), Plan(part))
    with pytest.raises(DirectrixError, match="category of 'x'"):
        planned([Planning("a", {"x": "1"}), Planning("b", {"x": "1"})], ["one"], 1, 0)
