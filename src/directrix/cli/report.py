"""`directrix report RUN` makes the page of an evaluation; `directrix report tables` brings Markdown up to date."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from directrix.cli import options
from directrix.cli.app import Result, verb
from directrix.errors import DirectrixError

TABLES = "tables"


@verb(
    "report",
    "Every file is whole: old or new.",
    "examples: directrix report run; directrix report tables README.md --check",
)
def report(
    what: options.Word,
    files: Annotated[list[Path] | None, typer.Argument()] = None,
    output: options.OptionalOutput = None,
    results: Path | None = None,
    check: bool = False,
) -> Result:
    """Make the page of an evaluation, or write measured tables into Markdown files.

    RUN: write RUN/index.html, one page with all figures and some images of the evaluation in that folder. tables: bring
    the tables of README and docs up to date with results/*.json.

    Args:
        what (RUN): Folder of an evaluation; or the word: tables.
        files: tables: Markdown files. Default: README.md.
        output: RUN: the page. Default: RUN/index.html.
        results (DIR): tables: folder of the figures. Default: results.
        check: tables: write nothing, list the files that are out of date, and fail where there are any.
    """
    if what == TABLES:
        _refuse(output is not None, "'-o' goes with a run, not with 'tables'")
        return _tables(files or [Path("README.md")], results or Path("results"), check)
    _refuse(bool(files), "Several files go with 'tables', not with a run")
    _refuse(check or results is not None, "'--check' and '--results' go with 'tables'")
    output = options.writable_file(output)
    from directrix.measurement.reports import page

    path = str(page.report(Path(what), output))
    return Result(path, {"page": path})


def _refuse(wrong: bool, why: str) -> None:
    if wrong:
        raise DirectrixError(f"{why}.", "directrix report RUN, or directrix report tables FILE ...", "--help")


def _tables(files: list[Path], results: Path, check: bool) -> Result:
    """Writes the tables and lists the files that changed."""
    from directrix.experiments.tables import tables

    changed = [str(file) for file in tables(files, results, check=check)]
    word = "out of date" if check else "written"
    text = "\n".join(f"{word}: {file}" for file in changed) or "every table is up to date"
    failure = DirectrixError(
        f"{len(changed)} of {len(files)} files do not show what was measured last.",
        "tables as they are written from the results.",
        "the same command without --check.",
    )
    return Result(text, {word.replace(" ", "_"): changed}, failure if check and changed else None)
