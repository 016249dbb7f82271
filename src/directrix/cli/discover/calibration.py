"""Calibration of what `directrix discover` found: its judge, its strength, and compensation of what leaks with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from directrix.cli import terminal
from directrix.errors import DirectionFileError, ModelError, StrengthError

if TYPE_CHECKING:
    from directrix.concept import Concept
    from directrix.directions.direction import Direction
    from directrix.directions.target_label import TargetLabel
    from directrix.measurement.judges import Judge


def judge_of(
    pipeline: Any, concept: Concept, others: Sequence[Concept], name: str | None
) -> tuple[Judge, TargetLabel | None]:
    """Loaded before the discovery: what is missing should be said before the work, not after it."""
    from directrix.measurement.calibration import target

    try:
        return target.judge_for(pipeline, concept, *others, judge=name)
    except ModelError as error:
        raise ModelError(
            f"The direction cannot be calibrated: {error.happened}",
            "a judge to calibrate the direction with.",
            "--no-calibration leaves the strength as the method gives it.",
        ) from error


def calibrated(pipeline: Any, direction: Direction, judge: Judge, target_label: TargetLabel | None) -> Direction:
    """The direction calibrated; says what the judge saw change. Raises NoEffectError."""
    from directrix.directions.target_label import TargetLabel
    from directrix.measurement.calibration.calibrate import calibrate

    direction = calibrate(pipeline, direction, judge, target_label=target_label, progress=terminal.progress())
    # An unknown word moves something else, if anything; whoever asked should see what.
    found = direction.provenance["calibration"]["target_label"]
    terminal.LOG.info("Calibrated on what the judge sees change: %s.", TargetLabel(**found))
    return direction


def compensated(
    pipeline: Any,
    direction: Direction,
    others: Mapping[Direction, TargetLabel],
    judge: Judge,
    among: Sequence[Direction] = (),
) -> Direction:
    """The direction with its leakage compensated; says what was added and what it did to the largest shift."""
    from directrix.measurement.calibration.leakage_correction import compensate_leakage

    direction = compensate_leakage(pipeline, direction, others, judge, among=among, progress=terminal.progress())
    done = direction.provenance["compensated"]
    added = ", ".join(f"{amount:+.2f} {name}" for name, amount in done["added"].items() if amount)
    before, after = (max(map(abs, done[key].values())) for key in ("before", "after"))
    terminal.LOG.info(
        "Compensated '%s' with %s: the largest shift of another share was %.2f and is %.2f.",
        direction.name,
        added or "nothing",
        before,
        after,
    )
    return direction


def directions_of_others(folder: Path, names: Sequence[str]) -> dict[Direction, TargetLabel]:
    """The values of other attributes in a folder, not those of these names, each with what it was calibrated on.

    Raises DirectionFileError where there are none, and StrengthError where one was not calibrated.
    """
    from directrix.directions.collection import Catalogue

    catalogue = Catalogue(folder)
    directions = [catalogue.direction(name) for name in catalogue.names if name not in names]
    # What was not found beside other values is no value of an attribute, but an object or a single concept.
    found = {each: find_target_label(each, folder) for each in directions if each.recipe.get("others")}
    if not found:
        raise DirectionFileError(
            f"The folder '{folder}' has no directions of another attribute.",
            "files that `directrix discover --attribute` wrote.",
            "discover the other attribute first.",
        )
    return found


def find_target_label(direction: Direction, folder: Path) -> TargetLabel:
    """What a direction of the folder was calibrated on; StrengthError where it was not."""
    from directrix.measurement.calibration.target import calibrated_on

    label = calibrated_on(direction)
    if label is None:
        raise StrengthError(
            f"The direction '{direction.name}' in '{folder}' was not calibrated.",
            "directions whose strength 1 has a stated effect.",
            "discover it without --no-calibration.",
        )
    return label
