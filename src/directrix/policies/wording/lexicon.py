"""Phrases by their first word: the longest one that begins at a place in a sentence."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from typing import Generic, NamedTuple, TypeVar

from directrix.policies.wording.tokens import Word, read, texts

Meaning = TypeVar("Meaning")
# From an option such as "co-ed" to its words.
Reader = Callable[[str], tuple[str, ...]]


@cache
def words_of(option: str) -> tuple[str, ...]:
    """The words of an option in their plain forms."""
    return texts(read(option))


class Hit(NamedTuple, Generic[Meaning]):
    """A phrase found: the words up to (not including) `stop`, and all that it means."""

    stop: int
    meanings: tuple[Meaning, ...]


class Lexicon(Generic[Meaning]):
    """A table from phrases to meanings.

    A phrase may leave a word out, "[the]", and choose one, "his|her".
    """

    def __init__(self, reader: Reader = words_of) -> None:
        self._reader = reader
        self._table: dict[str, dict[tuple[str, ...], list[Meaning]]] = {}
        self._lengths: dict[str, tuple[int, ...]] = {}

    def __bool__(self) -> bool:
        return bool(self._table)

    def add(self, meaning: Meaning, *phrases: str) -> None:
        """Enters phrases in all their forms."""
        for form in itertools.chain.from_iterable(expand(phrase, self._reader) for phrase in phrases):
            meanings = self._table.setdefault(form[0], {}).setdefault(form, [])
            if meaning not in meanings:
                meanings.append(meaning)
            lengths = self._lengths.get(form[0], ())
            if len(form) not in lengths:
                self._lengths[form[0]] = tuple(sorted((*lengths, len(form)), reverse=True))

    def match(self, words: Sequence[Word], at: int) -> Hit[Meaning] | None:
        """The longest phrase that begins with the word at `at`."""
        if not 0 <= at < len(words):
            return None
        first = words[at].text
        for length in self._lengths.get(first, ()):
            meanings = self._table[first].get(texts(words[at : at + length]))
            if meanings and at + length <= len(words):
                return Hit(at + length, tuple(meanings))
        return None


def lexicon(phrases: Iterable[str], reader: Reader = words_of) -> Lexicon[bool]:
    """A table that only knows whether a phrase is there."""
    found: Lexicon[bool] = Lexicon(reader)
    found.add(True, *phrases)
    return found


def expand(phrase: str, reader: Reader = words_of) -> Iterator[tuple[str, ...]]:
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


def checked(phrase: str) -> str:
    """The phrase; ValueError where `expand` raises it."""
    next(expand(phrase))
    return phrase
