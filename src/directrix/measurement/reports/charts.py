"""Charts by matplotlib: bars by group as SVG inside a page, and effect against cost as an SVG file.

The same data give the same bytes. Inside a page the colours are the variables of page.css, so a chart follows the
reader's light or dark scheme. No global setting of matplotlib stays changed.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

import matplotlib
from matplotlib.figure import Figure as Canvas

from directrix.reading.names import visible

Figure = Mapping[str, Any]  # {"value", "low", "high"}; the ends of the interval may be left out

# The colours of page.css in its light scheme.
PAPER, INK, SOFT, LINE = "#fbfaf7", "#1d2126", "#5a636e", "#e2dfd8"
SERIES = ("#b9542c", "#1f7a78", "#4a63b8", "#a8801b", "#8a4fc8", "#5a636e")
_VARIABLES = {INK: "ink", SOFT: "soft", LINE: "line", **{colour: f"s{place}" for place, colour in enumerate(SERIES)}}
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "directrix",
    "svg.fonttype": "none",
    "font.family": ["DejaVu Sans"],
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": "none",
    "axes.labelcolor": SOFT,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
}
QUARTERS = (0, 0.25, 0.5, 0.75, 1)


class Group(NamedTuple):
    """A label with a figure in [0, 1] for each of several series, in their order; None where nothing was scored."""

    label: str
    figures: Sequence[Figure | None]
    strong: bool = False


def grouped_bars(title: str, groups: Sequence[Group], series: Sequence[str]) -> str:
    """Return an <svg> for a page, a bar for each group and series (at most six); `title` is read out in its place."""
    height = len(series) + 1.8  # of a group, in bars
    inches = 0.17 * height * len(groups) + 0.3
    with matplotlib.rc_context(STYLE):
        canvas = Canvas(figsize=(5, inches))
        axes = canvas.add_axes((0.02, 0.3 / inches, 0.96, 1 - 0.3 / inches))
        axes.set(xlim=(0, 1.12), ylim=(height * len(groups), 0), xticks=QUARTERS, yticks=[])
        axes.set_xticklabels([f"{tick:g}" for tick in QUARTERS])
        axes.grid(axis="x")
        for index, group in enumerate(groups):
            top = index * height
            weight = "bold" if group.strong else "normal"
            # Between two dollar signs matplotlib would read a formula.
            axes.text(0, top + 0.8, visible(group.label), weight=weight, va="center", parse_math=False)
            for place, figure in enumerate(group.figures):
                y, end = top + 1.9 + place, 0.0
                if figure is not None:
                    low, high = figure.get("low", figure["value"]), figure.get("high", figure["value"])
                    # An even mix is 0 wide; a hairline shows that it was measured.
                    axes.barh(y, max(figure["value"], 0.004), 0.8, color=SERIES[place])
                    axes.plot([low, high], [y, y], color=INK, linewidth=1.2)
                    end = max(figure["value"], high) + 0.012
                axes.text(end, y, _number(figure), va="center", size=9)
        text = svg(canvas)
    spoken = "; ".join(
        f"{label}: " + ", ".join(f"{name} {_number(one)}" for name, one in zip(series, figures, strict=True))
        for label, figures, _ in groups
    )
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var(--{variable})")
    # What a file needs and a page does not: its head, addresses, a style for all, and ids, which must be unique there.
    text = re.sub(
        r"<defs>\s*<style.*?</defs>|<!--.*?-->| id=\"[\w.]+_\d+\"", "", text[text.index("<svg") :], flags=re.S
    )
    size = re.search(r'viewBox="[^"]+"', text)
    label = escape(f"{title}. {spoken}")
    head = f'<svg class="chart" width="100%" {size[0] if size else ""} role="img" aria-label="{label}">'
    return head + text[text.index(">") + 1 :]


def cost_curve(points: Mapping[str, Sequence[Mapping[str, Any]]], title: str) -> str:
    """Return an SVG file: effect against cost on a logarithmic axis, one line a method.

    points: by method, rows of "evaluations" (0 or more; below 100 the axis is linear) and "effect", a figure.
    """
    free = any(row["evaluations"] <= 0 for rows in points.values() for row in rows)
    scale: dict[str, Any] = {"value": "symlog", "linthresh": 100} if free else {"value": "log"}
    with matplotlib.rc_context(STYLE):
        canvas = Canvas(figsize=(7.2, 4), layout="constrained")
        axes = canvas.add_subplot(ylim=(-0.02, 1.02), yticks=QUARTERS)
        axes.set_xscale(**scale)
        axes.set_xlabel("evaluations of the denoiser, for one concept")
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.set_title(title, loc="left", fontsize=10, parse_math=False)
        axes.grid()
        for place, (name, rows) in enumerate(points.items()):
            ordered = sorted(rows, key=lambda row: row["evaluations"])
            effects = [row["effect"] for row in ordered]
            axes.errorbar(
                [row["evaluations"] for row in ordered],
                [each["value"] for each in effects],
                [[abs(each[end] - each["value"]) for each in effects] for end in ("low", "high")],
                label=name,
                color=SERIES[place % len(SERIES)],
                # A shape for each, for people who do not see all colours.
                marker="osD^vP"[place % 6],
            )
        for name in canvas.legend(loc="outside right upper", frameon=False).get_texts():
            name.set_parse_math(False)
        return svg(canvas)


def svg(canvas: Any) -> str:
    """Return a figure as an SVG file, without a date; within ``rc_context(STYLE)``."""
    for artist in canvas.findobj():
        artist.set_clip_on(False)
    buffer = io.StringIO()
    with warnings.catch_warnings():
        # A prompt may be in any script; a box stands for what the font lacks.
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        canvas.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    return re.sub(r"[ \t]+\n", "\n", buffer.getvalue())


def _number(figure: Figure | None) -> str:
    return "not scored" if figure is None else f"{figure['value']:.2f}"
