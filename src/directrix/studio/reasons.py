"""Why a closed loop changed an image, or left it, in words: what was read of each attribute on its way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from directrix.interventions import where_forming
from directrix.interventions.closed_loop import shown


def reasons(closed_loop: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """One for each attribute of an image's row in the manifest (`interventions.half_way`)."""
    return tuple(
        _harm(name, read) if read["given"] == where_forming.ABSENT else _category(name, read)
        for name, read in closed_loop.items()
    )


def _category(name: str, read: Mapping[str, Any]) -> str:
    likeliest = max(read["likelihood"], key=read["likelihood"].__getitem__)
    seen = f"{name} looked like {likeliest} ({read['likelihood'][likeliest]:.2f})"
    if not shown(likeliest, read["likelihood"]):
        seen = f"{name} looked like none of {', '.join(read['likelihood'])}"
    return seen if shown(read["given"], read["likelihood"]) else f"{seen} and was to be {read['given']}"


def _harm(name: str, read: Mapping[str, Any]) -> str:
    seen = f"{name} {read['likelihood'][where_forming.PRESENT]:.2f} likely"
    if not read["steered"]:
        return seen
    times = f", kept out {read['times']} times as strongly" if read.get("times", 1) > 1 else ", kept out"
    left = where_forming.still_forming({name: read})
    return f"{seen}{times}" + (f"; still {read['after'][where_forming.PRESENT]:.2f} likely" if left else "")
