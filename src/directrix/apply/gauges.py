"""Gauges at hand, found by the attribute that they read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from directrix.apply.naming import matches
from directrix.errors import PolicyError
from directrix.gauge import Gauge

# Gauges, or their files.
Hold = Gauge | str | Path | Sequence[Gauge | str | Path]


def gauges_of(hold: Hold, sets: Mapping[str, Any], replace: bool | None) -> tuple[Gauge, ...]:
    """The gauges that are meant.

    Raises:
        DirectionFileError: one that cannot be read.
        PolicyError: one of an attribute that is in no set, two of one, or gauges beside `replace=False`.
    """
    listed = [hold] if isinstance(hold, Gauge | str | Path) else list(hold)
    gauges = tuple(each if isinstance(each, Gauge) else Gauge.load(each) for each in listed)
    if gauges and replace is False:
        raise PolicyError(
            "Categories that are only added cannot be held.", "hold, or replace: false.", "leave one out."
        )
    for each in gauges:
        if not matches(each.attribute, sets):
            raise PolicyError(f"The gauge reads '{each.attribute}'.", f"one of: {', '.join(sets)}.")
    names = [each.attribute for each in gauges]
    if len(set(names)) < len(names):
        raise PolicyError(f"The gauges read {', '.join(names)}.", "each attribute once.")
    return gauges


def gauge_for(attribute: str, gauges: Sequence[Gauge]) -> Gauge | None:
    """The one that reads the attribute."""
    return next((each for each in gauges if matches(each.attribute, [attribute])), None)
