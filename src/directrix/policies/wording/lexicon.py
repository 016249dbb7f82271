"""Phrases by their first word: the longest one that begins at a place in a sentence."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

from directrix.policies.wording.tokens import Word, read, texts

Meaning = TypeVar("Meaning")


class Hit(NamedTuple, Generic[Meaning]):
    """A phrase found: the words up to (not including) `stop`, and all that it means."""

    stop: int
    meanings: tuple[Meaning, ...]


class Lexicon(Generic[Meaning]):
    """A table from phrases to meanings.

    A phrase may leave a word out, "[the]", and choose one, "his|her".
    """

    def __init__(self, spellings: Mapping[str, str] | None = None) -> None:
        self._spellings = spellings or {}
        self._table: dict[str, dict[tuple[str, ...], list[Meaning]]] = {}
        self._lengths: dict[str, tuple[int, ...]] = {}

    def __bool__(self) -> bool:
        return bool(self._table)

    def add(self, phrase: str, meaning: Meaning) -> None:
        """Enter a phrase in all its forms.

        Raises:
            ValueError: it has no word, a stray bracket, or may be empty.
        """
        for form in expand(phrase, self._spellings):
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


def expand(phrase: str, spellings: Mapping[str, str] | None = None) -> Iterator[tuple[str, ...]]:
    """All forms of a phrase as tuples of words: "no matter [the] sex|gender" has four.

    Raises:
        ValueError: as for Lexicon.add.
    """
    choices: list[list[tuple[str, ...]]] = []
    for part in phrase.split():
        inner = re.fullmatch(r"\[([^\[\]]+)\]", part)
        options = (inner.group(1) if inner else part).split("|")
        if any(set(option) & set("[]") or not read(option) for option in options):
            raise ValueError(f"'{part}' is not a word, a choice a|b, or an optional [word]")
        choices.append([texts(read(option, spellings)) for option in options] + ([()] if inner else []))
    forms = [tuple(itertools.chain.from_iterable(choice)) for choice in itertools.product(*choices)]
    if not forms or () in forms:
        raise ValueError("a phrase needs at least one word that must be there")
    yield from forms
