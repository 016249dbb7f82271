"""The phrases that a prompt is read with: the shipped ones and the user's, entered in tables by first word."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from directrix.apply import phrase_file
from directrix.apply.lexicon import Lexicon
from directrix.apply.phrase_file import PhraseFile
from directrix.apply.words import plural, verb_forms
from directrix.errors import PhraseError

Kind = Literal["balance", "absent"]


class Named(NamedTuple):
    """A word that stands for an attribute or an anti-concept. The word is a noun in the plural ("plural"), another
    noun ("noun"), a verb ("finite" or "participle") or an adjective ("state")."""

    kind: Kind
    name: str
    form: str = "noun"


class Whole(NamedTuple):
    """What a whole phrase switches on, and where."""

    kind: Kind
    name: str
    of: str
    not_before: Lexicon[bool] | None
    told: str


class Value(NamedTuple):
    """A word for one value of an attribute: `told` stands in for it, and is empty for an adjective."""

    value: str
    told: str
    plural: bool


class Values(NamedTuple):
    """The words for the values of one attribute, as `phrase_file.Kinds`."""

    name: str
    words: Lexicon[Value]
    heads: Lexicon[bool]
    least: int


class Phrases:
    """The phrases that `understand` knows.

    `Phrases.load()` holds the shipped ones; `Phrases.load("mine.yaml")` those and yours.
    """

    def __init__(self, *files: PhraseFile) -> None:
        spellings = {key.casefold(): value for file in files for key, value in file.spellings.items()}
        self.spellings: Mapping[str, str] = spellings
        self.named: Lexicon[Named] = Lexicon(spellings)
        self.unread: Lexicon[bool] = Lexicon(spellings)
        self.things: Lexicon[Named] = Lexicon(spellings)
        self.acts: Lexicon[Named] = Lexicon(spellings)
        self.free: Lexicon[Named] = Lexicon(spellings)
        self.whole: Lexicon[Whole] = Lexicon(spellings)
        self.lookalikes: Lexicon[bool] = Lexicon(spellings)
        self.subjects: Lexicon[bool] = Lexicon(spellings)
        self.negation: Lexicon[str] = Lexicon(spellings)
        self.negation_after: Lexicon[bool] = Lexicon(spellings)
        self.openness: Lexicon[str] = Lexicon(spellings)
        self.openness_after: Lexicon[bool] = Lexicon(spellings)
        self.values: tuple[Values, ...] = ()
        names: dict[str, list[str]] = {"balance": [], "absent": []}
        for file in files:
            _Entering(self, file).enter()
            for entry in file.entries:
                if entry.name not in names[entry.kind]:
                    names[entry.kind].append(entry.name)
        self.names: Mapping[str, tuple[str, ...]] = {kind: tuple(listed) for kind, listed in names.items()}

    @classmethod
    def load(cls, *paths: str | Path) -> Phrases:
        """The shipped phrases and, added to them in order, those of YAML files with the same keys.

        Raises:
            PhraseError: a file is missing, no YAML, or does not follow the schema.
        """
        return cls(_shipped(), *(phrase_file.load(path) for path in paths)) if paths else _default()

    @classmethod
    def of(cls, *contents: Mapping[str, Any]) -> Phrases:
        """The shipped phrases and, added to them, mappings such as a YAML file holds.

        Raises:
            PhraseError: a mapping does not follow the schema.
        """
        return cls(_shipped(), *(phrase_file.of(each) for each in contents))


@cache
def _shipped() -> PhraseFile:
    return phrase_file.load(phrase_file.SHIPPED)


@cache
def _default() -> Phrases:
    return Phrases(_shipped())


class _Entering:
    """Enters one file's phrases; remembers the key, for errors."""

    def __init__(self, phrases: Phrases, file: PhraseFile) -> None:
        self.phrases, self.file = phrases, file

    def enter(self) -> None:
        for entry in self.file.entries:
            where = f"{entry.kind}.{entry.name}"
            self._entry(entry, where)
        phrases = self.phrases
        for group, before, after in (
            ("negation", phrases.negation, phrases.negation_after),
            ("openness", phrases.openness, phrases.openness_after),
        ):
            for key, listed in self.file.cues[group].items():
                for phrase in listed:
                    if key == "after":
                        self._add(after, phrase, True, f"cues.{group}.after")
                    else:
                        self._add(before, phrase, key, f"cues.{group}.{key}")
        for key in ("lookalikes", "unread", "subjects"):
            for phrase in self.file.lists[key]:
                self._add(getattr(phrases, key), phrase, True, key)
                if key != "lookalikes":
                    self._add(getattr(phrases, key), plural(phrase), True, key)

    def _entry(self, entry: phrase_file.Entry, where: str) -> None:
        phrases, kind, name = self.phrases, entry.kind, entry.name
        assert kind in ("balance", "absent")
        nouns = {
            "named": phrases.named,
            "bias": phrases.things,
            "things": phrases.things,
            "free": phrases.free,
        }
        for key, listed in entry.lists.items():
            for phrase in listed:
                place = f"{where}.{key}"
                if key == "acts":
                    *finite, participle = verb_forms(phrase)
                    for form in finite:
                        self._add(phrases.acts, form, Named(kind, name, "finite"), place)
                    self._add(phrases.acts, participle, Named(kind, name, "participle"), place)
                elif key == "states":
                    self._add(phrases.acts, phrase, Named(kind, name, "state"), place)
                else:
                    self._add(nouns[key], phrase, Named(kind, name), place)
                    self._add(nouns[key], plural(phrase), Named(kind, name, "plural"), place)
        for number, whole in enumerate(entry.phrases):
            not_before: Lexicon[bool] | None = Lexicon(phrases.spellings) if whole.not_before else None
            for phrase in whole.not_before:
                assert not_before is not None
                self._add(not_before, phrase, True, f"{where}.phrases[{number}].not before")
            meaning = Whole(kind, name, whole.of, not_before, whole.told)
            self._add(phrases.whole, whole.text, meaning, f"{where}.phrases[{number}]")
        phrases.values += tuple(self._values(name, kinds, where) for kinds in entry.kinds)

    def _values(self, name: str, kinds: phrase_file.Kinds, where: str) -> Values:
        words: Lexicon[Value] = Lexicon(self.phrases.spellings)
        heads: Lexicon[bool] = Lexicon(self.phrases.spellings)
        for value, listed in kinds.words.items():
            for word in listed:
                told, place = kinds.told.get(word, ""), f"{where}.kinds.words.{value}"
                self._add(words, word, Value(value, told, False), place)
                if told:
                    self._add(words, plural(word), Value(value, plural(told), True), place)
        for head in kinds.heads:
            for form in (head, plural(head)):
                self._add(heads, form, True, f"{where}.kinds.heads")
        return Values(name, words, heads, kinds.least)

    def _add(self, lexicon: Lexicon[Any], phrase: str, meaning: Any, where: str) -> None:
        try:
            lexicon.add(phrase, meaning)
        except ValueError as error:
            raise PhraseError(
                f"'{where}' in {self.file.origin} holds the phrase '{phrase}': {error}.",
                "words; [word] may be left out, and a|b is a choice.",
                f"correct '{phrase}'.",
            ) from error
