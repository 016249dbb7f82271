"""The tables of README.md and docs, written from results/*.json between comments that name the command.

    <!-- table demo: written by `directrix report tables` from results/demo.json -->
    ...
    <!-- end of table -->

Numbers in prose go stale; those between the comments are always the last ones measured.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from directrix.deprecation import upgraded
from directrix.errors import DirectrixError, OutputError, suggestion
from directrix.measurement.metrics import Interval
from directrix.models.files import write_atomically

CARDS_GB = (8, 12, 24)
# What a card's driver, its context and split-up free memory leave of it.
USABLE = 0.9
LARGEST_BATCH = 64
_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
_STEPS = {
    "plain_step": "plain forward",
    "steered_step": "steered step",
    "discovery_step": "discovery step",
    "checkpointed_step": "discovery step, gradient checkpointing",
}
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


def _lines(heads: Sequence[str], rows: Iterable[Sequence[Any]], blank: str = "|  |") -> list[str]:
    """A table of Markdown. blank: how an empty cell is written."""
    body = ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    # Twice: two empty cells beside each other share a bar.
    body = [line.replace("|  |", blank).replace("|  |", blank) for line in body]
    return [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|", *body]


def demo_table(summary: Mapping[str, Any]) -> list[str]:
    """Return the before/after table of a demo's summary."""
    sides = [summary["unsteered"], summary["steered"]]
    rows = [
        ("gender deviation ratio (0 is even)", [side["deviation_ratio"]["gender"] for side in sides]),
        ("skin tone deviation ratio (0 is even)", [side["deviation_ratio"]["tone"] for side in sides]),
        ("subject accuracy", [side["subject_accuracy"] for side in sides]),
    ]
    heads = ("95 % intervals in brackets", "unsteered", "steered", "pictures")
    images = f"2 × {sides[1]['images']}"
    return _lines(heads, ([title, *map(_interval, figures), images] for title, figures in rows))


def world_table(report: Mapping[str, Any]) -> list[str]:
    """Return one row for each figure of `directrix world report --json`."""
    found = [(name, _interval(figure)) for name, figure in _flat(report)]
    return _lines(("figure", "value [95 % interval]", "n"), ((name, each, f"{each.n:,}") for name, each in found))


def occupations_table(figures: Mapping[str, Any]) -> list[str]:
    """Return one row for each side of `directrix bench occupations --json`."""
    rows = []
    for name in ("unsteered", "woman", "man"):
        side = upgraded(figures[name], {"left_behind": "missed"})
        missed = ", ".join(side.get("missed", ())) or ("none" if "missed" in side else "")
        rows.append((name, *(_interval(side[key]) for key in ("female", "male", "subject_accuracy")), missed))
    heads = ("steered by", "share of women", "share of men", "subject accuracy", "missed occupations")
    return _lines(heads, rows)


def discovery_table(figures: Mapping[str, Any]) -> list[str]:
    """Return one row for each method of `directrix bench discovery --json`, and what the default saves."""
    rows = []
    for name, row in figures["methods"].items():
        values = {
            key: [figure["value"] for figure in row[key].values()]
            for key in ("effect", "preservation", "leakage", "cosine_across_seeds")
        }
        mean = {key: f"{sum(column) / len(column):.2f}" for key, column in values.items()}
        cost = {key: row[key]["value"] for key in ("evaluations", "seconds", "memory_mb")}
        effect = f"{mean.pop('effect')} ({min(values['effect']):.2f})"
        spent = (f"{cost['evaluations']:,.0f}", f"{cost['seconds']:.1f}", f"{cost['memory_mb']:.0f}")
        rows.append((name, effect, *mean.values(), *spent))
    heads = ("method", "effect, mean (least) over concepts", "subject accuracy", "leakage, mean")
    lines = _lines((*heads, "cosine between seeds", "evaluations", "seconds", "MB"), rows)
    for key, ratio in figures.get("ratio", {}).items():
        parts = ", ".join(f"{value:,.0f} times for {count}" for count, value in ratio.items())
        lines += ["", f"Fewer {key} than the paper's recipe, per concept: {parts} at once."]
    return lines


def directions_table(figures: Mapping[str, Any]) -> list[str]:
    """Return the default method's directions under each intervention, from `directrix bench discovery --json`."""
    rows = []
    for name, given in figures["directions"]["concepts"].items():
        if "no_effect" in given:
            rows.append((name, "none seen", *[""] * 6))
            continue
        row = upgraded(given, {"replaced": "project_and_set", "held": "feedback", "told": "prompted"})
        named = [(key.replace("_", "-"), row[key]) for key in ("project_and_set", "feedback", "prompted") if key in row]
        for kind, acting in (("added", row), *named):
            label, change = max(acting["leakage"].items(), key=lambda item: abs(item[1]["value"]))
            more = (_interval(row["non_people"]), "yes" if row["monotone"] else "no") if acting is row else ("", "")
            rows.append(
                (
                    name,
                    kind,
                    _interval(acting["effect"]),
                    f"{acting['least']['occupation']} {_interval(acting['least'])}",
                    f"{_interval(acting['subject_accuracy'])} ({row['subject_unsteered']['value']:.2f})",
                    "{0} {value:+.2f} [{low:+.2f}, {high:+.2f}]".format(label, **change),
                    *more,
                )
            )
    heads = ("direction, strength 1.0", "is", "effect over 20 occupations", "least of them")
    more = ("largest change of another attribute", "non-people retained", "rises with strength")
    return _lines((*heads, "subject accuracy (unsteered)", *more), rows, "| |")


def wording_table(figures: Mapping[str, Any]) -> list[str]:
    """Return the figures of `directrix explain --score --json`."""
    heads = ("precision", "recall", "silent where nothing is asked")
    cells = [
        "{value:.3f} [{low:.3f}, {high:.3f}], n = {n}".format(**figures[name])
        for name in ("precision", "recall", "silent")
    ]
    return _lines(("held-out prompts", *heads), [(figures["prompts"], *cells)])


def evaluated_table(summary: Mapping[str, Any]) -> list[str]:
    """One row for each chosen figure of an evaluation, methods side by side; those that no method has are left out."""
    methods = summary["methods"]
    rows = []
    for row in _evaluated()[summary["benchmark"]]:
        figures = [_at(each, row["figure"].split()) for each in methods.values()]
        if any(figures):
            rows.append((row["title"], *map(_exact, figures)))
    heads = (f"{summary['prompts']:,} prompts × {summary['images_per_prompt']}", *methods)
    return _lines(heads, rows)


@cache
def _evaluated() -> Mapping[str, Sequence[Mapping[str, str]]]:
    import yaml

    return yaml.safe_load(Path(__file__).with_name("tables.yaml").read_text(encoding="utf-8"))


def _at(figures: Any, place: Sequence[str]) -> Mapping[str, Any] | None:
    for key in place:
        figures = figures.get(key) if isinstance(figures, Mapping) else None
    return figures if isinstance(figures, Mapping) and "value" in figures else None


def _exact(figure: Mapping[str, Any] | None) -> str:
    if figure is None:
        return ""
    name = f" ({figure['name']})" if "name" in figure else ""
    return "{value:.3f} [{low:.3f}, {high:.3f}]".format(**figure) + name


def full_size_table(figures: Mapping[str, Any]) -> list[str]:
    """Return a row for each step of each configuration of `directrix bench model --json`."""
    rows = []
    for name, row in figures["configs"].items():
        where = row["device"] if row["device"] != "cpu" else f"{row['threads']} thread{'s' * (row['threads'] != 1)}"
        for key, step in _STEPS.items():
            one, ratio = row[key], row["ratio"].get(key)
            times = "{value:.3f} [{low:.3f}, {high:.3f}]".format(**ratio["seconds"]) if ratio else ""
            # A GPU's are hundredths.
            seconds = f"{one['seconds']:.2f}" if one["seconds"] >= 1 else f"{one['seconds']:.4f}"
            memory = (f"{one['memory_mb']:,.0f}", f"{ratio['memory']:.3f}" if ratio else "")
            title = f"{name}, {row['dtype']}, {where}"
            rows.append((title, step, seconds, times, *memory, f"{one['activations_mb']:,.0f}"))
    heads = ("configuration", "step", "seconds", "times a plain forward", "MB at the peak")
    return _lines((*heads, "times a plain forward's", "beyond the weights, MB"), rows, "| |")


def plan_table(figures: Mapping[str, Any]) -> list[str]:
    """Return the largest batch of a discovery step that fits on each card, in half precision."""
    rows = []
    for name, row in figures["configs"].items():
        half = 2 / _BYTES[row["dtype"]]
        weights = row["weights_mb"] * half
        for key, note in (("discovery_step", ""), ("checkpointed_step", ", checkpointed")):
            each = row[key]["activations_mb"] * half
            fitting = [int((card * 1024 * USABLE - weights) / each) for card in CARDS_GB]
            batches = [f"{LARGEST_BATCH} and more" if fit >= LARGEST_BATCH else max(fit, 0) or "no" for fit in fitting]
            rows.append((f"{name}{note}", f"{weights:,.0f}", f"{each:,.0f}", *batches))
    heads = ("configuration, half precision", "weights, MB", "each picture of the batch, MB")
    return _lines((*heads, *(f"batch on {card} GB" for card in CARDS_GB)), rows)


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
    **dict.fromkeys(_evaluated(), evaluated_table),
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
