"""Gauges at hand, found by the attribute that they read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from directrix.directions.names import find, matches
from directrix.errors import PolicyError
from directrix.interventions.probe import Probe

# Gauges, or their files.
ProbeFiles = Probe | str | Path | Sequence[Probe | str | Path]


def load_probes(
    feedback: ProbeFiles | None, sets: Mapping[str, Any], replaces: bool | None, folder: str | Path = ""
) -> tuple[Probe, ...]:
    """The gauges that are meant, each under its attribute's name in ``sets``; files are relative to the folder.

    Raises:
        DirectionFileError: one that cannot be read.
        PolicyError: what is no gauge, one of an attribute that is in no set, two of one, or gauges beside
            `replace=False`.
    """
    listed = list(feedback) if isinstance(feedback, list | tuple) else [] if feedback is None else [feedback]
    probes: dict[str, Probe] = {}
    for each in listed:
        if not isinstance(each, Probe | str | Path):
            raise PolicyError(
                f"What is to hold categories is {each!r}.", "a gauge, or the name of its file.", "skin-tone.gauge."
            )
        probe = each if isinstance(each, Probe) else Probe.load(Path(folder) / each)
        attribute = find(probe.attribute, sets, "attribute")
        if attribute in probes:
            raise PolicyError(f"Two gauges read '{attribute}'.", "one of each attribute.", "leave one out.")
        probes[attribute] = replace(probe, attribute=attribute)
    if probes and replaces is False:
        raise PolicyError(
            "Categories that are only added cannot be held.", "hold, or replace: false.", "leave one out."
        )
    return tuple(probes.values())


def probe_for(attribute: str, categories: Iterable[str], probes: Sequence[Probe]) -> Probe | None:
    """The one that reads the attribute, its categories under the names that they have here as far as they are known."""
    known = list(categories)
    for probe in probes:
        if probe.attribute == attribute:
            found = [matches(name, known) for name in probe.categories]
            names = (each[0] if len(each) == 1 else name for each, name in zip(found, probe.categories, strict=True))
            return replace(probe, categories=tuple(names))
    return None
