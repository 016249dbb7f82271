"""Bounds of what JSON and YAML may hold, and the check of single values."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

# Lists and mappings inside one another; sums of directions keep the recipes of their parts.
DEPTH = 400
DIGITS = 40
# Surrogates stand in pairs, or they are no character.
SURROGATE = re.compile("[\ud800-\udfff]")


class Unbounded(ValueError):
    """A value that no file of ours needs; the message ends the sentence "the file holds ...".

    text: the value as it stands in the file, by which its line is found.
    """

    def __init__(self, message: str, text: str = "") -> None:
        super().__init__(message)
        self.text = text


def whole(text: str) -> int:
    """A whole number of at most `DIGITS` digits."""
    if len(text) > DIGITS:
        raise Unbounded(f"a number of {len(text):,} characters", text)
    return int(text)


def real(text: str) -> float:
    """A finite number of at most ten times `DIGITS` characters."""
    if len(text) > 10 * DIGITS:
        raise Unbounded(f"a number of {len(text):,} characters", text)
    if not math.isfinite(found := float(text)):
        raise Unbounded(f"the number {text}, which is not finite", text)
    return found


def no_number(text: str) -> Any:
    """Raises for NaN and the infinities."""
    raise Unbounded(f"{text}, which is no finite number", text)


def encodable(text: str) -> str:
    """The text, which every file can hold."""
    if SURROGATE.search(text):
        raise Unbounded("half a character (a lone surrogate)")
    return text


def check_texts(value: Any) -> None:
    """Looks at every text in a value that is nested within bounds."""
    todo = [value]
    while todo:
        each = todo.pop()
        if isinstance(each, str):
            encodable(each)
        elif isinstance(each, Mapping):
            todo += [*each.keys(), *each.values()]
        elif isinstance(each, list | tuple):
            todo += each
