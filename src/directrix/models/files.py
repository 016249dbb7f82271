"""Files that are whole or not there, and what writers that were killed left of theirs."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import socket
from collections.abc import Iterable
from contextlib import suppress
from os import PathLike
from pathlib import Path

import psutil

from directrix.errors import OutputError

# .NAME.PROCESS.part, and since version 0.3 .NAME.PROCESS-MACHINE-CALL.part
_TEMPORARY = re.compile(r"\..+\.(\d+)(?:-([0-9a-f]+)-[0-9a-f]+)?\.part")


def write_atomically(path: str | PathLike[str], data: bytes | Iterable[bytes]) -> None:
    """Writes a file so that it is whole or not there, whatever else writes it: a temporary name, then a rename.

    data: its content, whole or piece by piece.

    Raises:
        OutputError: the place cannot be written.
    """
    path = Path(path)
    temporary = temporary_name(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            for piece in [data] if isinstance(data, bytes) else data:
                file.write(piece)
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
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def temporary_name(path: Path) -> Path:
    """A name beside the file that no other process, thread or call takes."""
    return path.with_name(f".{path.name}.{os.getpid()}-{_machine()}-{secrets.token_hex(4)}.part")


def remove_leftovers(folder: Path) -> None:
    """Removes the temporary files of writers in this folder that are dead; those of living ones, and of other machines,
    stay.
    """
    with suppress(OSError):
        for entry in os.scandir(folder):
            found = _TEMPORARY.fullmatch(entry.name)
            if found and found[2] in (None, _machine()) and not _lives(int(found[1]), entry.stat().st_mtime):
                with suppress(OSError):
                    os.unlink(entry.path)


def _lives(process: int, since: float) -> bool:
    """Whether a process of this number was there at that time, and still is."""
    try:
        # The number of a dead process is given to another one some day; clocks of files are coarse.
        return psutil.Process(process).create_time() <= since + 2
    except psutil.NoSuchProcess:
        return False
    except (psutil.Error, OverflowError, ValueError):
        return True


def _machine() -> str:
    """A few digits that stand for this machine, as folders may be shared by several."""
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:6]
