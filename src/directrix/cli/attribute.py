"""`directrix discover --attribute NAME`: the directions of all values of an attribute, a file each."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from directrix.cli import discovering, options, terminal
from directrix.errors import ConceptError, NoEffectError

if TYPE_CHECKING:
    from directrix.concept import AttributeSet

# What names prompts of one concept.
_OF_A_CONCEPT = ("name", "target", "neutral", "negative", "opposite")


def run(arguments: argparse.Namespace, preserve: Sequence[AttributeSet] | None) -> None:
    """Discover them, with a checkpoint in the folder until all are written.

    A direction whose effect cannot be seen is written as it was found, and the others are calibrated before the command
    ends with the status of a direction without effect.
    """
    from directrix.concept import attribute_set

    attribute = attribute_set(arguments.attribute)
    for key in _OF_A_CONCEPT:
        if getattr(arguments, key) is not None:
            raise ConceptError(
                f"'--{key}' was given together with '--attribute'.",
                "one of the two: an attribute has its own prompts.",
                "leave one out.",
            )
    if arguments.level is not None and arguments.no_calibration:
        raise ConceptError(
            "'--level' was given together with '--no-calibration'.",
            "one of the two: a shift is measured at a calibrated strength.",
            "leave one out.",
        )
    folder = options.writable_folder(arguments.output)
    names = [concept.name for concept in attribute.concepts]
    others = {} if arguments.level is None else discovering.levelling(arguments.level, names)
    checkpoint = folder / f".{attribute.name.replace(' ', '-')}.checkpoint"

    from directrix import models, storage
    from directrix.cli import describe
    from directrix.discover.attribute import discover_attribute
    from directrix.progress import bars
    from directrix.report.cost import measured

    discovering.announce(arguments, checkpoint)
    pipeline = options.load_model(arguments)
    concepts = attribute.among(models.facts(pipeline).subjects).concepts
    judges = [
        None
        if arguments.no_calibration
        else discovering.judge_of(pipeline, concept, *(each for each in concepts if each is not concept))
        for concept in concepts
    ]
    with measured() as cost:
        directions = discover_attribute(
            pipeline,
            attribute,
            arguments.method,
            preserve=preserve,
            **discovering.asked(arguments),
            checkpoint=checkpoint,
            progress=bars,
        )
    files: list[dict[str, Any]] = []
    texts = []
    unseen: NoEffectError | None = None
    for direction, concept, judged in zip(directions, concepts, judges, strict=True):
        rest = [each for each in concepts if each is not concept]
        direction = discovering.noted(direction, arguments, rest, cost.memory_mb)
        output = folder / f"{direction.name}.safetensors"
        storage.save(direction, output)
        if judged is not None:
            try:
                direction = discovering.calibrated(pipeline, direction, judged)
            except NoEffectError as error:
                unseen = error
                continue
            if others:
                direction = discovering.levelled(pipeline, direction, others, judged[0])
            storage.save(direction, output)
        terminal.note(f"Wrote {output}.")
        files.append(describe.as_json(direction, output))
        texts.append(describe.as_text(direction, output))
    # Kept until now: an interrupted calibration finds the directions again at once.
    shutil.rmtree(checkpoint, ignore_errors=True)
    if files:
        terminal.result(
            "\n\n".join(texts), {"attribute": attribute.name, "directions": files}, arguments.json
        )
    if unseen is not None:
        raise unseen
