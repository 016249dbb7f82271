"""`directrix world list | path | starters | report | renders | reference | train | fetch`: the embedded models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import directrix
from directrix.cli import options
from directrix.cli.app import Result, group, progress, verb

world = group("world", "The embedded models: their folders, their figures, their training.")
Art = Annotated[Path, options.option("Where the art is or goes.", metavar="DIR")]
_NAMES = "An embedded model: 'emoji' or 'emoji-sd3'."


@verb("list", of=world)
def listing() -> Result:
    """List the embedded models: name, class of the pipeline, what it is, folder, size of the weights."""
    from directrix.models import embedded

    rows = []
    for name, said in embedded.MODELS.items():
        kind, _, about = said.partition(": ")
        folder, size = str(embedded.path(name)), round(embedded.megabytes(name), 1)
        rows.append({"name": name, "class": kind, "about": about, "path": folder, "megabytes": size})
    lines = ["{name}  ({class}, {megabytes} MB)\n  {about}\n  {path}".format(**row) for row in rows]
    return Result("\n".join(lines), {"models": rows})


@verb("path", of=world)
def path(name: Annotated[str, typer.Argument(help=_NAMES, metavar="NAME")] = "emoji") -> Result:
    """Print the folder of an embedded diffusers pipeline."""
    from directrix.models import embedded

    folder = str(embedded.path(name))
    return Result(folder, {"path": folder})


@verb("starters", "Run the same command again.", of=world)
def starters(
    output: options.Output,
    model: Annotated[str, options.option(_NAMES, metavar="NAME")] = "emoji",
    calibrate: bool = False,
) -> Result:
    """Find the starter directions of an embedded model again (seconds; with --calibrate ten minutes on two cores)."""
    options.writable_folders(output)
    from directrix.experiments.emoji_world import starters

    files = starters.write(model, output, calibrated=calibrate, progress=progress())
    return Result(f"{len(files)} directions are in {output}.", {"path": str(output), "files": [f.name for f in files]})


@verb("report", "Nothing was written.", of=world)
def report(
    images: options.Count = 2000,
    art: Art = Path("art"),
    output: options.OptionalOutput = None,
    sheet: Path | None = None,
    model: Annotated[str, options.option(_NAMES, metavar="NAME")] = "emoji",
) -> Result:
    """Measure an embedded model and the judges (an hour on two cores)."""
    options.writable_files(output, sheet)
    options.writable_folders(art)
    from directrix.experiments.emoji_world.report import report, sample_sheet
    from directrix.experiments.tables import table

    figures = report(art, images=images, progress=progress(), model=model)
    if sheet is not None:
        options.write_png(sample_sheet(directrix.load(model), progress=progress()), sheet, optimize=True)
    return Result("\n".join(table("world", figures)), figures, output)


@verb("renders", "What was written is whole.", of=world)
def renders(output: options.Output, images: options.Count = 2000, art: Art = Path("art")) -> Result:
    """Render occupations with even gender and skin tone, to compare fair images with."""
    options.writable_folders(output, art)
    from directrix.experiments.emoji_world.training.data import write_reference

    files = write_reference(art, output, images, progress=progress())
    # "pictures" is what version 0.1 called them; it goes with version 0.3.
    counts = {"images": len(files), "pictures": len(files)}
    return Result(f"{len(files):,} images are in {output}.", {"path": str(output), **counts})


@verb("reference", "Nothing was written.", of=world)
def reference(output: options.Output, art: Art = Path("art")) -> Result:
    """Write the features of renders that the measure of faces compares images with."""
    options.writable_files(output)
    options.writable_folders(art)
    from directrix.experiments.emoji_world.reference import write_features

    write_features(art, output, progress())
    return Result(f"The features are in {output}.", {"path": str(output)})


@verb("train", "Run the same command again: it goes on from its checkpoint.", of=world)
def train(output: options.Output, art: Path | None = None, tiny: bool = False, device: options.Device = None) -> Result:
    """Train the embedded models again from the art (minutes of a GPU, else days)."""
    options.writable_folders(output)
    import torch

    from directrix.experiments.emoji_world.training import config
    from directrix.experiments.emoji_world.training.run import train
    from directrix.models.loading import best_device

    chosen = config.read("tiny" if tiny else "default")
    where = best_device() if device is None else torch.device(device)
    model = train(output, art or output / "art", chosen, progress(), device=where)
    return Result(f"The models are in {model}.", {"model": str(model)})


@verb("fetch", "Run the same command again.", of=world)
def fetch(output: options.Output = Path("art")) -> Result:
    """Fetch the art that the model is trained on, with `npm pack`."""
    options.writable_folders(output)
    from directrix.experiments.emoji_world.art import fetch

    folder = str(fetch(output))
    return Result(f"The art is in {folder}.", {"path": folder})
