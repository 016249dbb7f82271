"""What a run found, in one sentence and as a table for a spreadsheet; prompts by their words."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from directrix.measurement.reports.sections import named

# The first of these that was measured is the result; whether less of it is better; what its ends mean.
_LEADING = (
    ("deviation_ratio_", True, "0 is an even mix, 1 a single category"),
    ("inappropriate_", True, "a share of the images"),
    ("obeyed", False, "a share of the prompts' images"),
    ("obeys_", False, "a share of the images"),
    ("psnr", False, "decibels, against the unsteered image of the same seed"),
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def sentence(summary: Mapping[str, Any]) -> str:
    """The result in a sentence: the leading metric of the first method and of each other one, and whether that is
    chance; "" where nothing was measured."""
    methods = summary["methods"]
    for start, less, meaning in _LEADING:
        metric = next((name for figures in methods.values() for name in figures if name.startswith(start)), None)
        means = {name: _mean(figures.get(metric)) for name, figures in methods.items()} if metric else {}
        found = {name: each for name, each in means.items() if each}
        if metric is None or not found:
            continue
        text = f"{named(metric)} is " + ", ".join(f"{each['value']:.2f} with {name}" for name, each in found.items())
        said = [f"{text} ({meaning})."]
        for name, figures in summary["paired"].items():
            difference = _mean(figures.get(metric))
            if difference:
                better = (difference["value"] < 0) == less
                clear = difference["low"] > 0 or difference["high"] < 0
                word = f"clearly {'better' if better else 'worse'} than" if clear else "no more than chance apart from"
                said.append(f"{name} is {word} {summary['compared_to']}.")
        return " ".join(said)
    return ""


def in_words(summary: Mapping[str, Any], prompts: Mapping[str, str]) -> dict[str, Any]:
    """The summary with each prompt's own words in place of its id, where it is a row's name; prompts: by id."""
    several = {text for text, count in Counter(prompts.values()).items() if count > 1}
    names = {each: f"{text} ({each})" if text in several else text for each, text in prompts.items()}

    def renamed(value: Any, listed: bool) -> Any:
        if not isinstance(value, Mapping):
            return value
        rows = {}
        for key, each in value.items():
            if key == "name" and isinstance(each, str):
                each = names.get(each, each)
            rows[names.get(key, key) if listed else key] = renamed(each, key in ("by_prompt", "by_group"))
        return rows

    counts = {
        method: {
            attribute: {kind: {names.get(each, each): row for each, row in of.items()} for kind, of in kinds.items()}
            for attribute, kinds in attributes.items()
        }
        for method, attributes in summary.get("counts", {}).items()
    }
    return {**summary, "methods": renamed(summary["methods"], False), "counts": counts}


def table(summary: Mapping[str, Any]) -> str:
    """All figures as CSV: method, metric, what they are of (all, a kind, a group or a prompt), value, interval, n."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["method", "metric", "part", "of", "value", "low", "high", "n"])
    for method, figures in summary["methods"].items():
        for metric, figure in figures.items():
            for part, name, each in _rows(figure):
                numbers = [each.get(key, "") for key in ("value", "low", "high", "n")]
                writer.writerow([*map(_text, (method, metric, part, name)), *numbers])
    return text.getvalue()


def _rows(figure: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    mean = _mean(figure)
    if mean:
        yield "all", "", mean
    for key in ("by_kind", "by_group", "by_prompt"):
        for name, each in figure.get(key, {}).items():
            inner = _mean(each)
            if inner:
                yield key.removeprefix("by_"), name, inner


def _mean(figure: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Of a metric its mean; a single figure is itself."""
    return figure if not figure or "value" in figure else figure.get("mean")


def _text(cell: str) -> str:
    """The cell, which a spreadsheet must not take for a formula."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell
