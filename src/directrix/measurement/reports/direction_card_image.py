"""The image of a direction's card: the same seeds at rising strengths, and below them what the judge saw."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image as images_of
from PIL.Image import Image

from directrix.directions.card import renewed
from directrix.directions.target_label import TargetLabel
from directrix.measurement.reports.charts import INK, LINE, PAPER, QUARTERS, SERIES, SOFT, STYLE

# Pixels. An image whose shorter side is below LEAST is enlarged by a whole number, one above MOST is reduced.
LEAST, MOST = 96, 192
MARGIN, GAP, LABEL = 20, 6, 150
TITLE, HEAD, LEGEND, PLOT, TICKS = 34, 24, 34, 200, 44
# Of a letter of a prompt, about.
LETTER = 8
# Between the plot's edge and the values 0 and 1, so that points there are whole.
PAD = 8
DPI = 100
RETAINED, EFFECT = SERIES[:2]
BAND = "#cfe0de"  # the effect's colour, thinned by four parts of paper


class Strip(NamedTuple):
    """Images of some prompts at rising strengths: by prompt, one image a strength, all of the same size."""

    strengths: tuple[float, ...]
    rows: Sequence[tuple[str, Sequence[Image]]]


def picture(card: Mapping[str, Any], strip: Strip) -> Image:
    """An RGB image: the strip, a row a prompt, and a chart of effect and retained subjects against strength."""
    heads = [f"{strength:+g}" if strength else "unsteered" for strength in strip.strengths]
    return sheet(f"{card['name']}: the same seeds at rising strength", heads, strip.rows, card, strip.strengths)


def sheet(
    title: str,
    heads: Sequence[str],
    rows: Sequence[tuple[str, Sequence[Image | None]]],
    card: Mapping[str, Any] | None = None,
    strengths: Sequence[float] = (),
) -> Image:
    """An RGB image of rows of images, each with its words on the left, under a title and a head a column.

    None in a row leaves a place empty. With a card, its chart lies below, from the first column to the last.
    """
    cells = [(words, [None if image is None else cell(image) for image in images]) for words, images in rows]
    across, down = next(image.size for _, images in cells for image in images if image is not None)
    left, top = MARGIN + LABEL, MARGIN + TITLE + HEAD
    plot_top = top + len(cells) * (down + GAP) + LEGEND
    width = left + len(heads) * (across + GAP) - GAP + MARGIN
    height = plot_top + PLOT + TICKS + MARGIN if card else plot_top - LEGEND - GAP + MARGIN
    with matplotlib.rc_context({**STYLE, "axes.facecolor": PAPER}):
        figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor=PAPER)
        if card:
            box = (left + across // 2 - 2 * PAD, plot_top, (len(heads) - 1) * (across + GAP) + 4 * PAD, PLOT)
            _chart(figure, card, strengths, box)
        figure.text(MARGIN / width, 1 - MARGIN / height, title, fontsize=15, va="top", parse_math=False)
        for column, head in enumerate(heads):
            x = left + column * (across + GAP) + across / 2
            figure.text(x / width, 1 - (top - HEAD / 2) / height, head, color=SOFT, ha="center", va="center")
        for row, (words, _) in enumerate(cells):
            lines = textwrap.wrap(words, LABEL // LETTER)[: down // 20]
            y = 1 - (top + row * (down + GAP) + down / 2) / height
            figure.text(MARGIN / width, y, "\n".join(lines), va="center", parse_math=False)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
    found = images_of.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    for row, (_, images) in enumerate(cells):
        for column, image in enumerate(images):
            if image is not None:
                found.paste(image, (left + column * (across + GAP), top + row * (down + GAP)))
    return found


def cell(image: Image) -> Image:
    """The image as a sheet shows it, RGB: with hard pixels where enlarged, smooth where reduced."""
    image = image.convert("RGB")
    short, long = sorted(image.size)
    if short < LEAST:
        factor = -(-LEAST // short)
        return image.resize((factor * image.width, factor * image.height), images_of.Resampling.NEAREST)
    if long > MOST:
        ratio = MOST / long
        size = (max(1, round(ratio * image.width)), max(1, round(ratio * image.height)))
        return image.resize(size, images_of.Resampling.LANCZOS)
    return image


def _chart(figure: Any, card: Mapping[str, Any], shown: Sequence[float], box: tuple[int, int, int, int]) -> None:
    """Draws effect and retained subjects into a box of pixels (left, top, width, height).

    A strength stands under its images where both have the same range.
    """
    card = renewed(card)
    strengths, effect = ([row[key] for row in card["strengths"]] for key in ("strength", "effect"))
    retained = [row["subject_retained"] and row["subject_retained"]["value"] for row in card["strengths"]]
    low, high = min(*shown, *strengths), max(*shown, *strengths)
    width, height = figure.bbox.width, figure.bbox.height
    left, top, across, down = box
    axes = figure.add_axes((left / width, 1 - (top + down) / height, across / width, down / height))
    pad = 2 * PAD * (high - low) / (across - 4 * PAD)
    rest = PAD / (down - 2 * PAD)
    axes.set(xlim=(low - pad, high + pad), ylim=(-rest, 1 + rest), xlabel="strength")
    ticks = sorted({*shown, low, high})
    axes.set_xticks(ticks, [f"{each:g}" for each in ticks])
    axes.set_yticks(QUARTERS, [f"{100 * share:.0f} %" for share in QUARTERS])
    axes.grid(axis="y")
    axes.axvline(0, color=LINE, linewidth=0.8)
    axes.fill_between(strengths, [one["low"] for one in effect], [one["high"] for one in effect], color=BAND, zorder=0)
    label = f"{TargetLabel(**card['target_label'])}, with the 95 % interval"
    if None not in retained:
        axes.plot(strengths, retained, color=RETAINED, marker="o", label="same subject as unsteered")
    axes.plot(strengths, [one["value"] for one in effect], color=EFFECT, marker="o", label=label)
    legend = axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, reverse=True)
    for text in legend.get_texts():
        text.set(color=INK, parse_math=False)
