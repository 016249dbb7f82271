"""JSON, and files with one JSON object a line."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from directrix.errors import DirectrixError
from directrix.reading.source import MEBIBYTE, Source
from directrix.reading.values import DEPTH, Unbounded, check_texts, no_number, real, whole

LOG = logging.getLogger(__name__)
LINE = MEBIBYTE  # bytes of one line at most
# Whole texts, so that brackets inside them do not count; one that never ends is a text to its end.
_PARTS = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)
_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def read(source: Source, *, infinite: bool = False) -> Any:
    """What a file of JSON holds; infinite: numbers without end may be among it, as diffusers' schedulers save them."""
    return parsed(source.text(), source, infinite=infinite)


def parsed(text: str, source: Source, place: str = "", *, infinite: bool = False) -> Any:
    """What JSON text of a source holds; `place` is where in it, such as " > metadata"; infinite: see `read`.

    Raises an error of the source's type: no JSON, too deep, a number without end or not finite, half a character.
    """
    try:
        check_depth(text)
        value = json.loads(text, parse_int=whole, parse_float=real, parse_constant=float if infinite else no_number)
        if _ESCAPED_SURROGATE.search(text):
            check_texts(value)
    except Unbounded as problem:
        line = text.count("\n", 0, text.find(problem.text)) + 1 if "\n" in text.strip() and problem.text else 0
        where = f", line {line}" if line else ""
        raise source.wrong(f"{place} holds {problem}{where}".lstrip()) from problem
    except (ValueError, RecursionError) as problem:
        raise source.wrong(f"{place} is not JSON: {problem}".lstrip()) from problem
    return value


def check_depth(text: str) -> None:
    """Raises Unbounded where lists and objects are too deep inside one another."""
    if text.count("[") + text.count("{") <= DEPTH:
        return
    depth = 0
    for part in _PARTS.finditer(text):
        first = part[0][0]
        depth += (first in "[{") - (first in "]}")
        if depth > DEPTH:
            raise Unbounded(f"more than {DEPTH} lists and mappings inside one another")


def lines(source: Source, checked: Callable[[Any], Any]) -> Iterator[Any]:
    """What `checked` makes of each line of a file, one by one; a line that is none is left out, with a note.

    Lines end with "\\n" and with nothing else. Empty lines say nothing.

    checked: raises DirectrixError for a value that is none.
    """
    wrong: list[tuple[int, str]] = []
    with source.opening(), Path(source.path).open("rb") as file:
        number = 0
        while line := file.readline(LINE + 1):
            number += 1
            if len(line) > LINE:
                wrong.append((number, f"it has more than {LINE:,} bytes"))
                while not line.endswith(b"\n") and line:
                    line = file.readline(LINE)
                continue
            if not line.strip():
                continue
            try:
                yield checked(parsed(source.decoded(line), source))
            except DirectrixError as problem:
                wrong.append((number, problem.happened.removeprefix(f"{source} ").rstrip(".")))
    if wrong:
        some = "1 line is" if len(wrong) == 1 else f"{len(wrong)} lines are"
        LOG.warning("%s left out of %s, the first is line %s: %s.", some, source, *wrong[0])
