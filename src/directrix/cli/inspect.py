"""`directrix inspect FILE ...`: what is in a direction's file, and how several of them lie to each other."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from directrix.cli import options, terminal
from directrix.errors import MismatchError

if TYPE_CHECKING:
    from directrix.directions.direction import Direction


def add(verbs: argparse._SubParsersAction) -> None:
    """Add the verb to the parser."""
    parser = verbs.add_parser(
        "inspect",
        help="say what a direction's file holds",
        description="Check a direction's file and say what it holds. Several files of one model are also compared.",
    )
    options.add_direction(parser, nargs="+")
    options.add_json(parser)
    parser.set_defaults(run=run, after_interrupt="Nothing was changed.")


def run(arguments: argparse.Namespace) -> None:
    """Print each file's facts and, for several files, the cosines between them."""
    from directrix.cli import format_direction
    from directrix.directions.direction import Direction

    directions = [Direction.load(options.direction_file(text)) for text in arguments.files]
    rows = list(zip(directions, map(Path, arguments.files), strict=True))
    data: dict[str, Any] = {"directions": [format_direction.as_json(*row) for row in rows]}
    text = "\n\n".join(format_direction.as_text(*row) for row in rows)
    if len(directions) > 1:
        try:
            data["cosines"] = [[round(a.cosine(b), 4) for b in directions] for a in directions]
        except MismatchError as error:
            # What each file holds was asked for all the same.
            terminal.note(f"Not compared: {error.happened}")
        else:
            text += f"\n\ncosines, in the order of the files\n{_table(directions, data['cosines'])}"
    terminal.result(text, data, arguments.json)


def _table(directions: Sequence[Direction], cosines: Sequence[Sequence[float]]) -> str:
    width = max(len(one.name) for one in directions)
    return "\n".join(
        f"  {one.name:{width}}  " + "  ".join(f"{cosine:+.2f}" for cosine in row)
        for one, row in zip(directions, cosines, strict=True)
    )
