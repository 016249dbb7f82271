"""Phrases and what they mean: the longest one that begins at a place in a sentence."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Generic, NamedTuple, TypeVar

from directrix.policies.wording.tokens import read

Meaning = TypeVar("Meaning")
# From an option such as "co-ed" to its words.
Reader = Callable[[str], tuple[str, ...]]


def reader(spellings: Mapping[str, str]) -> Reader:
    """Reads the words of an option in their plain forms."""
    return cache(lambda option: tuple(word.text for word in read(option, spellings)))


_PLAIN = reader({})


class Hit(NamedTuple, Generic[Meaning]):
    """A phrase found: the words up to (not including) `stop`, and all that it means."""

    stop: int
    meanings: tuple[Meaning, ...]


class Lexicon(Generic[Meaning]):
    """A table from phrases to meanings.

    A phrase may leave a word out, "[the]", and choose one, "his|her".
    """

    def __init__(self, reader: Reader = _PLAIN) -> None:
        self._reader = reader
        self._table: dict[tuple[str, ...], list[Meaning]] = {}
        self._longest: dict[str, int] = defaultdict(int)

    def __bool__(self) -> bool:
        return bool(self._table)

    def add(self, meaning: Meaning, *phrases: str) -> Lexicon[Meaning]:
        """Enters phrases in all their forms."""
        for form in itertools.chain.from_iterable(expand(phrase, self._reader) for phrase in phrases):
            meanings = self._table.setdefault(form, [])
            if meaning not in meanings:
                meanings.append(meaning)
            self._longest[form[0]] = max(len(form), self._longest[form[0]])
        return self

    def match(self, words: Sequence[str], at: int) -> Hit[Meaning] | None:
        """The longest phrase that begins with the word at `at`."""
        if 0 <= at < len(words) and words[at] in self._longest:
            for stop in range(min(at + self._longest[words[at]], len(words)), at, -1):
                if meanings := self._table.get(tuple(words[at:stop])):
                    return Hit(stop, tuple(meanings))
        return None

    def past(self, words: Sequence[str], at: int) -> int:
        """Where the longest phrase that begins with the word at `at` ends; 0 for none."""
        hit = self.match(words, at)
        return hit.stop if hit else 0


def expand(phrase: str, reader: Reader = _PLAIN) -> Iterator[tuple[str, ...]]:
    """All forms of a phrase as tuples of words: "no matter [the] sex|gender" has four.

    Raises:
        ValueError: it has no word, a stray bracket, or may be empty.
    """
    choices: list[list[tuple[str, ...]]] = []
    for part in phrase.split():
        inner = re.fullmatch(r"\[([^\[\]]+)\]", part)
        options = (inner.group(1) if inner else part).split("|")
        found = [() if "[" in option or "]" in option else reader(option) for option in options]
        if not all(found):
            raise ValueError(f"'{part}' is not a word, a choice a|b, or an optional [word]")
        choices.append(found + ([()] if inner else []))
    if not any(all(options) for options in choices):
        raise ValueError("a phrase needs at least one word that must be there")
    yield from (tuple(itertools.chain.from_iterable(choice)) for choice in itertools.product(*choices))
