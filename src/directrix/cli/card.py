"""`directrix card`: measure how good a direction is, and write its page and its picture."""

from __future__ import annotations

import argparse
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from directrix.cli import options, terminal
from directrix.errors import OutputError

IMAGES_PER_PROMPT, SEED = 4, 2000


def add(verbs: argparse._SubParsersAction) -> None:
    """Add the verb to the parser."""
    parser = verbs.add_parser(
        "card",
        help="measure how good a direction is, and write its card",
        description="Draw the same seeds at nine strengths of a direction, judge them, keep the figures in the "
        "direction's file, and write them as a page (NAME.md) with a picture (NAME.png). A file that holds its figures "
        "is not measured again.",
        epilog="example: directrix card woman.safetensors",
    )
    options.add_direction(parser)
    parser.add_argument(
        "-o", "--output", type=Path, metavar="DIR", help="where page and picture go (default: beside the file)"
    )
    parser.add_argument(
        "--images-per-prompt",
        type=options.positive_int,
        metavar="N",
        help=f"pictures of each prompt at each strength (default: {IMAGES_PER_PROMPT})",
    )
    parser.add_argument(
        "--seed", type=options.whole_number, help=f"{SEED} unless given; each picture has its own from it"
    )
    parser.add_argument("--again", action="store_true", help="measure, also where the file holds its figures")
    options.add_model(parser, default=None)
    options.add_json(parser)
    parser.set_defaults(run=run, after_interrupt="Run the same command again: figures that are in the file are kept.")


def run(arguments: argparse.Namespace) -> None:
    """Measure where that is needed, keep the card in the file, and write page and picture."""
    from directrix.directions import hub
    from directrix.directions.direction import Direction
    from directrix.models.files import write_atomically

    direction = Direction.load(options.direction_file(arguments.file))
    place = hub.place(arguments.file)
    arguments.file = Path(arguments.file)
    if place is not None:
        # What was fetched is the hub's; the card's figures go into a copy.
        folder = options.writable_folder(arguments.output or Path())
        arguments.file = folder / f"{place.repository.rpartition('/')[2]}.safetensors"
        if not arguments.file.exists():
            direction.save(arguments.file)
        retained = Direction.load(arguments.file)
        if retained.digest() != direction.digest():
            raise OutputError(
                f"{arguments.file} is another direction than that of {place.repository}.",
                "a folder without a file of that name.",
                "-o DIR.",
            )
        direction = retained
    elif arguments.file.is_dir():
        arguments.file = options.direction_file(arguments.file)
    arguments.model = arguments.model or direction.model.name
    folder = options.writable_folder(arguments.output or arguments.file.parent)
    page, image = (folder / f"{arguments.file.stem}{ending}" for ending in (".md", ".png"))

    from directrix.measurement.reports import direction_card as cards
    from directrix.measurement.reports.direction_card_image import picture
    from directrix.progress import bars

    card = None if arguments.again else cards.stored(direction.header)
    if card is None:
        options.writable_file(arguments.file)
    else:
        _tell_if_other(card, arguments)
    pipeline = None
    if card is None or not image.exists():
        pipeline = options.load_model(arguments)
    if card is None:
        card = _measured(pipeline, direction, arguments)
        direction = direction.with_(provenance={**direction.provenance, "card": card})
        direction.save(arguments.file)
    if pipeline is not None:
        buffer = io.BytesIO()
        picture(card, cards.strip(pipeline, direction, card, progress=bars)).save(buffer, "PNG")
        write_atomically(image, buffer.getvalue())
    write_atomically(page, cards.markdown(card, arguments.file.name, image.name).encode())
    terminal.result(
        f"{cards.sentence(card)}\n{page} and {image}",
        {"file": str(arguments.file), "page": str(page), "picture": str(image), "card": card},
        arguments.json,
    )


def _measured(pipeline: Any, direction: Any, arguments: argparse.Namespace) -> dict[str, Any]:
    from directrix.measurement.calibration.target import concept_of, judge_for, others_of
    from directrix.measurement.reports import direction_card as cards
    from directrix.progress import bars

    judge, target_label = judge_for(pipeline, concept_of(direction), *others_of(direction))
    return cards.measure(
        pipeline,
        direction,
        judge,
        target_label=target_label,
        images_per_prompt=arguments.images_per_prompt or IMAGES_PER_PROMPT,
        seed=SEED if arguments.seed is None else arguments.seed,
        progress=bars,
    )


def _tell_if_other(card: Mapping[str, Any], arguments: argparse.Namespace) -> None:
    """Asking for other pictures than the card's must not pass in silence."""
    for key in ("images_per_prompt", "seed"):
        asked = getattr(arguments, key)
        if asked is not None and asked != card[key]:
            option = f"--{key.replace('_', '-')}"
            terminal.note(f"The file's card was measured with {option} {card[key]}; --again measures anew.")
