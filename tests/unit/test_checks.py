"""Checks return what they were given, or say in one sentence what is wrong with it."""

from __future__ import annotations

import math

import pytest

from directrix import checks
from directrix.errors import ConceptError, DirectrixError, StrengthError


def test_whole_numbers():
    assert checks.whole_number("steps", 3) == 3 and checks.whole_number("seed", 0, 0) == 0
    for wrong in (0, -1, True, 2.0, "3", None):
        with pytest.raises(DirectrixError, match=r"steps is .*a whole number of at least 1"):
            checks.whole_number("steps", wrong)


def test_numbers():
    assert checks.number("scale", 2) == 2.0 and checks.fraction("share", 1) == 1.0
    for wrong in (math.nan, math.inf, "1", True, None):
        with pytest.raises(DirectrixError, match=r"scale is .*a finite number"):
            checks.number("scale", wrong)
    with pytest.raises(DirectrixError, match="a number above 0"):
        checks.number("rate", 0, above=0)
    with pytest.raises(ConceptError, match="a number from 0 to 1"):
        checks.fraction("share", 1.5, error=ConceptError)


def test_choices_name_the_nearest():
    assert checks.one_of("branch", "both", ("both", "conditional")) == "both"
    with pytest.raises(DirectrixError, match=r"no branch 'bothe'.*did you mean 'both'"):
        checks.one_of("branch", "bothe", ("both", "conditional"))


def test_windows():
    assert checks.window(0, 1) == (0.0, 1.0) and checks.window(0.5, 0.5) == (0.5, 0.5)
    for wrong in ((0.6, 0.5), (-0.1, 1), (0, 1.1), ("0", 1), (True, 1), (math.nan, 1)):
        with pytest.raises(StrengthError, match="window of steps"):
            checks.window(*wrong)
