"""A bar chart as inline SVG, with widths in per cent, so that its words keep their size on every screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

# Pixels of a group's label and the space around it, and of each of its bars.
HEAD, BAR = 24, 13
# Per cent of the width that a value of 1 takes; the rest holds the number beside the bar.
FULL = 86.0


class Bar(NamedTuple):
    """A value in [0, 1], None where there is none, and the ends of its interval, if it has one."""

    value: float | None
    low: float | None = None
    high: float | None = None


class Row(NamedTuple):
    """A label with a bar before and a bar after."""

    label: str
    before: Bar
    after: Bar
    strong: bool = False


class Group(NamedTuple):
    """A label with a bar for each of several series, in their order."""

    label: str
    bars: Sequence[Bar]
    strong: bool = False


def bars(title: str, rows: Sequence[Row]) -> str:
    """Return an <svg> of `rows`; `title` is read out in place of it. The page's style colours its classes."""
    groups = [Group(row.label, (row.before, row.after), row.strong) for row in rows]
    return grouped(title, groups, {"before": "before", "after": "after"})


def grouped(title: str, groups: Sequence[Group], series: Mapping[str, str]) -> str:
    """Return an <svg> of `groups`, with the name of each series and the class that the page's style colours."""
    row = HEAD + BAR * len(series)
    height = row * len(groups) + 28
    spoken = "; ".join(
        f"{group.label}: " + ", ".join(f"{name} {_number(bar)}" for name, bar in zip(series, group.bars, strict=True))
        for group in groups
    )
    parts = [
        f'<svg class="chart" width="100%" height="{height}" role="img" aria-label="{escape(title)}. {escape(spoken)}">'
    ]
    for tick in (0, 0.25, 0.5, 0.75, 1):
        x = _x(tick)
        parts.append(f'<line class="grid" x1="{x}" x2="{x}" y1="0" y2="{height - 22}"/>')
        anchor = "start" if tick == 0 else "middle"
        parts.append(f'<text class="tick" x="{x}" y="{height - 6}" text-anchor="{anchor}">{tick:g}</text>')
    for index, group in enumerate(groups):
        top = row * index
        strong = " strong" if group.strong else ""
        parts.append(f'<text class="label{strong}" x="0" y="{top + 15}">{escape(group.label)}</text>')
        for place, (side, bar) in enumerate(zip(series.values(), group.bars, strict=True)):
            parts.append(_bar(bar, side, top + 21 + BAR * place))
    return "".join(parts) + "</svg>"


def _bar(bar: Bar, side: str, top: int) -> str:
    if bar.value is None:
        return f'<text class="value" x="0" y="{top + 9}">not scored</text>'
    # An even mix is 0 wide; a hairline shows that it was measured.
    width = max(FULL * bar.value, 0.4)
    drawn = f'<rect class="{side}" x="0" y="{top}" width="{width:.2f}%" height="10" rx="2"/>'
    end = bar.value
    if bar.low is not None and bar.high is not None:
        middle = top + 5
        drawn += f'<line class="whisker" x1="{_x(bar.low)}" x2="{_x(bar.high)}" y1="{middle}" y2="{middle}"/>'
        end = max(end, bar.high)
    return drawn + f'<text class="value" x="{_x(end)}" dx="6" y="{top + 9}">{_number(bar)}</text>'


def _x(value: float) -> str:
    return f"{FULL * value:.2f}%"


def _number(bar: Bar) -> str:
    return "not scored" if bar.value is None else f"{bar.value:.2f}"
