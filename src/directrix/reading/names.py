"""Names that files and people give: how they are printed, and which of them may stand for a file."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath, PureWindowsPath

from directrix.errors import DirectrixError
from directrix.reading.values import SURROGATE

# Whatever moves a terminal's cursor, changes its colours, turns its text round or is no character.
_UNSEEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

_LONGEST = 200  # bytes of a stem; a file's name has 255, of which temporary names take some


def visible(text: str) -> str:
    """The text with what a terminal would obey, rather than show, as an escape such as \\u001b; lines stay lines."""
    return _UNSEEN.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def file_stem(name: str) -> str:
    """What a file of this name is called, without its ending: what a file name cannot hold becomes "-"."""
    plain = re.sub(r"[^\w .+-]+", "-", name).strip(" .")
    while len(plain.encode()) > _LONGEST:
        plain = plain[:-1]
    return plain or "direction"


def path_of(text: str | Path, error: type[DirectrixError]) -> Path:
    """The path that a text means, with the home folder for "~"; an error where no file can have that name."""
    said = str(text)
    parts = PurePosixPath(said).parts
    if "\x00" in said or SURROGATE.search(said) or any(len(each.encode()) > 255 for each in parts) or len(said) > 4096:
        shown = said if len(said) < 80 else f"{said[:80]}..."
        raise error(f"No file can be called {shown!r}.", "the path of a file or folder.", "check the path.")
    try:
        return Path(said).expanduser()
    except RuntimeError as problem:
        raise error(f"There is no home folder in {said!r}.", "a user of this machine.", "the whole path.") from problem


def inside(folder: Path, name: str) -> Path | None:
    """The file of a folder that a name read from a file means; None where it means one outside.

    The name is relative and its parts are parted by "/". A link out of the folder leads outside as well.
    """
    parts = PurePosixPath(name).parts
    plain = parts and ".." not in parts and not name.startswith("/") and "\x00" not in name
    if not plain or "\\" in name or PureWindowsPath(name).drive or len(name) > 4096:
        return None
    if len(parts) == 1 and len(name) < 64 and not os.path.islink(folder / name):
        return folder / name
    try:
        path = (folder / name).resolve()
    except (OSError, RuntimeError, ValueError):
        return None
    return folder / name if path.is_relative_to(folder.resolve()) else None
