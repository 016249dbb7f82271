"""The picture of a direction's card: the same seeds at rising strengths, and below them what the judge saw."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from directrix.directions.target_label import TargetLabel

if TYPE_CHECKING:
    from PIL.Image import Image

Colour = tuple[int, int, int]

# Pixels. A picture whose shorter side is below LEAST is enlarged by a whole number, one above MOST is reduced.
LEAST, MOST = 96, 192
MARGIN, GAP, LABEL = 20, 6, 150
TITLE, HEAD, LEGEND, PLOT, TICKS = 34, 24, 34, 200, 44
# Between the plot's edge and the values 0 and 1, so that points there are whole.
PAD = 8
# Lines are drawn this many times as large and reduced, which smooths them.
FINE = 4

# The colours of page.css.
PAPER, INK, SOFT, LINE = (251, 250, 247), (29, 33, 38), (90, 99, 110), (226, 223, 216)
EFFECT, RETAINED = (31, 122, 120), (185, 84, 44)
BAND = tuple(round(0.2 * a + 0.8 * b) for a, b in zip(EFFECT, PAPER, strict=True))


@dataclass(frozen=True)
class Strip:
    """Pictures of some prompts at rising strengths: by prompt, one picture a strength, all of the same size."""

    strengths: tuple[float, ...]
    rows: Sequence[tuple[str, Sequence[Image]]]


def picture(card: Mapping[str, Any], strip: Strip) -> Image:
    """Return an RGB picture: the strip, a row a prompt, and a chart of effect and kept subjects against strength."""
    from PIL import Image as images_of
    from PIL import ImageDraw

    cells = [(prompt, [cell(image) for image in images]) for prompt, images in strip.rows]
    width, height = cells[0][1][0].size
    left, top = MARGIN + LABEL, MARGIN + TITLE + HEAD
    centres = [left + column * (width + GAP) + width // 2 for column in range(len(strip.strengths))]
    plot_top = top + len(cells) * (height + GAP) + LEGEND
    size = (left + len(centres) * (width + GAP) - GAP + MARGIN, plot_top + PLOT + TICKS + MARGIN)
    sheet = images_of.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(sheet)
    title = f"{card['name']}: the same seeds at rising strength"
    pen.text((MARGIN, MARGIN), _lines(pen, title, 20, size[0] - 2 * MARGIN)[0], INK, font=_font(20))
    for strength, x in zip(strip.strengths, centres, strict=True):
        pen.text((x, top - HEAD / 2), _strength(strength), SOFT, font=_font(15), anchor="mm")
    for row, (prompt, images) in enumerate(cells):
        y = top + row * (height + GAP)
        words = "\n".join(_lines(pen, prompt, 15, LABEL - 2 * GAP)[: height // 20])
        pen.text((MARGIN, y + height // 2), words, INK, font=_font(15), anchor="lm", spacing=5)
        for column, image in enumerate(images):
            sheet.paste(image, (left + column * (width + GAP), y))
    _chart(sheet, card, strip.strengths, centres, plot_top)
    return sheet


def cell(image: Image) -> Image:
    """The picture as the strip shows it, RGB: with hard pixels where enlarged, smooth where reduced."""
    from PIL import Image as images_of

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


def _chart(sheet: Image, card: Mapping[str, Any], shown: Sequence[float], centres: Sequence[int], top: int) -> None:
    """Draws the chart below the strip; a strength stands under its pictures where both have the same range."""
    from PIL import ImageDraw

    rows = card["strengths"]
    measured = [row["strength"] for row in rows]
    low, high = min(*shown, *measured), max(*shown, *measured)
    first, last = centres[0], centres[-1]

    def across(strength: float) -> float:
        return first + (last - first) * (strength - low) / (high - low)

    def down(share: float) -> float:
        return top + PAD + (PLOT - 2 * PAD) * (1 - share)

    retained = [row["kept"] and row["kept"]["value"] for row in rows]
    box = (first - 2 * PAD, top, last + 2 * PAD, top + PLOT)
    sheet.paste(_curves(rows, retained, across, down, box), box[:2])
    pen = ImageDraw.Draw(sheet)
    for share in (0, 0.25, 0.5, 0.75, 1):
        pen.text((box[0] - 8, down(share)), f"{100 * share:.0f} %", SOFT, font=_font(14), anchor="rm")
    # A quarter's label would run into its neighbour's.
    for strength in sorted({*shown, low, high}):
        pen.text((across(strength), box[3] + 14), f"{strength:g}", SOFT, font=_font(14), anchor="mm")
    pen.text((across((low + high) / 2), box[3] + 34), "strength", SOFT, font=_font(14), anchor="mm")
    words = [(EFFECT, f"{TargetLabel(**card['aim'])}, with the 95 % interval")]
    if None not in retained:
        words.append((RETAINED, "same subject as unsteered"))
    x = float(box[0])
    for colour, text in words:
        pen.rounded_rectangle((x, top - 22, x + 16, top - 10), 2, fill=colour)
        pen.text((x + 24, top - 16), text, INK, font=_font(15), anchor="lm")
        x += 24 + pen.textlength(text, font=_font(15)) + 32


def _curves(
    rows: Sequence[Mapping[str, Any]],
    retained: Sequence[float | None],
    across: Callable[[float], float],
    down: Callable[[float], float],
    box: tuple[int, int, int, int],
) -> Image:
    """The lines, the band and the grid within the box, smooth."""
    from PIL import Image as images_of
    from PIL import ImageDraw

    width, height = box[2] - box[0], box[3] - box[1]
    large = images_of.new("RGB", (FINE * width, FINE * height), PAPER)
    pen = ImageDraw.Draw(large)

    def points(values: Sequence[float]) -> list[tuple[float, float]]:
        return [
            (FINE * (across(row["strength"]) - box[0]), FINE * (down(value) - box[1]))
            for row, value in zip(rows, values, strict=True)
        ]

    def curve(values: Sequence[float], colour: Colour) -> None:
        pen.line(points(values), colour, width=FINE * 2 + FINE // 2, joint="curve")
        for x, y in points(values):
            r = 4 * FINE
            pen.ellipse((x - r, y - r, x + r, y + r), colour)

    effect = [row["effect"] for row in rows]
    ends = points([each["high"] for each in effect]) + points([each["low"] for each in effect])[::-1]
    pen.polygon(ends, fill=BAND)
    for share in (0, 0.25, 0.5, 0.75, 1):
        y = FINE * round(down(share) - box[1])
        pen.rectangle((0, y, large.width, y + FINE - 1), LINE)
    zero = FINE * round(across(0.0) - box[0])
    pen.rectangle((zero, 0, zero + FINE - 1, large.height), LINE)
    shares = [value for value in retained if value is not None]
    if len(shares) == len(rows):
        curve(shares, RETAINED)
    curve([each["value"] for each in effect], EFFECT)
    return large.reduce(FINE)


def _strength(value: float) -> str:
    return f"{value:+g}" if value else "unsteered"


def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size=size)


def _lines(pen: Any, text: str, size: int, width: int) -> list[str]:
    """The text's words in lines of at most so many pixels; a longer word is cut off."""
    lines: list[str] = [""]
    for word in text.split():
        while pen.textlength(word, font=_font(size)) > width:
            word = word[:-1]
        longer = f"{lines[-1]} {word}".strip()
        if pen.textlength(longer, font=_font(size)) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
