"""The password of a page, with a bound on how often it can be guessed."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable

LOG = logging.getLogger(__name__)
MOST, WITHIN = 10, 60.0  # wrong guesses, and seconds


class Password:
    """Says whether a guess is right: as Gradio asks it, with a name that does not count.

    After `MOST` wrong guesses within `WITHIN` seconds no guess counts, not even the right one, until the oldest of them
    is as old as that. Whoever is in stays in. Who guesses is not asked: one machine can have many addresses.
    """

    def __init__(self, password: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._password, self._clock = password.encode(), clock
        self._wrong: deque[float] = deque(maxlen=MOST)
        self._lock = threading.Lock()

    def __call__(self, name: str, guess: str) -> bool:
        """Whether the guess is right, and counts."""
        with self._lock:
            now = self._clock()
            if len(self._wrong) == MOST and now - self._wrong[0] < WITHIN:
                LOG.warning("The studio was asked for with %d wrong passwords in a minute; it waits.", MOST)
                return False
            right = secrets.compare_digest(guess.encode(), self._password)
            if not right:
                self._wrong.append(now)
            return right
