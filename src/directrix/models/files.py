"""Files that are whole or not there."""

from __future__ import annotations

import os
import secrets
from os import PathLike
from pathlib import Path

from directrix.errors import OutputError


def write_atomically(path: str | PathLike[str], data: bytes) -> None:
    """Writes a file so that it is whole or not there, whatever else writes it: a temporary name, then a rename.

    Raises:
        OutputError: the place cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise OutputError(
            f"'{path}' cannot be written: {error.strerror or error}.",
            "a path in a folder that you may write to.",
            "another path, or free some space.",
        ) from error
    finally:
        if temporary.parent.is_dir():
            temporary.unlink(missing_ok=True)
