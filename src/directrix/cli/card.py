"""`directrix card`: measure how good a direction is, and write its page and its image."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import directrix
from directrix.cli import options
from directrix.cli.app import LOG, Result, progress, refuse, verb
from directrix.models.embedded import MODELS

IMAGES_PER_PROMPT, SEED = 4, 2000


@verb("card", "Run the same command again: figures that are in the file stay.")
def card(
    file: options.DirectionFile,
    output: options.OptionalOutput = None,
    images_per_prompt: options.OptionalImagesPerPrompt = None,
    seed: Annotated[int | None, options.option(least=0, most=options.MOST_SEED)] = None,
    again: bool = False,
    judge: options.Judge = None,
    model: options.Model = options.UNNAMED,
) -> Result:
    """Measure how good a direction is, and write its card."""
    direction, path = _at_hand(file, output)
    named = direction.model.name
    refuse(
        model.model is None and named not in MODELS,
        f"The direction was found with the model {named!r}, which is not loaded unasked.",
        "an embedded model, or one that you name and trust.",
        f"--model {named}.",
    )
    folder = output or path.parent
    options.writable_folders(folder)
    page, image = (folder / f"{path.stem}{ending}" for ending in (".md", ".png"))

    from directrix.measurement.calibration.target import concept_of, judge_for, others_of
    from directrix.measurement.reports import direction_card as cards
    from directrix.measurement.reports.direction_card_image import picture
    from directrix.models.files import write_atomically

    figures = None if again else cards.stored(direction.header)
    for key, value in {"images_per_prompt": images_per_prompt, "seed": seed}.items():
        if figures is not None and value is not None and value != figures[key]:
            # Asking for other images than the card's must not pass in silence.
            measured = f"The file's card was measured with --{key.replace('_', '-')} {figures[key]}"
            LOG.info("%s; --again measures anew.", measured)
    if figures is None or not image.exists():
        options.writable_files(path if figures is None else None)
        loaded = model.load(direction.model.name)
        if figures is None:
            seeing, target_label = judge_for(loaded, concept_of(direction), *others_of(direction), judge=judge)
            figures = cards.measure(
                loaded,
                direction,
                seeing,
                target_label=target_label,
                images_per_prompt=images_per_prompt or IMAGES_PER_PROMPT,
                seed=SEED if seed is None else seed,
                progress=progress(),
            )
            direction = direction.with_(provenance={**direction.provenance, "card": figures})
            direction.save(path)
        options.write_png(picture(figures, cards.strip(loaded, direction, figures, progress=progress())), image)
    write_atomically(page, cards.markdown(figures, path.name, image.name).encode())
    return Result(
        f"{cards.sentence(figures)}\n{page} and {image}",
        {"file": str(path), "page": str(page), "picture": str(image), "card": figures},
    )


def _at_hand(file: str, output: Path | None) -> tuple[directrix.Direction, Path]:
    """The direction and a file of it that is the user's: what was fetched is the hub's, so it is copied."""
    from directrix.directions import hub

    found = hub.locate(file)
    direction = directrix.Direction.load(found)
    place = hub.place(file)
    if place is None:
        return direction, found if Path(file).is_dir() else Path(file)
    path = (output or Path()) / f"{place.repository.rpartition('/')[2]}.safetensors"
    options.writable_files(path)
    if not path.exists():
        direction.save(path)
    copied = directrix.Direction.load(path)
    other = f"{path} is another direction than that of {place.repository}."
    refuse(copied.digest() != direction.digest(), other, "a folder without a file of that name.", "-o DIR.")
    return copied, path
