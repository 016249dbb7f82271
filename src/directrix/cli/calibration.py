"""Calibration by the verbs that find directions: its judge, its strength, and compensation of what leaks with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import directrix
from directrix.checks import one_of
from directrix.cli.app import LOG, progress
from directrix.errors import ConceptError, DirectionFileError, ModelError, StrengthError

if TYPE_CHECKING:
    from directrix.directions.target_label import TargetLabel
    from directrix.measurement.judges import Judge


_MISSING = (
    "--judge clip:FOLDER with a copy of CLIP, or --no-calibration, which leaves the strength as the method gives it."
)


def check_judge(model: str | None, name: str | None) -> None:
    """Raises ModelError where the judge's checkpoint is not here and cannot be fetched: before the model is loaded."""
    from directrix.measurement.calibration.target import judge_for_model
    from directrix.models.loading import shown_name

    kind, _, checkpoint = (name or judge_for_model(shown_name(model or "emoji"))).partition(":")
    if kind == "clip":
        from directrix.measurement.judges.clip import CHECKPOINT, ClipEncoder

        try:
            ClipEncoder.check(checkpoint or CHECKPOINT)
        except ModelError as error:
            raise _cannot(error) from error


def _cannot(error: ModelError) -> ModelError:
    happened = f"The direction cannot be calibrated: {error.happened}"
    return ModelError(happened, "a judge to calibrate the direction with.", _MISSING)


def judge_of(
    model: directrix.SteerableModel, concepts: Sequence[directrix.Concept], name: str | None
) -> tuple[Judge, TargetLabel | None]:
    """The judge of the first concept: what is missing should be said before the discovery, not after it."""
    from directrix.measurement.calibration import target
    from directrix.measurement.judges.base import for_fitting, stranger
    from directrix.models import embedded

    try:
        seeing, target_label = target.judge_for(model, *concepts, judge=name)
    except ModelError as error:
        raise _cannot(error) from error
    warning = stranger(seeing, model.identity.name, embedded.MODELS)
    if warning is not None:
        LOG.warning("Note: %s", warning)
    return for_fitting(seeing), target_label


def named_label(text: str | None, concept: directrix.Concept) -> TargetLabel | None:
    """What ATTRIBUTE=LABEL says that the judge should see of a concept. Raises ConceptError for another form."""
    if text is None:
        return None
    from directrix.directions.target_label import TargetLabel

    attribute, equals, label = (each.strip() for each in text.partition("="))
    if not attribute or not equals or not label:
        raise ConceptError(f"The target label is '{text}'.", "ATTRIBUTE=LABEL.", "--target-label gender=female.")
    return TargetLabel(attribute, label, present=not concept.anti)


def calibrated(
    model: directrix.SteerableModel,
    direction: directrix.Direction,
    judge: Judge,
    target_label: TargetLabel | None,
    checkpoint: Path,
    force: bool = False,
    thorough: bool = False,
) -> directrix.Direction:
    """The direction calibrated; says what the judge saw change. Raises NoEffectError."""
    from directrix.directions.calibrated_on import calibrated_on

    if target_label is not None:
        known = getattr(judge, "labels", {target_label.attribute: [target_label.label]})
        one_of("attribute that the judge knows, called", target_label.attribute, known, error=ConceptError)
        labels = list(known[target_label.attribute])
        one_of(f"label of '{target_label.attribute}', called", target_label.label, labels, error=ConceptError)
    settings: Any = {"target_label": target_label, "force": force, "thorough": thorough, "checkpoint": checkpoint}
    direction = directrix.calibrate(model, direction, judge, **settings, progress=progress())
    # An unknown word moves something else, if anything; whoever asked should see what.
    LOG.info("Calibrated on what the judge sees change: %s.", calibrated_on(direction))
    return direction


def compensated(
    model: directrix.SteerableModel,
    direction: directrix.Direction,
    others: Mapping[directrix.Direction, TargetLabel],
    judge: Judge,
    among: Sequence[directrix.Direction],
    checkpoint: Path,
) -> directrix.Direction:
    """The direction with its leakage compensated; says what was added and what it did to the largest shift."""
    found = directrix.compensate_leakage(
        model, direction, others, judge, among=among, checkpoint=checkpoint, progress=progress()
    )
    done = found.provenance["compensated"]
    added = ", ".join(f"{amount:+.2f} {name}" for name, amount in done["added"].items() if amount)
    before, after = (max(map(abs, done[key].values())) for key in ("before", "after"))
    shift = "the largest shift of another share was %.2f and is %.2f"
    LOG.info(f"Compensated '%s' with %s: {shift}.", direction.name, added or "nothing", before, after)
    return found


def of_others(folder: Path, attribute: directrix.AttributeSet) -> dict[directrix.Direction, TargetLabel]:
    """The values of other attributes in a folder, with their labels (see `labelled`).

    Raises DirectionFileError where there are none.
    """
    from directrix.directions.collection import Catalogue

    catalogue, names = Catalogue(folder), [concept.name for concept in attribute.concepts]
    directions = [catalogue.direction(name) for name in catalogue.names if name not in names]
    # What was not found beside other values is no value of an attribute, but an object or a single concept.
    values = [each for each in directions if each.recipe.get("others")]
    if not values:
        raise DirectionFileError(
            f"The folder '{folder}' has no directions of another attribute.",
            "files that `directrix discover --attribute` wrote.",
            "discover the other attribute first.",
        )
    return labelled(values, folder)


def labelled(directions: Sequence[directrix.Direction], folder: Path) -> dict[directrix.Direction, TargetLabel]:
    """Directions of a folder, each with what it was calibrated on; StrengthError where one was not."""
    from directrix.directions.calibrated_on import calibrated_on

    found = {}
    for direction in directions:
        label = found[direction] = calibrated_on(direction)
        if label is None:
            raise StrengthError(
                f"The direction '{direction.name}' in '{folder}' was not calibrated.",
                "directions whose strength 1 has a stated effect.",
                "discover it without --no-calibration.",
            )
    return found
