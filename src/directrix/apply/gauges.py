"""Gauges at hand, found by the attribute that they read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from directrix.apply.naming import find, matches
from directrix.errors import PolicyError
from directrix.gauge import Gauge

# Gauges, or their files.
Hold = Gauge | str | Path | Sequence[Gauge | str | Path]


def gauges_of(
    hold: Hold | None, sets: Mapping[str, Any], replaces: bool | None, folder: str | Path = ""
) -> tuple[Gauge, ...]:
    """The gauges that are meant, each under its attribute's name in ``sets``; files are relative to the folder.

    Raises:
        DirectionFileError: one that cannot be read.
        PolicyError: what is no gauge, one of an attribute that is in no set, two of one, or gauges beside
            `replace=False`.
    """
    listed = list(hold) if isinstance(hold, list | tuple) else [] if hold is None else [hold]
    gauges: dict[str, Gauge] = {}
    for each in listed:
        if not isinstance(each, Gauge | str | Path):
            raise PolicyError(
                f"What is to hold categories is {each!r}.",
                "a gauge, or the name of its file.",
                "skin-tone.gauge.",
            )
        gauge = each if isinstance(each, Gauge) else Gauge.load(Path(folder) / each)
        attribute = find(gauge.attribute, sets, "attribute")
        if attribute in gauges:
            raise PolicyError(f"Two gauges read '{attribute}'.", "one of each attribute.", "leave one out.")
        gauges[attribute] = replace(gauge, attribute=attribute)
    if gauges and replaces is False:
        raise PolicyError(
            "Categories that are only added cannot be held.", "hold, or replace: false.", "leave one out."
        )
    return tuple(gauges.values())


def gauge_for(attribute: str, categories: Iterable[str], gauges: Sequence[Gauge]) -> Gauge | None:
    """The one that reads the attribute, its categories under the names that they have here as far as they are known."""
    known = list(categories)
    for gauge in gauges:
        if gauge.attribute == attribute:
            found = [matches(name, known) for name in gauge.categories]
            names = (
                each[0] if len(each) == 1 else name
                for each, name in zip(found, gauge.categories, strict=True)
            )
            return replace(gauge, categories=tuple(names))
    return None
