"""Why a closed loop changed an image, or left it, in words: what was read of each attribute on its way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from directrix.interventions.reading import ABSENT, PRESENT, missed, shown
from directrix.interventions.where_forming import still_forming


def reasons(closed_loop: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """One for each attribute of an image's row in the manifest (`interventions.half_way`)."""
    return tuple(
        _harm(name, read) if read["given"] == ABSENT else _category(name, read) for name, read in closed_loop.items()
    )


def _category(name: str, read: Mapping[str, Any]) -> str:
    seen = f"{name} looked like {_seen(read['likelihood'])}"
    if not shown(read["given"], read["likelihood"]):
        seen += f" and was to be {read['given']}"
    return f"{seen}; it ended as {_seen(read['after'])}" if missed({name: read}) else seen


def _seen(likelihood: Mapping[str, float]) -> str:
    likeliest = max(likelihood, key=likelihood.__getitem__)
    return (
        f"{likeliest} ({likelihood[likeliest]:.2f})"
        if shown(likeliest, likelihood)
        else f"none of {', '.join(likelihood)}"
    )


def _harm(name: str, read: Mapping[str, Any]) -> str:
    seen = f"{name} {read['likelihood'][PRESENT]:.2f} likely"
    if not read["steered"]:
        return seen
    times = f", kept out {read['times']} times as strongly" if read.get("times", 1) > 1 else ", kept out"
    left = still_forming({name: read})
    return f"{seen}{times}" + (f"; still {read['after'][PRESENT]:.2f} likely" if left else "")
