"""A reproduction as text: our rows beside the published ones, sources below, and what differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def table(result: Mapping[str, Any]) -> list[str]:
    """The lines of a result, as `Reproduction.run` returns it."""
    rows = result["rows"]
    sources = list(dict.fromkeys(row["source"] for row in rows))
    cells = [
        [
            row["name"],
            *(_cell(row["figures"].get(title)) for title in result["columns"]),
            f"[{sources.index(row['source']) + 1}]",
        ]
        for row in rows
    ]
    lines = [result["title"], "", *aligned([["", *result["columns"], ""], *cells])]
    if all(row["ours"] for row in rows):
        lines.append(f"No published figure of {result['experiment']} is known to us.")
    ours = [row for row in rows if row["ours"]]
    if result["details"]:
        parts = [[title, *(_cell(row["figures"].get(title)) for row in ours)] for title in result["details"]]
        lines += ["", *aligned([["", *(row["name"] for row in ours)], *parts])]
    lines += ["", *(f"[{place}] {source}" for place, source in enumerate(sources, start=1))]
    lines += ["", "Figures of ours have their 95 % interval in brackets."]
    if result["same_as_paper"]:
        lines.append("Every setting that is known of the paper is the paper's.")
    lines += _listed("Not as in the paper:", result["differences"])
    return lines + _listed("Not known of the paper:", result["unknown"])


def _listed(title: str, items: Sequence[str]) -> list[str]:
    return [title, *(f"- {each}" for each in items)] if items else []


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns of one width each: the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            f"{text:<{width}}" if place == 0 else f"{text:>{width}}"
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _cell(figure: Mapping[str, Any] | None) -> str:
    if figure is None:
        return "-"
    # Shares have two places that mean something, and so have scores of up to 100 with one.
    places = 2 if abs(figure["value"]) <= 1 else 1
    text = f"{figure['value']:.{places}f}"
    return text + (f" [{figure['low']:.{places}f}, {figure['high']:.{places}f}]" if "low" in figure else "")
