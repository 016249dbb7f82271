"""What the command line writes: results to standard output; notes, bars and errors to standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any


def note(text: str) -> None:
    """Write one line to standard error, where it does not mix with results."""
    print(text, file=sys.stderr, flush=True)


def result(text: str, data: Mapping[str, Any], as_json: bool) -> None:
    """Write a verb's result to standard output: `text` for people, or `data` as one JSON object."""
    print(json.dumps(data, indent=2, ensure_ascii=False) if as_json else text, flush=True)
