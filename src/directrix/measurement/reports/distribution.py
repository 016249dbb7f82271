"""Shares of labels as bars of 100 %: what was wanted, and what each method draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from directrix.measurement.reports.html import legend

Counts = Mapping[str, Mapping[str, Mapping[str, int]]]  # by kind, group and label
UNSCORED = "unscored"
COLOURS = 9


def distribution(title: str, counts: Mapping[str, Counts], target: Mapping[str, float] | None = None) -> str:
    """Return a card with one bar for each method over all its pictures, and in its details one for each group.

    Args:
        counts: pictures by method, kind, group and label; "unscored" is shown in grey.
        target: wanted shares, shown first; None to leave that out.
    """
    labels = list(next(iter(next(iter(next(iter(counts.values())).values())).values())))
    colours = {label: "--none" if label == UNSCORED else f"--k{place % COLOURS}" for place, label in enumerate(labels)}
    rows = [] if target is None else [_row("wanted", dict(target), colours)]
    rows += [_row(method, total(list(each.values())), colours) for method, each in counts.items()]
    groups = list(dict.fromkeys(group for each in counts.values() for kind in each.values() for group in kind))
    details = "".join(
        f"<h4>{escape(group)}</h4>"
        + "".join(_row(method, _of_group(each, group), colours) for method, each in counts.items())
        for group in groups
    )
    more = f'<details><summary>By group</summary><div class="shares">{details}</div></details>' if details else ""
    return (
        f'<div class="card"><h3>{escape(title)}</h3>{legend(list(colours.items()))}'
        f'<div class="shares">{"".join(rows)}</div>{more}</div>'
    )


def total(parts: Sequence[Mapping[str, Mapping[str, int]]]) -> dict[str, int]:
    """The pictures by label over all groups of all parts."""
    found: dict[str, int] = {}
    for part in parts:
        for row in part.values():
            for label, count in row.items():
                found[label] = found.get(label, 0) + count
    return found


def _of_group(counts: Counts, group: str) -> dict[str, int]:
    return total([{group: kind[group]} for kind in counts.values() if group in kind])


def _row(name: str, values: Mapping[str, float], colours: Mapping[str, str]) -> str:
    whole = sum(values.values()) or 1
    told = ", ".join(f"{label} {value / whole:.0%}" for label, value in values.items() if value)
    parts = "".join(
        f'<i style="width:{100 * value / whole:.2f}%;background:var({colours[label]})"></i>'
        for label, value in values.items()
        if value
    )
    words = escape(f"{name}: {told}")
    return f'<span>{escape(name)}</span><div class="bar" role="img" aria-label="{words}" title="{words}">{parts}</div>'
