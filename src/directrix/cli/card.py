"""`directrix card`: measure how good a direction is, and write its page and its image."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from directrix.cli import options, terminal
from directrix.cli.app import Result, verb
from directrix.errors import OutputError

if TYPE_CHECKING:
    from directrix.directions.direction import Direction

IMAGES_PER_PROMPT, SEED = 4, 2000


@verb(
    "card",
    "Run the same command again: figures that are in the file stay.",
    "example: directrix card woman.safetensors",
)
def card(
    file: options.DirectionFile,
    output: options.OptionalOutput = None,
    images_per_prompt: options.OptionalImagesPerPrompt = None,
    seed: Annotated[int | None, typer.Option(min=0)] = None,
    again: bool = False,
    judge: options.Judge = None,
    model: options.Model = options.UNNAMED,
) -> Result:
    """Measure how good a direction is, and write its card.

    The same seeds are drawn at nine strengths of the direction and judged. The figures go into the direction's file,
    and into a page (NAME.md) with an image (NAME.png). A file that has its figures is not measured again.

    Args:
        output (DIR): Where page and image go. Default: beside the file.
        images_per_prompt: Images of each prompt at each strength. Default: 4.
        seed: The same seed gives the same result; each image has its own from it. Default: 2000.
        again: Measure, also where the file has its figures.
        model: As for other verbs. Default: the one that the file names.
    """
    direction, path = _at_hand(file, output)
    folder = options.writable_folder(output or path.parent)
    page, image = (folder / f"{path.stem}{ending}" for ending in (".md", ".png"))

    from directrix.measurement.calibration.target import concept_of, judge_for, others_of
    from directrix.measurement.reports import direction_card as cards
    from directrix.measurement.reports.direction_card_image import picture
    from directrix.models.files import write_atomically

    found = None if again else cards.stored(direction.header)
    if found is None:
        options.writable_file(path)
        pipeline = model.load(direction.model.name)
        seeing, target_label = judge_for(pipeline, concept_of(direction), *others_of(direction), judge=judge)
        figures: Mapping[str, Any] = cards.measure(
            pipeline,
            direction,
            seeing,
            target_label=target_label,
            images_per_prompt=images_per_prompt or IMAGES_PER_PROMPT,
            seed=SEED if seed is None else seed,
            progress=terminal.progress(),
        )
        direction = direction.with_(provenance={**direction.provenance, "card": figures})
        direction.save(path)
    else:
        figures = found
        _tell_if_other(figures, {"images_per_prompt": images_per_prompt, "seed": seed})
        pipeline = None if image.exists() else model.load(direction.model.name)
    if pipeline is not None:
        buffer = io.BytesIO()
        strip = cards.strip(pipeline, direction, figures, progress=terminal.progress())
        picture(figures, strip).save(buffer, "PNG")
        write_atomically(image, buffer.getvalue())
    write_atomically(page, cards.markdown(figures, path.name, image.name).encode())
    return Result(
        f"{cards.sentence(figures)}\n{page} and {image}",
        {"file": str(path), "page": str(page), "picture": str(image), "card": figures},
    )


def _at_hand(file: str, output: Path | None) -> tuple[Direction, Path]:
    """The direction and a file of it that is the user's: what was fetched is the hub's, so it is copied."""
    from directrix.directions import hub
    from directrix.directions.direction import Direction

    found = options.direction_file(file)
    direction = Direction.load(found)
    place = hub.place(file)
    if place is None:
        return direction, found if Path(file).is_dir() else Path(file)
    path = options.writable_folder(output or Path()) / f"{place.repository.rpartition('/')[2]}.safetensors"
    if not path.exists():
        direction.save(path)
    copied = Direction.load(path)
    if copied.digest() != direction.digest():
        raise OutputError(
            f"{path} is another direction than that of {place.repository}.",
            "a folder without a file of that name.",
            "-o DIR.",
        )
    return copied, path


def _tell_if_other(figures: Mapping[str, Any], asked: Mapping[str, int | None]) -> None:
    """Asking for other images than the card's must not pass in silence."""
    for key, value in asked.items():
        if value is not None and value != figures[key]:
            option = f"--{key.replace('_', '-')}"
            terminal.LOG.info("The file's card was measured with %s %s; --again measures anew.", option, figures[key])
