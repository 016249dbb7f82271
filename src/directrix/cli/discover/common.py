"""What all forms of `directrix discover` share: settings, what is said of them, and calibration of what was found."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from directrix.cli import terminal

if TYPE_CHECKING:
    from directrix.concept import Concept
    from directrix.directions.direction import Direction
    from directrix.directions.target_label import TargetLabel
    from directrix.discovery.problem import Defaults
    from directrix.measurement.judges import Judge


def asked(arguments: argparse.Namespace) -> dict[str, Any]:
    """The settings of the discovery, as the command line gives them."""
    size = {key: getattr(arguments, key) for key in ("height", "width") if getattr(arguments, key) is not None}
    keys = ("images", "steps", "batch_size", "learning_rate", "seed", "shape", "rank", "site")
    return {key: getattr(arguments, key) for key in keys} | {"call": size or None}


def announce(arguments: argparse.Namespace, checkpoint: Path) -> None:
    """Say what is going to be done, and with which settings."""
    from directrix.discovery import registry

    defaults = registry.METHODS.get(arguments.method).defaults
    terminal.note(announcement(arguments.method, asked(arguments), defaults))
    if checkpoint.is_dir():
        terminal.note(f"Going on from {checkpoint}.")


def noted(
    direction: Direction, arguments: argparse.Namespace, others: Sequence[Concept], memory_mb: float
) -> Direction:
    """The direction with the command that found it, and what it was told apart from."""
    recipe = {**direction.recipe, "command": command(arguments), "others": [asdict(each) for each in others]}
    return direction.with_(recipe=recipe, provenance={**direction.provenance, "memory_mb": round(memory_mb, 1)})


def calibrated(pipeline: Any, direction: Direction, judged: tuple[Judge, TargetLabel | None]) -> Direction:
    """The direction calibrated; tells what the judge saw change. Raises NoEffectError."""
    from directrix.directions.target_label import TargetLabel
    from directrix.measurement.calibration.calibrate import calibrate
    from directrix.progress import bars

    judge, target_label = judged
    direction = calibrate(pipeline, direction, judge, target_label=target_label, progress=bars)
    # An unknown word moves something else, if anything; whoever asked should see what.
    found = direction.provenance["calibration"]["target_label"]
    terminal.note(f"Calibrated on what the judge sees change: {TargetLabel(**found)}.")
    return direction


def compensation(folder: Path, names: Sequence[str]) -> dict[Direction, TargetLabel]:
    """The values of other attributes in a folder, not those of these names, each with what it was calibrated on.

    Raises DirectionFileError where there are none, and StrengthError where one was not calibrated.
    """
    from directrix.directions.collection import Catalogue
    from directrix.errors import DirectionFileError

    catalogue = Catalogue(folder)
    found = {}
    for name in catalogue.names:
        direction = catalogue.direction(name)
        # What was not found beside other values is no value of an attribute, but a thing or a single concept.
        if name in names or not direction.recipe.get("others"):
            continue
        found[direction] = find_target_label(direction, folder)
    if not found:
        raise DirectionFileError(
            f"The folder '{folder}' holds no directions of another attribute.",
            "files that `directrix discover --attribute` wrote.",
            "discover the other attribute first.",
        )
    return found


def find_target_label(direction: Direction, folder: Path) -> TargetLabel:
    """What a direction of the folder was calibrated on; StrengthError where it was not."""
    from directrix.deprecation import upgraded
    from directrix.directions.target_label import TargetLabel
    from directrix.errors import StrengthError

    measured = direction.provenance.get("calibration")
    if not measured:
        raise StrengthError(
            f"The direction '{direction.name}' in '{folder}' was not calibrated.",
            "directions whose strength 1 has a stated effect.",
            "discover it without --no-calibration.",
        )
    return TargetLabel(**upgraded(measured, {"aim": "target_label"})["target_label"])


def compensated(
    pipeline: Any,
    direction: Direction,
    others: Mapping[Direction, TargetLabel],
    judge: Judge,
    among: Sequence[Direction] = (),
) -> Direction:
    """The direction levelled, see `level`; tells what was added and what it did to the largest shift."""
    from directrix.measurement.calibration.leakage_correction import compensate_leakage
    from directrix.progress import bars

    direction = compensate_leakage(pipeline, direction, others, judge, among=among, progress=bars)
    told = direction.provenance["compensated"]
    added = ", ".join(f"{amount:+.2f} {name}" for name, amount in told["added"].items() if amount)
    worst = {key: max(map(abs, told[key].values())) for key in ("before", "after")}
    terminal.note(
        f"Levelled '{direction.name}' with {added or 'nothing'}: the largest shift of another share was "
        f"{worst['before']:.2f} and is {worst['after']:.2f}."
    )
    return direction


def judge_of(pipeline: Any, concept: Concept, *others: Concept) -> tuple[Judge, TargetLabel | None]:
    """Loaded before the discovery: what is missing should be told before the work, not after it."""
    from directrix.errors import ModelError
    from directrix.measurement.calibration.target import judge_for

    try:
        return judge_for(pipeline, concept, *others)
    except ModelError as error:
        raise ModelError(
            f"The effect cannot be judged: {error.happened}",
            "a judge to calibrate the direction with.",
            "--no-calibration leaves the strength as the method gives it.",
        ) from error


def command(arguments: argparse.Namespace) -> str:
    """The command that finds this direction again, as one would type it."""
    words = ["directrix", "discover", "--model", arguments.model]
    if arguments.attribute is not None:
        words += ["--attribute", arguments.attribute]
    elif arguments.thing is None:
        words += ["--name", arguments.name or arguments.output.stem]
    for key in ("thing", "target", "neutral", "negative", "opposite", "preserve"):
        for value in getattr(arguments, key) or ():
            words += [f"--{key}", value]
    if arguments.level is not None:
        words += ["--level", str(arguments.level), *(["--in-place"] if arguments.in_place else [])]
    keys = ("method", "images", "steps", "batch_size", "learning_rate", "seed", "shape", "rank")
    for key in (*keys, "site", "height", "width"):
        value = getattr(arguments, key)
        if value is not None:
            words += [f"--{key.replace('_', '-')}", str(value)]
    if arguments.no_calibration:
        words.append("--no-calibration")
    return shlex.join([*words, "-o", arguments.output.name])


def announcement(method: str, given: Mapping[str, Any], defaults: Defaults) -> str:
    """One line with every setting, and which of them nobody asked for."""
    parts = []
    # A closed form takes no steps.
    for key in ("images", "steps", "batch_size") if defaults.steps else ("images",):
        value = getattr(defaults, key) if given[key] is None else given[key]
        parts.append(f"{value:,} {_WORDS[key]}" + (" (default)" if given[key] is None else ""))
    rate = given["learning_rate"]
    if defaults.steps:
        parts.append(f"learning rate {'from the model (default)' if rate is None else format(rate, 'g')}")
    return f"Discovering by {method}: " + ", ".join(parts) + "."


_WORDS = {"images": "pictures", "steps": "steps", "batch_size": "pictures a step"}
