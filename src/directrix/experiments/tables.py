"""The tables of README.md and docs, written from results/*.json between comments that name the command.

    <!-- table demo: written by `directrix report tables` from results/demo.json -->
    ...
    <!-- end of table -->

Numbers in prose go stale; those between the comments are always the last ones measured.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from directrix.errors import DirectrixError, OutputError, suggestion
from directrix.experiments.cost.memory_tables import full_size_table, plan_table
from directrix.experiments.evaluation_tables import ROWS, evaluated_table
from directrix.measurement.metrics import Interval
from directrix.models.files import write_atomically

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
        try:
            text = file.read_text(encoding="utf-8")
        except OSError as error:
            raise OutputError(
                f"'{file}' cannot be read: {error.strerror or error}.", "a Markdown file.", "check the path."
            ) from error
        new = _BLOCK.sub(lambda match: match["begin"] + _body(match, results) + match["end"], text)
        if new != text:
            changed.append(file)
            if not check:
                write_atomically(file, new.encode())
    return changed


def _body(match: re.Match[str], results: Path) -> str:
    name = match["name"]
    if name not in TABLES:
        raise DirectrixError(f"There is no table {name!r}.", "the name of one.", suggestion(name, TABLES))
    path = results / f"{FILES.get(name, name)}.json"
    if not path.is_file():
        return match["body"]
    try:
        return "\n".join(TABLES[name](json.loads(path.read_text(encoding="utf-8")))) + "\n"
    except (ValueError, KeyError, TypeError) as error:
        raise DirectrixError(
            f"'{path}' does not hold what the table needs ({type(error).__name__}: {error}).",
            "a file that `make results` wrote.",
            "`make results`.",
        ) from error


def demo_table(summary: Mapping[str, Any]) -> list[str]:
    """Return the before/after table of a demo's summary."""
    rows = [
        ("gender deviation ratio (0 is even)", lambda side: side["deviation_ratio"]["gender"]),
        ("skin tone deviation ratio (0 is even)", lambda side: side["deviation_ratio"]["tone"]),
        ("subject accuracy", lambda side: side["subject_accuracy"]),
    ]
    lines = ["| 95 % intervals in brackets | unsteered | steered | pictures |", "|---|---|---|---|"]
    for title, figure in rows:
        cells = [str(_interval(figure(summary[side]))) for side in ("unsteered", "steered")]
        lines.append(f"| {title} | {cells[0]} | {cells[1]} | 2 × {summary['steered']['images']} |")
    return lines


def world_table(report: Mapping[str, Any]) -> list[str]:
    """Return one row for each figure of `directrix world report --json`."""
    lines = ["| figure | value [95 % interval] | n |", "|---|---|---|"]
    for name, figure in _flat(report):
        interval = _interval(figure)
        lines.append(f"| {name} | {interval} | {interval.n:,} |")
    return lines


def occupations_table(figures: Mapping[str, Any]) -> list[str]:
    """Return one row for each side of `directrix bench occupations --json`."""
    lines = ["| steered by | share of women | share of men | subject accuracy | left behind |", "|---|---|---|---|---|"]
    for name in ("unsteered", "woman", "man"):
        side = figures[name]
        cells = [str(_interval(side[key])) for key in ("female", "male", "subject_accuracy")]
        behind = ", ".join(side.get("left_behind", ())) or ("none" if "left_behind" in side else "")
        lines.append(f"| {name} | {' | '.join(cells)} | {behind} |")
    return lines


def discovery_table(figures: Mapping[str, Any]) -> list[str]:
    """Return one row for each method of `directrix bench discovery --json`, and what the default saves."""
    lines = [
        "| method | effect, mean (least) over concepts | subject accuracy | leakage, mean | cosine between seeds | "
        "evaluations | seconds | MB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, row in figures["methods"].items():
        values = {
            key: [figure["value"] for figure in row[key].values()]
            for key in ("effect", "preservation", "leakage", "cosine_across_seeds")
        }
        mean = {key: sum(column) / len(column) for key, column in values.items()}
        lines.append(
            f"| {name} | {mean['effect']:.2f} ({min(values['effect']):.2f}) | {mean['preservation']:.2f} | "
            f"{mean['leakage']:.2f} | {mean['cosine_across_seeds']:.2f} | {row['evaluations']['value']:,.0f} | "
            f"{row['seconds']['value']:.1f} | {row['memory_mb']['value']:.0f} |"
        )
    for key, ratio in figures.get("ratio", {}).items():
        parts = ", ".join(f"{value:,.0f} times for {count}" for count, value in ratio.items())
        lines += ["", f"Fewer {key} than the paper's recipe, per concept: {parts} at once."]
    return lines


def directions_table(figures: Mapping[str, Any]) -> list[str]:
    """Return the default method's directions, in each way that they act, from `directrix bench discovery --json`."""
    lines = [
        "| direction, strength 1.0 | is | effect over 20 occupations | least of them | subject accuracy (unsteered) | "
        "largest change of another attribute | non-people kept | rises with strength |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, row in figures["directions"]["concepts"].items():
        if "no_effect" in row:
            lines.append(f"| {name} | none seen | | | | | | |")
            continue
        monotone = "yes" if row["monotone"] else "no"
        for way, acting in (
            ("added", row),
            ("replaced", row["replaced"]),
            ("held", row.get("held")),
            ("told in words", row["told"]),
        ):
            if acting is None:
                continue
            least = f"{acting['least']['occupation']} {_interval(acting['least'])}"
            more = f"{_interval(row['non_people'])} | {monotone}" if acting is row else "|"
            lines.append(
                f"| {name} | {way} | {_interval(acting['effect'])} | {least} | "
                f"{_interval(acting['subject_accuracy'])} ({row['subject_unsteered']['value']:.2f}) | "
                f"{_largest(acting)} | {more} |"
            )
    return lines


def _largest(row: Mapping[str, Any]) -> str:
    """The label of another attribute whose share changes most."""
    label, change = max(row["leakage"].items(), key=lambda item: abs(item[1]["value"]))
    return f"{label} {_signed(change)}"


def wording_table(figures: Mapping[str, Any]) -> list[str]:
    """Return the figures of `directrix explain --score --json`."""
    lines = ["| held-out prompts | precision | recall | silent where nothing is asked |", "|---|---|---|---|"]
    cells = [
        "{value:.3f} [{low:.3f}, {high:.3f}], n = {n}".format(**figures[name])
        for name in ("precision", "recall", "silent")
    ]
    return [*lines, f"| {figures['prompts']} | {' | '.join(cells)} |"]


def _signed(figure: Mapping[str, Any]) -> str:
    return f"{figure['value']:+.2f} [{figure['low']:+.2f}, {figure['high']:+.2f}]"


TABLES: Mapping[str, Callable[[Mapping[str, Any]], list[str]]] = {
    "demo": demo_table,
    "world": world_table,
    "reconstruction": occupations_table,
    "discovery": discovery_table,
    "directions": directions_table,
    "wording": wording_table,
    "model": full_size_table,
    "model-gpu": full_size_table,
    "memory-plan": plan_table,
    **dict.fromkeys(ROWS, evaluated_table),
}


# Tables whose figures are part of another's file.
FILES: Mapping[str, str] = {"directions": "discovery", "memory-plan": "model"}


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Mapping[str, Any]]]:
    """The figures of nested objects, with dotted names; what is no figure is left out."""
    found: list[tuple[str, Mapping[str, Any]]] = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            is_figure = {"value", "low", "high", "n"} <= set(value)
            found += [(f"{prefix}{key}", value)] if is_figure else _flat(value, f"{prefix}{key}.")
    return found


def _interval(figure: Mapping[str, Any]) -> Interval:
    return Interval(float(figure["value"]), float(figure["low"]), float(figure["high"]), int(figure["n"]))
