"""Effect against cost, as an SVG picture: one line a method, cost on a logarithmic axis."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 64, 150, 24, 56
# Told apart by people who see no red or no green, too; a shape for each as well.
COLOURS = ("#b3541e", "#1f5fa8", "#5a7d2a", "#7b4f9d", "#444444")


def curve(points: Mapping[str, Sequence[Mapping[str, Any]]], title: str) -> str:
    """Return the picture. ``points``: by method, rows of "evaluations" (> 0) and "effect" (an interval's dict)."""
    costs = [row["evaluations"] for rows in points.values() for row in rows]
    low = math.floor(math.log10(min(costs)))
    high = max(math.ceil(math.log10(max(costs))), low + 1)

    def x(cost: float) -> float:
        return round(LEFT + (math.log10(cost) - low) / (high - low) * (WIDTH - LEFT - RIGHT), 1)

    def y(effect: float) -> float:
        return round(TOP + (1 - effect) * (HEIGHT - TOP - BOTTOM), 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)}" font-family="system-ui, sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
    ]
    for tick in (0, 0.25, 0.5, 0.75, 1):
        parts.append(_line(LEFT, y(tick), WIDTH - RIGHT, y(tick), "#dddddd"))
        parts.append(_text(LEFT - 8, y(tick) + 4, f"{tick:g}", "end"))
    for power in range(low, high + 1):
        parts.append(_line(x(10**power), TOP, x(10**power), HEIGHT - BOTTOM, "#dddddd"))
        parts.append(_text(x(10**power), HEIGHT - BOTTOM + 18, f"{10**power:,}", "middle"))
    parts.append(
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14, "evaluations of the denoiser, for one concept", "middle")
    )
    parts.append(_text(LEFT, TOP - 8, title, "start"))
    ends: list[float] = []
    for colour, (name, rows) in zip(COLOURS * len(points), points.items(), strict=False):
        ordered = sorted(rows, key=lambda row: row["evaluations"])
        places = [(x(row["evaluations"]), y(row["effect"]["value"])) for row in ordered]
        path = " ".join(f"{a},{b}" for a, b in places)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for (a, b), row in zip(places, ordered, strict=True):
            parts.append(_line(a, y(row["effect"]["low"]), a, y(row["effect"]["high"]), colour))
            parts.append(f'<circle cx="{a}" cy="{b}" r="4" fill="{colour}"/>')
        # Names that would lie on each other are moved down.
        level = places[-1][1]
        while any(abs(level - other) < 16 for other in ends):
            level += 16
        ends.append(level)
        parts.append(_text(WIDTH - RIGHT + 12, level + 4, name, "start", colour))
        parts.append(_line(places[-1][0] + 6, places[-1][1], WIDTH - RIGHT + 8, level, colour, 0.5))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float = 1.0) -> str:
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{colour}" stroke-width="{width:g}"/>'


def _text(x: float, y: float, words: str, anchor: str, colour: str = "#333333") -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" fill="{colour}">{escape(words)}</text>'
