"""What the command line writes beside results: notes, progress bars and errors to standard error, figures to files."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from directrix.progress import Progress

LIBRARY = logging.getLogger("directrix")
LOG = logging.getLogger("directrix.cli")


@contextmanager
def logging_to_stderr() -> Iterator[None]:
    """Shows what the library and the command line log, from INFO up; -v and -q change the level for one command."""
    handler, level = logging.StreamHandler(), LIBRARY.level
    LIBRARY.addHandler(handler)
    LIBRARY.setLevel(logging.INFO)
    try:
        yield
    finally:
        LIBRARY.removeHandler(handler)
        LIBRARY.setLevel(level)


def progress() -> Progress:
    """Bars with the time left, unless -q asks for silence."""
    from directrix import progress

    return progress.bars if LIBRARY.isEnabledFor(logging.INFO) else progress.silent


def write_json(figures: Mapping[str, Any], output: Path | None) -> None:
    """Writes figures to a file, where one is named."""
    from directrix.models.files import write_atomically

    if output is not None:
        write_atomically(output, (json.dumps(figures, indent=2) + "\n").encode())


def say_what_is_missing(summary: Mapping[str, Any]) -> None:
    """Notes what of a benchmark could not be measured, and why."""
    for what, why in summary["not_measured"].items():
        LOG.info("Not measured: %s, since %s.", what, why)
