"""`directrix report tables`: bring the tables of README and docs up to date with results/*.json."""

from __future__ import annotations

import argparse
from pathlib import Path

from directrix.cli import options, terminal


def add(verbs: argparse._SubParsersAction) -> None:
    """Add the verb to the parser."""
    parser = verbs.add_parser("report", help="write measured tables into Markdown files", description=__doc__)
    kinds = parser.add_subparsers(dest="kind", metavar="KIND", required=True)
    kind = kinds.add_parser("tables", help="tables between comments that name this command")
    kind.add_argument(
        "files", nargs="*", type=Path, default=[Path("README.md")], metavar="FILE", help="default: README.md"
    )
    kind.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="default: results")
    kind.add_argument(
        "--check", action="store_true", help="write nothing, only list the files that are out of date"
    )
    options.add_json(kind)
    kind.set_defaults(run=run, after_interrupt="Every file is whole: old or new.")


def run(arguments: argparse.Namespace) -> None:
    """Write the tables and list the files that changed."""
    from directrix.report.tables import tables

    changed = [str(file) for file in tables(arguments.files, arguments.results, check=arguments.check)]
    word = "out of date" if arguments.check else "written"
    text = "\n".join(f"{word}: {file}" for file in changed) or "every table is up to date"
    terminal.result(text, {word.replace(" ", "_"): changed}, arguments.json)
