"""Figures that a file keeps, so that a comparison that was stopped measures none of them twice."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from directrix.models.files import write_atomically


def retained(note: Path, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What the file ``note`` holds, as JSON; where it isn't there, what ``measure`` returns, written there first."""
    if not note.exists():
        write_atomically(note, (json.dumps(measure()) + "\n").encode())
    return json.loads(note.read_text(encoding="utf-8"))
