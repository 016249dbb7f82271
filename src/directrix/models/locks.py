"""One writer at a time: a folder that is written is locked, for other processes and for other threads of this one."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from directrix.errors import DirectrixError, OutputError
from directrix.models.files import remove_leftovers
from directrix.models.processes import first, together
from directrix.reading import json_text
from directrix.reading.source import Source

# The system's lock, which ends with its process, and who has it. Both stay hidden; the first one stays for ever, since
# a lock of a file that was removed would be no lock.
LOCK, HOLDER = ".lock", ".lock-holder.json"
_LOCKED: dict[Path, tuple[int, int]] = {}


@contextmanager
def locked(folder: Path, *, again: bool = False, temporary: bool = False) -> Iterator[None]:
    """Makes the folder; within, nobody else writes to it. What dead writers left is removed first.

    again: whether this thread may have locked it already, as a command does around the library's calls.
    temporary: whether the folder is removed where nothing is in it in the end.

    Processes of one launch have it together, from when the first has locked it until all are done.

    Raises:
        OutputError: somebody else has the lock, who is named; or the folder cannot be written.
    """
    with ExitStack() as stack:
        first(lambda: stack.enter_context(_locked(folder, again, temporary)))
        yield
        together(None)


@contextmanager
def _locked(folder: Path, again: bool, temporary: bool) -> Iterator[None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        place = folder.resolve()
    except OSError as error:
        raise _unusable(folder, error) from error
    me = (os.getpid(), threading.get_ident())
    if again and _LOCKED.get(place) == me:
        yield
        return
    lock = FileLock(place / LOCK, thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise OutputError(
            f"'{folder}' is being written by {_holder(place)}.",
            "one writer at a time.",
            "the same command when that is done, or another folder.",
        ) from None
    except OSError as error:
        raise _unusable(folder, error) from error
    try:
        _LOCKED[place] = me
        with suppress(OSError):
            here = {"process": os.getpid(), "machine": socket.gethostname()}
            since = datetime.now(UTC).isoformat(timespec="seconds")
            (place / HOLDER).write_text(json.dumps({**here, "since": since}), encoding="utf-8")
        remove_leftovers(place)
        yield
    finally:
        with suppress(OSError):
            (place / HOLDER).unlink(missing_ok=True)
            if temporary and [each.name for each in os.scandir(place)] == [LOCK]:
                (place / LOCK).unlink()
                place.rmdir()
        _LOCKED.pop(place, None)
        lock.release()


def _unusable(folder: Path, error: OSError) -> OutputError:
    said = f"The folder '{folder}' cannot be written: {error.strerror or error}."
    return OutputError(said, "free space, in a folder that you may write to.", "another folder.")


def _holder(folder: Path) -> str:
    """Who has the lock, in words; the file that says so may be missing for a moment."""
    try:
        said = json_text.read(Source(folder / HOLDER))
        return f"process {int(said['process'])} on {said['machine']} since {said['since']}"
    except (DirectrixError, KeyError, TypeError, ValueError):
        return "another process"
