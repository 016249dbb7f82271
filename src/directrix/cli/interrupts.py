"""Ctrl-C that another library catches and takes for an error of its own."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn


@contextmanager
def noticed() -> Iterator[Callable[[], bool]]:
    """Within, Ctrl-C raises KeyboardInterrupt as ever; yields what says whether that has happened."""
    pressed = threading.Event()
    default = signal.default_int_handler
    # Another thread may not set a handler, and somebody's own one stays.
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) is not default:
        yield pressed.is_set
        return

    def interrupt(number: int, frame: Any) -> NoReturn:
        pressed.set()
        default(number, frame)

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield pressed.is_set
    finally:
        signal.signal(signal.SIGINT, default)
