"""`directrix inspect FILE ...`: what is in a direction's file, and how several of them lie to each other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from directrix.cli import format_direction, options, terminal
from directrix.cli.app import Result, verb
from directrix.errors import MismatchError


@verb("inspect")
def inspect(files: Annotated[list[str], typer.Argument()]) -> Result:
    """Say what a direction's file contains.

    The file is checked. Several files of one model are also compared.

    Args:
        files (FILE): Files of directions, or OWNER/NAME[@REVISION] on the hub.
    """
    from directrix.directions.direction import Direction

    directions = [Direction.load(options.direction_file(text)) for text in files]
    text, data, _ = format_direction.result(list(zip(directions, map(Path, files), strict=True)))
    if len(directions) > 1:
        try:
            cosines = [[round(a.cosine(b), 4) for b in directions] for a in directions]
        except MismatchError as error:
            # What each file contains was asked for all the same.
            terminal.LOG.info("Not compared: %s", error.happened)
        else:
            width = max(len(one.name) for one in directions)
            lines = ["\n\ncosines, in the order of the files"]
            for one, row in zip(directions, cosines, strict=True):
                lines.append(f"  {one.name:{width}}  " + "  ".join(f"{cosine:+.2f}" for cosine in row))
            text, data = text + "\n".join(lines), {**data, "cosines": cosines}
    return Result(text, data)
