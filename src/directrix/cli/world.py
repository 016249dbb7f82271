"""`directrix world path | report | renders | train | fetch`: the embedded model, how good it is, how it was made."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Annotated

import typer

from directrix.cli import options, terminal
from directrix.cli.app import Result, group, verb

world = group("world", "The embedded model: its folder, its figures, its training.")
Art = Annotated[Path, typer.Option(metavar="DIR", help="Where the art is or goes.")]


@verb("path", of=world)
def path() -> Result:
    """Print the folder of the embedded diffusers pipeline."""
    from directrix.models import embedded

    folder = str(embedded.path())
    return Result(folder, {"path": folder})


@verb("report", "Nothing was written.", of=world)
def report(
    images: options.Count = 2000,
    art: Art = Path("art"),
    output: options.OptionalOutput = None,
    sheet: Path | None = None,
) -> Result:
    """Measure the embedded model and its judge (half an hour on two cores).

    Args:
        images: Images to draw.
        output: Also write the figures there, as JSON.
        sheet: Also draw a sheet of samples there, as PNG.
    """
    output, sheet = options.writable_file(output), options.writable_file(sheet)
    options.writable_folder(art)
    from directrix import models
    from directrix.experiments.emoji_world.report import report, sample_sheet, write
    from directrix.experiments.tables import table
    from directrix.models.files import write_atomically

    figures = report(art, images=images, progress=terminal.progress())
    if output is not None:
        write(figures, output)
    if sheet is not None:
        image = io.BytesIO()
        sample_sheet(models.load("emoji"), progress=terminal.progress()).save(image, "PNG", optimize=True)
        write_atomically(sheet, image.getvalue())
    return Result("\n".join(table("world", figures)), figures)


@verb("renders", "What was written is whole.", of=world)
def renders(output: options.Output, images: options.Count = 2000, art: Art = Path("art")) -> Result:
    """Render occupations with even gender and skin tone, to compare fair images with.

    Both genders and all skin tones have equal shares, all else is as the world's bias has it: a reference for
    `directrix evaluate --reference`.

    Args:
        output (DIR): For PNG files.
        images: Images to render.
    """
    options.writable_folder(output)
    options.writable_folder(art)
    from directrix.experiments.emoji_world.training.data import write_reference

    files = write_reference(art, output, images, progress=terminal.progress())
    # "pictures" is what version 0.1 called them; it goes with version 0.3.
    counts = {"images": len(files), "pictures": len(files)}
    return Result(f"{len(files):,} images are in {output}.", {"path": str(output), **counts})


@verb("train", "Run the same command again: it goes on from its checkpoint.", of=world)
def train(output: options.Output, art: Path | None = None, tiny: bool = False) -> Result:
    """Train the embedded model again from the art (hours).

    Tokenizer, CLIP, VAE, judge and U-Net are trained with fixed seeds. A run that was stopped goes on where it was when
    the same command is given again.

    Args:
        output (DIR): Checkpoints and the model.
        art (DIR): Where the art is or goes. Default: DIR/art.
        tiny: Seconds in place of hours: a model that draws nothing.
    """
    options.writable_folder(output)
    from directrix.experiments.emoji_world.training import config
    from directrix.experiments.emoji_world.training.run import train

    chosen = config.read("tiny" if tiny else "default")
    model = train(output, art or output / "art", chosen, terminal.progress())
    return Result(f"The model is in {model}.", {"model": str(model)})


@verb("fetch", "Run the same command again.", of=world)
def fetch(output: options.Output = Path("art")) -> Result:
    """Fetch the art that the model is trained on, with `npm pack`.

    Args:
        output (DIR): Where the art goes.
    """
    options.writable_folder(output)
    from directrix.experiments.emoji_world.art import fetch

    folder = str(fetch(output))
    return Result(f"The art is in {folder}.", {"path": folder})
