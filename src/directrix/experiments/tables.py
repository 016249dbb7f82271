"""The tables of README.md and docs, written from results/*.json between comments that name the command.

    <!-- table demo: written by `directrix report tables` from results/demo.json -->
    ...
    <!-- end of table -->

Numbers in prose go stale; those between the comments are always the last ones measured. tables.md.jinja has a macro for
each table, tables.yaml says which table is of which file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from directrix.checks import one_of
from directrix.deprecation import upgraded
from directrix.errors import DirectrixError, OutputError
from directrix.models.files import write_atomically
from directrix.reading import json_text
from directrix.reading.source import Source

_BLOCK = re.compile(
    r"(?P<begin><!-- table (?P<name>[\w-]+):.*?-->\n)(?P<body>.*?)(?P<end><!-- end of table -->)", re.DOTALL
)


def tables(files: Sequence[Path], results: Path, *, check: bool = False) -> list[Path]:
    """Write every marked table in `files` anew from the JSON files in `results`; return the files that
    changed.

    check: write nothing, only return what would change. A table whose results have not been measured yet
    keeps its text. Raises DirectrixError for an unknown table, and OutputError for a file that cannot be read
    or written.
    """
    changed = []
    for file in files:
        text = Source(file, OutputError, "a Markdown file.").text()
        new = _BLOCK.sub(lambda match: match["begin"] + _body(match, results) + match["end"], text)
        if new != text:
            changed.append(file)
            if not check:
                write_atomically(file, new.encode())
    return changed


def _body(match: re.Match[str], results: Path) -> str:
    known = _data()["tables"]
    name = one_of("table", match["name"], known)
    path = results / f"{known[name]['results']}.json"
    if not path.is_file():
        return match["body"]
    from jinja2 import TemplateError

    figures = json_text.read(Source(path, DirectrixError, "a file that `make results` wrote.", "`make results`."))
    try:
        return "\n".join(table(name, figures)) + "\n"
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, TemplateError) as error:
        raise DirectrixError(
            f"'{path}' does not hold what the table needs ({type(error).__name__}: {error}).",
            "a file that `make results` wrote.",
            "`make results`.",
        ) from error


def table(name: str, figures: Mapping[str, Any]) -> list[str]:
    """The lines of a table of tables.yaml; `figures` is what its file in results/ holds."""
    return str(getattr(_macros(), _data()["tables"][name]["macro"])(figures)).splitlines()


@cache
def _data() -> Mapping[str, Any]:
    import yaml

    return yaml.safe_load(Path(__file__).with_name("tables.yaml").read_text(encoding="utf-8"))


@cache
def _macros() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    pages = Environment(
        loader=FileSystemLoader(Path(__file__).parent), trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
    )
    pages.globals["rows"] = _data()["evaluations"]
    pages.filters |= {
        "interval": lambda figure: "{value:.2f} [{low:.2f}, {high:.2f}]".format(**figure),
        "exact": lambda figure: "{value:.3f} [{low:.3f}, {high:.3f}]".format(**figure),
        "largest": lambda changes: max(changes.items(), key=lambda item: abs(item[1]["value"])),
        "upgraded": upgraded,
        "at": _at,
    }
    return pages.get_template("tables.md.jinja").module


def _at(figures: Any, place: str) -> Mapping[str, Any] | None:
    """The figure below a method at a place of tables.yaml."""
    for key in place.split():
        figures = figures.get(key) if isinstance(figures, Mapping) else None
    return figures if isinstance(figures, Mapping) and "value" in figures else None
