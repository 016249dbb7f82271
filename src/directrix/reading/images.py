"""Images from files, no larger than a model draws them."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from directrix.errors import OutputError, first_line
from directrix.reading.source import MEBIBYTE, Source

if TYPE_CHECKING:
    from os import PathLike

    from PIL.Image import Image

PIXELS = 64 * MEBIBYTE
FORMATS = ("PNG", "JPEG", "WEBP")


def read(path: str | PathLike[str]) -> Image:
    """The image in a PNG, JPEG or WebP file, as RGB.

    Raises OutputError: no such file, no image, or one of more than 64 million pixels.
    """
    from PIL import Image as images_of

    wanted, remedy = "the PNG file that was drawn.", "draw it again, or name another."
    source = Source(path, OutputError, wanted, remedy, most=4 * PIXELS)
    content = source.content()
    try:
        with images_of.open(io.BytesIO(content), formats=FORMATS) as image:
            if image.width * image.height > PIXELS:
                raise ValueError(f"it has {image.width} x {image.height} pixels")
            return image.convert("RGB")
    except Exception as problem:
        # Every format has errors of its own, and one for images that are too large.
        raise source.wrong(f"is no image ({first_line(problem)})") from problem
