"""The manifest of a folder of images: one JSON line per image, which holds all that decides it.

Lines are appended while images are drawn, so that a run which is stopped loses nothing. The last line of a file counts;
a line that was cut off is ignored. `rows` says what a run's rows are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field

from directrix.checks import validated
from directrix.deprecation import upgraded
from directrix.errors import OutputError
from directrix.models.files import remove_leftovers, temporary_name, write_atomically
from directrix.reading import json_text
from directrix.reading.names import inside
from directrix.reading.source import Source

NAME = "manifest.jsonl"
# What version 0.1 called keys of rows, keys of an intervention's settings, and methods.
_OLD_KEYS = {"told": "rewritten_prompt"}
_OLD_SETTINGS = {"in the place of": "attributes", "held": "feedback", "spare": "retain"}
_OLD_METHODS = {"replaced": "project-and-set", "held": "feedback", "aligned": "nearest", "removed": "erase"}
Place = Annotated[int, Field(ge=0)]


class Read(BaseModel, strict=True):
    """What a closed loop read of an attribute of an image, and did."""

    given: str
    likelihood: dict[str, float]
    steered: bool


class Gate(BaseModel, strict=True, extra="allow"):
    """The rule that decided whether an attribute of a prompt is steered, and the prompt's word behind it."""

    rule: str
    steered: bool
    word: str = ""


class Row(BaseModel, strict=True, extra="allow"):
    """What is looked at of a row that is read, where it is there; a row of another program has no file."""

    file: str
    prompt: str = ""
    prompt_index: Place = 0
    image_index: Place = 0
    seed: Place = 0
    interventions: list[dict[str, Any]] = []
    assigned: dict[str, str] = {}
    unmet: list[str] = []
    gates: dict[str, Gate] = {}
    closed_loop: dict[str, Read] = {}
    sha256: str = ""
    method: str = ""
    prompt_id: str = ""
    versions: dict[str, str] = {}
    group: str | None = ""


# What pages show of every row, and what it is where a row leaves it out.
_SHOWN = ("prompt", "prompt_index", "image_index", "seed", "sha256", "method", "prompt_id", "group")
_LEFT_OUT = {name: Row.model_fields[name].default for name in _SHOWN}


def writable(folder: Path) -> None:
    """Makes the folder, and removes what dead writers left there; OutputError where files cannot be written to it."""
    probe = temporary_name(folder / "probe")
    with _explained("The folder", folder, "written", "another folder, or change its permissions."):
        folder.mkdir(parents=True, exist_ok=True)
        # Asking the system is not enough: a read-only disk says yes.
        probe.write_bytes(b"")
        probe.unlink()
    remove_leftovers(folder)


@contextmanager
def _explained(what: str, path: Path, done: str, remedy: str = "") -> Iterator[None]:
    try:
        yield
    except OSError as error:
        said = f"{what} '{path}' cannot be {done}: {error.strerror or error}.".lstrip()
        raise OutputError(said, "free space, in a folder that you may write to.", remedy) from error


def read(folder: Path) -> dict[str, dict[str, Any]]:
    """The rows by file name, in order of prompt and image, under today's names; empty where there is no manifest, and
    OutputError where it cannot be read."""
    if not (folder / NAME).exists():
        return {}
    source = Source(folder / NAME, OutputError, "a manifest.", "another folder.")
    # Most of what rows say they say alike, and one object for all of them is enough.
    same: dict[str, Any] = {}
    rows = {row["file"]: row for row in json_text.lines(source, lambda row: _checked(row, folder))}
    for row in rows.values():
        for key, value in row.items():
            if isinstance(value, dict | list):
                row[key] = same.setdefault(json.dumps(value), value)
    return dict(sorted(rows.items()))


def shown(folder: Path) -> dict[str, dict[str, Any]]:
    """As `read`, for pages: what a row leaves out of what they show is there, and empty."""
    rows = read(folder)
    for row in rows.values():
        for key, value in _LEFT_OUT.items():
            row.setdefault(key, value)
    return rows


def _checked(content: Any, folder: Path) -> dict[str, Any]:
    """A row under today's names; DirectrixError where it is none, or its file is outside the folder."""
    validated(Row, content, "the row")
    if inside(folder, content["file"]) is None:
        raise OutputError(f"its file is {content['file']!r}, which is not in the folder.")
    row = upgraded(content, _OLD_KEYS)
    if "interventions" in row:
        row["interventions"] = [_upgraded_settings(each) for each in row["interventions"]]
    return row


def _upgraded_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    new = upgraded(settings, _OLD_SETTINGS)
    for key in ("method", "combine"):
        if isinstance(new.get(key), str):
            new[key] = _OLD_METHODS.get(new[key], new[key])
    if isinstance(new.get("parts"), list):
        new["parts"] = [_upgraded_settings(each) if isinstance(each, Mapping) else each for each in new["parts"]]
    return new


def write(folder: Path, rows: Mapping[str, Mapping[str, Any]]) -> None:
    """Writes the whole manifest anew, in one step; OutputError where that cannot be done."""
    write_atomically(
        folder / NAME, ((json.dumps(rows[name], ensure_ascii=False) + "\n").encode() for name in sorted(rows))
    )


def append(folder: Path, row: Mapping[str, Any]) -> None:
    """Adds one line; OutputError where that cannot be done."""
    remedy = "run it again: finished images stay."
    with _explained("", folder / NAME, "written", remedy), (folder / NAME).open("a", encoding="utf-8") as file:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")


def sha256(data: bytes) -> str:
    """Hash of an image's file."""
    return hashlib.sha256(data).hexdigest()
