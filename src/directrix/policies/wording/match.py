"""What one rule of the grammar found at one place of a sentence, in places of words."""

from __future__ import annotations

from typing import NamedTuple

from directrix.policies.wording.types import Kind


class Part(NamedTuple):
    """The words from `start` up to `stop` switch `name` on; `told` stands in for them."""

    start: int
    stop: int
    kind: Kind
    name: str
    rewritten: str = ""


class Reading(NamedTuple):
    """What was understood, what looked like it and was not, and where to read on."""

    stop: int
    parts: tuple[Part, ...] = ()
    unknown: tuple[tuple[int, int], ...] = ()
