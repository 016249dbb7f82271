"""The command `directrix`, from its first moment: Ctrl-C ends it with one line, also while the library is loaded."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import NoReturn

INTERRUPTED = 130  # 128 and the number of the signal, as shells have it


def _leave(*_: object) -> NoReturn:
    os.write(2, b"directrix: Interrupted.\n")
    os._exit(INTERRUPTED)


def _again(ignored: sys.UnraisableHookArgs) -> None:
    """Repeats a Ctrl-C that came while Python ran what lets no exception out: a finalizer, or a weak reference's."""
    if ignored.exc_type is KeyboardInterrupt:
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
    else:
        sys.__unraisablehook__(ignored)


def main() -> int:
    """Runs the command line; returns its exit code (see `directrix.cli.main`)."""
    sys.unraisablehook = _again
    before = signal.signal(signal.SIGINT, _leave)
    from directrix.cli import main as run

    signal.signal(signal.SIGINT, before)
    try:
        return run()
    except KeyboardInterrupt:
        _leave()


if __name__ == "__main__":
    sys.exit(main())
