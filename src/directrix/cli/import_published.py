"""`directrix import unet.pth`: directions in the format that the paper published, a file of ours each."""

from __future__ import annotations

import argparse
from pathlib import Path

from directrix.cli import options, terminal


def add(verbs: argparse._SubParsersAction) -> None:
    """Add the verb to the parser."""
    parser = verbs.add_parser(
        "import",
        help="turn the paper's unet.pth and concept_dict.json into direction files",
        description="Read a published unet.pth, one matrix with a column a concept, and write each column as a "
        "direction's file. With --model they carry that model's fingerprint and work with it alone. Without, they fit "
        "every model of the structure of Stable Diffusion 1.4, at 512 x 512 pixels. Nothing but tensors is read.",
        epilog="example: directrix import unet.pth --model CompVis/stable-diffusion-v1-4 -o directions/",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="unet.pth")
    parser.add_argument(
        "--concepts", type=Path, metavar="FILE", help="names of the columns (default: concept_dict.json beside it)"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="where the files go")
    options.add_model(parser, default=None, otherwise="none: match by structure")
    options.add_json(parser)
    parser.set_defaults(run=run, after_interrupt="Every file is whole or not there.")


def run(arguments: argparse.Namespace) -> None:
    """Write the files and print what they hold."""
    folder = options.writable_folder(arguments.output)

    from directrix.cli import format_direction
    from directrix.directions import published

    pipeline = None if arguments.model is None else options.load_model(arguments)
    directions = published.import_published(arguments.file, arguments.concepts, pipeline)
    files = [folder / published.file_name(each.name) for each in directions]
    for direction, path in zip(directions, files, strict=True):
        direction.save(path)
    if pipeline is None:
        terminal.note(
            f"Matched by structure: the files fit every model built like {published.MODEL.name}, at 512 x 512 pixels. "
            "--model NAME makes them that model's alone."
        )
    rows = list(zip(directions, files, strict=True))
    terminal.result(
        "\n\n".join(format_direction.as_text(*row) for row in rows),
        {"directions": [format_direction.as_json(*row) for row in rows]},
        arguments.json,
    )
