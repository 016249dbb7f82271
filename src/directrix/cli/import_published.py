"""`directrix import unet.pth`: directions in the format that the paper published, a file of ours each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from directrix.cli import format_direction, options, terminal
from directrix.cli.app import Result, verb


@verb(
    "import",
    "Every file is whole or not there.",
    "example: directrix import unet.pth --model CompVis/stable-diffusion-v1-4 -o directions/",
)
def import_published(
    file: Annotated[Path, typer.Argument()],
    output: options.Output,
    concepts: Path | None = None,
    model: options.Model = options.UNNAMED,
) -> Result:
    """Turn the paper's unet.pth and concept_dict.json into direction files.

    A published unet.pth is one matrix with a column a concept; each column becomes a direction's file. With --model
    they carry that model's fingerprint and work with it alone. Without, they fit every model of the structure of Stable
    Diffusion 1.4, at 512 x 512 pixels. Nothing but tensors is read.

    Args:
        file: unet.pth.
        output (DIR): Where the files go.
        model (NAME): The model that they are for. Default: any of the structure.
        concepts: Names of the columns. Default: concept_dict.json beside the file.
    """
    options.writable_folder(output)

    from directrix.directions import published

    pipeline = None if model.model is None else model.load()
    directions = published.import_published(file, concepts, pipeline)
    rows = [(each, output / published.file_name(each.name)) for each in directions]
    for direction, path in rows:
        direction.save(path)
    if pipeline is None:
        terminal.LOG.info(
            "Matched by structure: the files fit every model built like %s, at 512 x 512 pixels. "
            "--model NAME makes them that model's alone.",
            published.MODEL.name,
        )
    return format_direction.result(rows)
