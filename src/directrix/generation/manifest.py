"""The manifest of a folder of pictures: one JSON line per picture.

Lines are appended while pictures are drawn, so that a run which is stopped loses nothing. The last line of a
file counts; a line that was cut off is ignored.
"""

from __future__ import annotations

import hashlib
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
# What version 0.1 called keys of rows, keys of an intervention's settings, and methods.
_OLD_KEYS = {"told": "rewritten_prompt"}
_OLD_SETTINGS = {"in the place of": "attributes", "held": "feedback", "spare": "retain"}
_OLD_METHODS = {"replaced": "project-and-set", "held": "feedback", "aligned": "nearest", "removed": "erase"}


@dataclass(frozen=True)
class Record:
    """One picture and all that is needed to draw it again.

    Args:
        prompt: its prompt.
        prompt_index: place of the prompt in the run.
        image_index: place of the picture among those of its prompt.
        seed: the run's seed.
        path: its PNG file; None without an output folder.
        interventions: settings of each intervention, with this picture's own strengths.
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

    @property
    def image(self) -> Image:
        """The picture, RGB; read from its file where it has one, so that long runs fit in memory."""
        if self._image is not None:
            return self._image
        from PIL import Image as images_of

        if self.path is None:
            raise OutputError("This record holds no picture.", "a record that `generate` returned.")
        with images_of.open(self.path) as image:
            return image.convert("RGB")


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
            "run it again: finished pictures are kept.",
        ) from error


def sha256(data: bytes) -> str:
    """Hash of a picture's file."""
    return hashlib.sha256(data).hexdigest()
