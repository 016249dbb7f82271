"""`directrix world path | report | renders | train | fetch`: the embedded model, how good it is, how it was made."""

from __future__ import annotations

import argparse
import io
from pathlib import Path

from directrix.cli import options, terminal


def add(verbs: argparse._SubParsersAction) -> None:
    """Add the verb and its own verbs to the parser."""
    parser = verbs.add_parser("world", help="the embedded model: its folder, its figures, its training")
    kinds = parser.add_subparsers(dest="kind", metavar="KIND", required=True)

    path = kinds.add_parser("path", help="print the folder of the embedded diffusers pipeline")
    options.add_json(path)
    path.set_defaults(run=_path, after_interrupt="Nothing was changed.")

    report = kinds.add_parser("report", help="measure the embedded model and its judge (half an hour on two cores)")
    report.add_argument(
        "--images", type=options.positive_int, default=2000, metavar="N", help="pictures to draw (default: 2000)"
    )
    report.add_argument(
        "--art", type=Path, default=Path("art"), metavar="DIR", help="where the art is or goes (default: art)"
    )
    report.add_argument("-o", "--output", type=Path, metavar="FILE", help="also write the figures there, as JSON")
    report.add_argument("--sheet", type=Path, metavar="FILE", help="also draw a sheet of samples there, as PNG")
    options.add_json(report)
    report.set_defaults(run=_report, after_interrupt="Nothing was written.")

    renders = kinds.add_parser(
        "renders",
        help="render occupations with even gender and skin tone, to hold fair pictures against",
        description="Render the occupations with both genders and all skin tones in equal shares, all else as the "
        "world's bias has it: a reference for `directrix evaluate --reference`.",
    )
    renders.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="for PNG files")
    renders.add_argument("-n", "--number", type=options.positive_int, default=2000, metavar="N", help="default: 2000")
    renders.add_argument(
        "--art", type=Path, default=Path("art"), metavar="DIR", help="where the art is or goes (default: art)"
    )
    options.add_json(renders)
    renders.set_defaults(run=_renders, after_interrupt="What was written is whole.")

    train = kinds.add_parser(
        "train",
        help="train the embedded model again from the art (hours)",
        description="Train tokenizer, CLIP, VAE, judge and U-Net with fixed seeds. A run that was stopped "
        "goes on where it was when the same command is given again.",
    )
    train.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="checkpoints and the model")
    train.add_argument("--art", type=Path, metavar="DIR", help="where the art is or goes (default: DIR/art)")
    train.add_argument("--tiny", action="store_true", help="seconds in place of hours: a model that draws nothing")
    options.add_json(train)
    train.set_defaults(run=_train, after_interrupt="Run the same command again: it goes on from its checkpoint.")

    fetch = kinds.add_parser("fetch", help="fetch the art that the model is trained on, with `npm pack`")
    fetch.add_argument("-o", "--output", type=Path, default=Path("art"), metavar="DIR", help="default: art")
    options.add_json(fetch)
    fetch.set_defaults(run=_fetch, after_interrupt="Run the same command again.")


def _path(arguments: argparse.Namespace) -> None:
    from directrix.models import embedded

    folder = str(embedded.path())
    terminal.result(folder, {"path": folder}, arguments.json)


def _report(arguments: argparse.Namespace) -> None:
    output = None if arguments.output is None else options.writable_file(arguments.output)
    sheet = None if arguments.sheet is None else options.writable_file(arguments.sheet)
    art = options.writable_folder(arguments.art)
    from directrix import models
    from directrix.experiments.emoji_world.report import report, sample_sheet, write
    from directrix.experiments.tables import world_table
    from directrix.models.files import write_atomically
    from directrix.progress import bars

    figures = report(art, images=arguments.images, progress=bars)
    if output is not None:
        write(figures, output)
    if sheet is not None:
        picture = io.BytesIO()
        sample_sheet(models.load("emoji"), progress=bars).save(picture, "PNG", optimize=True)
        write_atomically(sheet, picture.getvalue())
    terminal.result("\n".join(world_table(figures)), figures, arguments.json)


def _renders(arguments: argparse.Namespace) -> None:
    output = options.writable_folder(arguments.output)
    art = options.writable_folder(arguments.art)
    from directrix.experiments.emoji_world.reference_renders import renders
    from directrix.progress import bars

    files = renders(art, output, arguments.number, progress=bars)
    data = {"path": str(output), "pictures": len(files)}
    terminal.result(f"{len(files):,} pictures are in {output}.", data, arguments.json)


def _train(arguments: argparse.Namespace) -> None:
    output = options.writable_folder(arguments.output)
    from directrix.experiments.emoji_world.training import config
    from directrix.experiments.emoji_world.training.run import train
    from directrix.progress import bars

    chosen = config.tiny() if arguments.tiny else config.default()
    model = train(output, arguments.art or output / "art", chosen, bars)
    terminal.result(f"The model is in {model}.", {"model": str(model)}, arguments.json)


def _fetch(arguments: argparse.Namespace) -> None:
    output = options.writable_folder(arguments.output)
    from directrix.experiments.emoji_world.art import fetch

    folder = str(fetch(output))
    terminal.result(f"The art is in {folder}.", {"path": folder}, arguments.json)
