"""Directions that `directrix discover` finds in one run, a file each: values of an attribute, or things."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from directrix.cli import options, terminal
from directrix.cli.discover import common
from directrix.errors import ConceptError, NoEffectError

if TYPE_CHECKING:
    from directrix.concept import AttributeSet, Concept
    from directrix.directions.direction import Direction
    from directrix.directions.target_label import TargetLabel
    from directrix.measurement.judges import Judge

# What names prompts of one concept.
_OF_A_CONCEPT = ("name", "target", "neutral", "negative", "opposite")


def check(arguments: argparse.Namespace, given: str) -> None:
    """Raises ConceptError where prompts of one concept were given beside `given`, an option for several."""
    for key in _OF_A_CONCEPT:
        if getattr(arguments, key) is not None:
            raise ConceptError(
                f"'--{key}' was given together with '{given}'.",
                f"one of the two: with '{given}' the prompts are made.",
                "leave one out.",
            )


def run(
    arguments: argparse.Namespace,
    folder: Path,
    checkpoint: Path,
    concepts_of: Callable[[Any], Sequence[Concept]],
    find: Callable[..., list[Direction]],
    preserve: Sequence[AttributeSet] | None,
    said: Mapping[str, Any],
    *,
    exclusive: bool,
    compensate_for: Mapping[Direction, TargetLabel],
    in_place: bool = False,
) -> None:
    """Discover them, with the checkpoint until all are written.

    A direction whose effect cannot be seen is written as it was found, and the others are calibrated before the command
    ends with the status of a direction without effect.

    concepts_of: the concepts for a pipeline. find: `discover` for them, given the pipeline and settings. said: what the
    JSON says beside the directions. exclusive: whether a picture shows one of them only. level_by: see `levelled`; all
    are calibrated before the first is levelled. in_place: also for standing in the place of what prompts say.
    """
    from directrix.cli import format_direction
    from directrix.discovery.settings import grouped
    from directrix.experiments.cost.measure import measured
    from directrix.progress import bars

    common.announce(arguments, checkpoint)
    pipeline = options.load_model(arguments)
    concepts = concepts_of(pipeline)
    rests = [[each for each in concepts if exclusive and each is not concept] for concept in concepts]
    judges = [
        None if arguments.no_calibration else common.judge_of(pipeline, concept, *rest)
        for concept, rest in zip(concepts, rests, strict=True)
    ]
    with measured() as cost:
        settings = grouped({**common.asked(arguments), "preserve": preserve})
        directions = find(pipeline, **settings, checkpoint=checkpoint, progress=bars)
    calibrated: list[tuple[Direction, Path, Judge | None]] = []
    among: list[Direction] = []
    unseen: NoEffectError | None = None
    for direction, rest, judged in zip(directions, rests, judges, strict=True):
        direction = common.noted(direction, arguments, rest, cost.memory_mb)
        output = folder / f"{direction.name}.safetensors"
        direction.save(output)
        if judged is not None:
            try:
                direction = common.calibrated(pipeline, direction, judged)
            except NoEffectError as error:
                unseen = error
                among.append(direction)
                continue
            direction.save(output)
        terminal.note(f"Wrote {output}.")
        among.append(direction)
        calibrated.append((direction, output, judged and judged[0]))
    files: list[dict[str, Any]] = []
    texts = []
    for direction, output, judge in calibrated:
        if compensate_for and judge is not None:
            direction = common.compensated(pipeline, direction, compensate_for, judge, among if in_place else ())
            direction.save(output)
        files.append(format_direction.as_json(direction, output))
        texts.append(format_direction.as_text(direction, output))
    # Kept until now: an interrupted calibration finds the directions again at once.
    shutil.rmtree(checkpoint, ignore_errors=True)
    if files:
        terminal.result("\n\n".join(texts), {**said, "directions": files}, arguments.json)
    if unseen is not None:
        raise unseen
