"""What files keep, so that an experiment that was stopped does nothing twice: figures as JSON, and directions."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from directrix.directions.direction import Direction
from directrix.errors import OutputError
from directrix.models.files import write_atomically
from directrix.reading import json_text
from directrix.reading.source import MEBIBYTE, Source

# Where a direction's recipe keeps what it was asked for.
ASKED = "asked"


def cached(note: Path, measure: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """What the file ``note`` holds, as JSON; where it isn't there, what ``measure`` returns, written there first."""
    if not note.exists():
        write_atomically(note, (json.dumps(measure(*arguments)) + "\n").encode())
    remedy = "delete it: it is measured anew."
    return json_text.read(Source(note, OutputError, "figures as they were written.", remedy, most=64 * MEBIBYTE))


def store(direction: Direction, file: Path, asked: Mapping[str, Any]) -> Direction:
    """Saves a direction with what it was asked for (JSON values), by which it is known again, and returns it so."""
    direction = direction.with_(recipe={**direction.recipe, ASKED: json.loads(json.dumps(asked))})
    direction.save(file)
    return direction


def stored(file: Path) -> tuple[Direction, Any]:
    """A direction and what it was asked for; None where the file does not say."""
    direction = Direction.load(file)
    return direction, direction.recipe.get(ASKED)
