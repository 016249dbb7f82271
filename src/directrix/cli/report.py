"""`directrix report RUN` makes the page of an evaluation; `directrix report tables` brings Markdown up to date."""

from __future__ import annotations

import argparse
from pathlib import Path

from directrix.cli import options, terminal
from directrix.errors import DirectrixError

TABLES = "tables"


def add(verbs: argparse._SubParsersAction) -> None:
    """Add the verb to the parser."""
    parser = verbs.add_parser(
        "report",
        help="make the page of an evaluation, or write measured tables into Markdown files",
        usage="directrix report RUN [-o FILE] [--json]\n       directrix report tables [FILE ...] [--results DIR] "
        "[--check] [--json]",
        description="RUN: write RUN/index.html, one page with all figures and some pictures of the evaluation in that "
        "folder. tables: bring the tables of README and docs up to date with results/*.json.",
    )
    parser.add_argument("what", metavar="RUN", help="folder of an evaluation; or the word: tables")
    parser.add_argument(
        "files", nargs="*", type=Path, metavar="FILE", help="tables: Markdown files (default: README.md)"
    )
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="RUN: the page (default: RUN/index.html)")
    parser.add_argument("--results", type=Path, metavar="DIR", help="tables: default: results")
    parser.add_argument(
        "--check",
        action="store_true",
        help="tables: write nothing, list the files that are out of date, and fail where there are any",
    )
    options.add_json(parser)
    parser.set_defaults(run=run, after_interrupt="Every file is whole: old or new.")


def run(arguments: argparse.Namespace) -> None:
    """Write the page or the tables."""
    if arguments.what == TABLES:
        _refuse(arguments.output is not None, "'-o' goes with a run, not with 'tables'")
        _tables(arguments)
        return
    _refuse(bool(arguments.files), "Several files go with 'tables', not with a run")
    _refuse(arguments.check or arguments.results is not None, "'--check' and '--results' go with 'tables'")
    output = None if arguments.output is None else options.writable_file(arguments.output)
    from directrix.measurement.reports.page import report

    path = str(report(Path(arguments.what), output))
    terminal.result(path, {"page": path}, arguments.json)


def _refuse(wrong: bool, why: str) -> None:
    if wrong:
        raise DirectrixError(f"{why}.", "directrix report RUN, or directrix report tables FILE ...", "--help")


def _tables(arguments: argparse.Namespace) -> None:
    """Write the tables and list the files that changed."""
    from directrix.experiments.tables import tables

    files = arguments.files or [Path("README.md")]
    results = arguments.results or Path("results")
    changed = [str(file) for file in tables(files, results, check=arguments.check)]
    word = "out of date" if arguments.check else "written"
    text = "\n".join(f"{word}: {file}" for file in changed) or "every table is up to date"
    terminal.result(text, {word.replace(" ", "_"): changed}, arguments.json)
    if arguments.check and changed:
        raise DirectrixError(
            f"{len(changed)} of {len(files)} files do not show what was measured last.",
            "tables as they are written from the results.",
            "the same command without --check.",
        )
