"""One image of a run, and all images of it, as notebooks show them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from directrix.reading.images import read as read_image

if TYPE_CHECKING:
    from PIL.Image import Image

_THUMBNAIL = 160  # pixels of its longer side


class Record:
    """One image and all that is needed to draw it again.

    `prompt` is its prompt, `prompt_index` the prompt's place in the run, `image_index` the image's place among those of
    its prompt, `seed` the run's seed, `interventions` the settings of each with this image's own strengths, and `path`
    its PNG file, None without an output folder.

    Args:
        row: its row of the manifest.
        folder: where its file is.
        image: the image itself, where there is no folder.
        drawn: False if it was taken over from an earlier run.
    """

    def __init__(
        self, row: Mapping[str, Any], folder: Path | None, image: Image | None = None, drawn: bool = True
    ) -> None:
        self.row, self.drawn, self._image = row, drawn, image
        self.prompt: str = row["prompt"]
        self.prompt_index, self.image_index, self.seed = (row[key] for key in ("prompt_index", "image_index", "seed"))
        self.interventions: tuple[Mapping[str, Any], ...] = tuple(row["interventions"])
        self.path = None if folder is None else folder / row["file"]

    @property
    def image(self) -> Image:
        """The image, RGB; read from its file where it has one, so that long runs fit in memory."""
        if self._image is not None:
            return self._image
        assert self.path is not None
        return read_image(self.path)

    def __repr__(self) -> str:
        given = "".join(f", {name}: {category}" for name, category in self.row.get("assigned", {}).items())
        return f"Record({self.prompt!r}, image {self.image_index}{given}, {self.path or 'in memory'})"

    def _repr_html_(self) -> str:
        """What notebooks show: a thumbnail over the prompt."""
        from base64 import b64encode
        from html import escape

        small, data = self.image.copy(), io.BytesIO()
        small.thumbnail((_THUMBNAIL, _THUMBNAIL))
        small.save(data, "PNG")
        source = f"data:image/png;base64,{b64encode(data.getvalue()).decode()}"
        text = escape(self.prompt)
        return (
            f'<figure style="display:inline-block;margin:4px;max-width:{_THUMBNAIL}px">'
            f'<img src="{source}" alt="{text}"><figcaption>{text}</figcaption></figure>'
        )


class Records(list[Record]):
    """The records of a run."""

    def _repr_html_(self) -> str:
        """What notebooks show: all thumbnails."""
        return "".join(each._repr_html_() for each in self)
