"""Checks of what a user gives: a number, a choice, a window of steps. Each returns the value or raises one sentence."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from directrix.errors import DirectrixError, StrengthError, suggestion


def whole_number(name: str, value: Any, least: int = 1, *, error: type[DirectrixError] = DirectrixError) -> int:
    """The value, an int of at least `least`; `name` is what the user calls it."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise error(f"{name} is {value!r}.", f"a whole number of at least {least}.")
    return value


def number(
    name: str,
    value: Any,
    least: float = -math.inf,
    most: float = math.inf,
    *,
    above: float = -math.inf,
    error: type[DirectrixError] = DirectrixError,
    remedy: str = "",
) -> float:
    """The value as a finite float in [least, most] and greater than `above`."""
    valid = isinstance(value, int | float) and not isinstance(value, bool)
    if not valid or not math.isfinite(value) or not least <= value <= most or value <= above:
        if math.isfinite(least) and math.isfinite(most):
            expected = f"a number from {least:g} to {most:g}."
        elif math.isfinite(above):
            expected = f"a number above {above:g}."
        else:
            expected = f"a number of at least {least:g}." if math.isfinite(least) else "a finite number."
        raise error(f"{name} is {value!r}.", expected, remedy)
    return float(value)


def fraction(name: str, value: Any, *, error: type[DirectrixError] = DirectrixError) -> float:
    """The value as a float in [0, 1]."""
    return number(name, value, 0, 1, error=error)


def one_of(kind: str, name: Any, known: Iterable[str], *, error: type[DirectrixError] = DirectrixError) -> str:
    """The name, one of the known ones; the error names the nearest. `kind` is the noun: "attribute", "judge"."""
    names = list(known)
    if name not in names:
        raise error(f"There is no {kind} '{name}'.", "the name of one.", suggestion(str(name), names))
    return str(name)


def window(start: Any, stop: Any) -> tuple[float, float]:
    """The window of steps [start, stop) as fractions of a run, 0 <= start <= stop <= 1; raises StrengthError."""
    numbers = all(isinstance(each, int | float) and not isinstance(each, bool) for each in (start, stop))
    if not numbers or not 0 <= start <= stop <= 1:
        raise StrengthError(
            f"The window of steps is {start!r} to {stop!r}.", "0 <= start <= stop <= 1.", "start=0.0, stop=1.0."
        )
    return float(start), float(stop)
