"""What the page shows of a direction: its card, and where its effect saturates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from directrix.directions.card import calibration, render, sentence, stored
from directrix.directions.target_label import TargetLabel
from directrix.errors import ConceptError
from directrix.measurement.calibration.target import concept_of
from directrix.studio import markup
from directrix.studio.discovery_run import Found

if TYPE_CHECKING:
    from directrix.concept import PromptPair
    from directrix.directions.direction import Direction

# An effect within this of the greatest one is as good as it.
NEAR = 0.02
LEAKS = 6  # labels that are listed


def saturates_at(direction: Direction) -> float | None:
    """The least measured strength above 0 with the greatest effect; None where the effect still rises at the end."""
    rows = [row for row in measured(direction) if row["strength"] > 0]
    most = max((row["effect"]["value"] for row in rows), default=0.0)
    at = next((row["strength"] for row in rows if row["effect"]["value"] >= most - NEAR), None)
    return at if rows and at != rows[-1]["strength"] else None


def measured(direction: Direction) -> list[Mapping[str, Any]]:
    """What was measured by rising strength, for its card or for its calibration; nothing where neither was made."""
    figures = stored(direction.header) or calibration(direction.header)
    return sorted(figures["strengths"], key=lambda row: row["strength"]) if figures else []


def card(direction: Direction, said: str = "", unfinished: str = "") -> str:
    """A direction's card. said: why it was not measured; unfinished: what is still to come."""
    header, figures = direction.header, stored(direction.header)
    calibrated = calibration(header)
    label = (figures or calibrated or {}).get("target_label")
    changes = {
        f"{attribute} {name}": each
        for attribute, row in (figures["leakage"] if figures else {}).items()
        for name, each in row.items()
        if each["low"] > 0 or each["high"] < 0
    }
    return render(
        "found.html.jinja",
        Path(__file__).parent,
        header=header,
        card=figures,
        sentence=sentence(figures) if figures else "",
        rows=measured(direction),
        label=str(TargetLabel(**label)) if label else "the concept",
        leaks=sorted(changes.items(), key=lambda each: -abs(each[1]["value"]))[:LEAKS],
        measured=calibrated is not None,
        saturates=saturates_at(direction),
        pairs=_pairs(direction),
        said=said,
        unfinished=unfinished,
    )


def _pairs(direction: Direction) -> Sequence[PromptPair]:
    """The prompt pairs that the direction was found with; none where its file does not say them."""
    try:
        return concept_of(direction).pairs
    except ConceptError:
        return ()


def found(result: Found, over: bool) -> str:
    """The images of a direction that was just found, and its card; over: whether no more is to come."""
    unfinished = "" if over else "First images. Its calibration and its card are being measured."
    return card(result.direction, result.said, unfinished) + markup.pairs(result.pairs, markup.VIEWS[0])
