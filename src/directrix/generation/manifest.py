"""The manifest of a folder of images: one JSON line per image.

Lines are appended while images are drawn, so that a run which is stopped loses nothing. The last line of a
file counts; a line that was cut off is ignored.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from directrix.deprecation import upgraded
from directrix.errors import OutputError
from directrix.models.files import write_atomically

if TYPE_CHECKING:
    from PIL.Image import Image

NAME = "manifest.jsonl"
_THUMBNAIL = 160  # pixels of its longer side
# What version 0.1 called keys of rows, keys of an intervention's settings, and methods.
_OLD_KEYS = {"told": "rewritten_prompt"}
_OLD_SETTINGS = {"in the place of": "attributes", "held": "feedback", "spare": "retain"}
_OLD_METHODS = {"replaced": "project-and-set", "held": "feedback", "aligned": "nearest", "removed": "erase"}


@dataclass(frozen=True, repr=False)
class Record:
    """One image and all that is needed to draw it again.

    Args:
        prompt: its prompt.
        prompt_index: place of the prompt in the run.
        image_index: place of the image among those of its prompt.
        seed: the run's seed.
        path: its PNG file; None without an output folder.
        interventions: settings of each intervention, with this image's own strengths.
        row: its row of the manifest.
        drawn: False if it was taken over from an earlier run.
    """

    prompt: str
    prompt_index: int
    image_index: int
    seed: int
    path: Path | None
    interventions: tuple[Mapping[str, Any], ...]
    row: Mapping[str, Any]
    drawn: bool = True
    _image: Image | None = None

    @classmethod
    def of(cls, row: Mapping[str, Any], folder: Path | None, image: Image | None = None, drawn: bool = True) -> Record:
        """The record of a row of the manifest; the image lies in the folder, or is given."""
        own = {name: row[name] for name in ("prompt", "prompt_index", "image_index", "seed")}
        path = None if folder is None else folder / row["file"]
        return cls(**own, path=path, interventions=tuple(row["interventions"]), row=row, drawn=drawn, _image=image)

    @property
    def image(self) -> Image:
        """The image, RGB; read from its file where it has one, so that long runs fit in memory."""
        if self._image is not None:
            return self._image
        from PIL import Image as images_of

        if self.path is None:
            raise OutputError("This record holds no image.", "a record that `generate` returned.")
        with images_of.open(self.path) as image:
            return image.convert("RGB")

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


def writable(folder: Path) -> None:
    """Makes the folder and makes sure that files can be written to it.

    Raises:
        OutputError: it cannot be written.
    """
    probe = folder / f".{os.getpid()}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Asking the system is not enough: a read-only disk says yes.
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise OutputError(
            f"The folder '{folder}' cannot be written: {error.strerror or error}.",
            "a folder that you may write to.",
            "another folder, or change its permissions.",
        ) from error


def read(folder: Path) -> dict[str, dict[str, Any]]:
    """The rows by file name, in order of prompt and image, under today's names; empty where there is no manifest.

    Raises:
        OutputError: the manifest cannot be read.
    """
    rows: dict[str, dict[str, Any]] = {}
    try:
        text = (folder / NAME).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return rows
    except OSError as error:
        raise OutputError(f"'{folder / NAME}' cannot be read: {error.strerror or error}.") from error
    for line in text.splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and isinstance(row.get("file"), str):
            row = upgraded(row, _OLD_KEYS)
            if "interventions" in row:
                row["interventions"] = [_upgraded_settings(each) for each in row["interventions"]]
            rows[row["file"]] = row
    return dict(sorted(rows.items()))


def _upgraded_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    new = upgraded(settings, _OLD_SETTINGS)
    for key in ("method", "combine"):
        if key in new:
            new[key] = _OLD_METHODS.get(new[key], new[key])
    if "parts" in new:
        new["parts"] = [_upgraded_settings(each) for each in new["parts"]]
    return new


def write(folder: Path, rows: Mapping[str, Mapping[str, Any]]) -> None:
    """Writes the whole manifest anew, in one step.

    Raises:
        OutputError: it cannot be written.
    """
    lines = (json.dumps(rows[name], ensure_ascii=False) + "\n" for name in sorted(rows))
    write_atomically(folder / NAME, "".join(lines).encode())


def append(folder: Path, row: Mapping[str, Any]) -> None:
    """Adds one line.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        with (folder / NAME).open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    except OSError as error:
        raise OutputError(
            f"'{folder / NAME}' cannot be written: {error.strerror or error}.",
            "free space, and a folder that you may write to.",
            "run it again: finished images stay.",
        ) from error


def sha256(data: bytes) -> str:
    """Hash of an image's file."""
    return hashlib.sha256(data).hexdigest()
