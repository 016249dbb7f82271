"""What a judge saw of a direction when it was calibrated, from its provenance."""

from __future__ import annotations

from collections.abc import Mapping

from directrix.checks import validated
from directrix.deprecation import upgraded
from directrix.directions.direction import Direction
from directrix.directions.target_label import TargetLabel
from directrix.errors import ConceptError


def calibrated_on(direction: Direction) -> TargetLabel | None:
    """What a judge saw where the direction acts, from its calibration; None where it was not calibrated."""
    found = direction.provenance.get("calibration")
    if not isinstance(found, Mapping):
        return None
    found = upgraded(found, {"aim": "target_label"}).get("target_label")
    place = f"The calibration of the direction '{direction.name}'"
    return validated(TargetLabel, found, place, ConceptError) if isinstance(found, Mapping) else None
