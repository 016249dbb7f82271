"""Files that the page hands out; they go when the studio ends."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path


def handed_out(name: str, content: bytes) -> str:
    """A file of that name with that content, where the page may hand it out."""
    path = Path(tempfile.mkdtemp(dir=_folder().name)) / name
    path.write_bytes(content)
    return str(path)


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="directrix-studio-")
