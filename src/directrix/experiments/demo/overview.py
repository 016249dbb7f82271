"""One picture of a comparison, for a README: a row a prompt, unsteered left, the same seeds steered right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from directrix.measurement.reports.before_after import SIDES, Comparison

if TYPE_CHECKING:
    from PIL.Image import Image

CELL = 96
GAP = 4
MIDDLE = 28
LABEL = 170
HEAD = 34
INK, SOFT, PAPER = (29, 33, 38), (90, 99, 110), (255, 255, 255)


def overview(comparisons: Sequence[Comparison], columns: int = 5) -> Image:
    """Return an RGB picture of the first `columns` pictures of every prompt and side, with their prompts."""
    from PIL import Image as images_of
    from PIL import ImageDraw, ImageFont

    columns = min(columns, *(len(one.steered) for one in comparisons))
    half = columns * (CELL + GAP)
    size = (LABEL + 2 * half + MIDDLE, HEAD + len(comparisons) * (CELL + GAP))
    sheet = images_of.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=17)
    for index, side in enumerate(SIDES):
        left = LABEL + index * (half + MIDDLE)
        pen.text((left, 8), f"{side}, the same seeds" if index else side, fill=SOFT, font=font)
        for row, one in enumerate(comparisons):
            top = HEAD + row * (CELL + GAP)
            if index == 0:
                pen.text((4, top + CELL // 2 - 10), one.prompt, fill=INK, font=font)
            for column, picture in enumerate(one.side(side)[:columns]):
                cell = picture.image.convert("RGB").resize((CELL, CELL), images_of.Resampling.LANCZOS)
                sheet.paste(cell, (left + column * (CELL + GAP), top))
    return sheet
