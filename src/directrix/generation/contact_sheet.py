"""Contact sheets: many images on one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from directrix.errors import OutputError

if TYPE_CHECKING:
    from PIL.Image import Image

_GAP = 4
_TEXT_HEIGHT = 16


def contact_sheet(images: Sequence[Image], columns: int, labels: Sequence[str] | None = None) -> Image:
    """Lays images out in rows, left to right, each with its label below.

    Args:
        images: images; each cell is as large as the largest of them.
        columns: images in a row, at least 1.
        labels: one per image; what does not fit its cell is cut off.

    Returns:
        An RGB image on white.

    Raises:
        OutputError: no images, no columns, or not one label per image.
    """
    from PIL import Image as images_of
    from PIL import ImageDraw

    if not images or columns < 1:
        raise OutputError(
            f"A contact sheet of {len(images)} images in {columns} columns is empty.",
            "at least one image and one column.",
        )
    if labels is not None and len(labels) != len(images):
        raise OutputError(f"There are {len(labels)} labels for {len(images)} images.", "one label per image.")
    columns = min(columns, len(images))
    rows = math.ceil(len(images) / columns)
    width = max(image.width for image in images)
    height = max(image.height for image in images)
    text = _TEXT_HEIGHT if labels is not None else 0
    size = (columns * (width + _GAP) + _GAP, rows * (height + text + _GAP) + _GAP)
    sheet = images_of.new("RGB", size, "white")
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        x, y = _GAP + column * (width + _GAP), _GAP + row * (height + text + _GAP)
        sheet.paste(image.convert("RGB"), (x, y))
        if labels is not None:
            # Drawn on a cell of its own, so that a long label is cut off and does not run into the next one.
            cell = images_of.new("RGB", (width, text), "white")
            ImageDraw.Draw(cell).text((1, 1), labels[index], fill="black")
            sheet.paste(cell, (x, y + height))
    return sheet
