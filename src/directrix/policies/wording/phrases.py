"""The phrases that a prompt is read with: the shipped ones and the user's, entered in tables by first word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from directrix.errors import PhraseError
from directrix.policies.wording import phrase_file
from directrix.policies.wording.lexicon import Lexicon, expand
from directrix.policies.wording.phrase_file import PhraseFile
from directrix.policies.wording.tokens import Word, plural, verb_forms
from directrix.policies.wording.types import Kind


class Beside(NamedTuple):
    """Words of which a prompt must hold one (`near`), and words of which it must hold none."""

    near: Lexicon[bool] | None
    not_near: Lexicon[bool] | None

    def fits(self, words: Sequence[Word]) -> bool:
        """Whether the prompt is such a one."""
        near, not_near = (
            lexicon is not None and any(lexicon.match(words, at) for at in range(len(words))) for lexicon in self
        )
        return (near or self.near is None) and not not_near


class Named(NamedTuple):
    """A word that stands for an attribute or an anti-concept. The word is a noun in the plural ("plural"), another
    noun ("noun"), a verb ("finite" or "participle") or an adjective ("state")."""

    kind: Kind
    name: str
    form: str = "noun"
    beside: Beside | None = None


class Whole(NamedTuple):
    """What a whole phrase switches on, and where."""

    kind: Kind
    name: str
    of: str
    beside: Beside | None
    before: Lexicon[bool] | None
    not_before: Lexicon[bool] | None
    through: bool
    rewritten: str


class Closing(NamedTuple):
    """What ends a denial on both sides of a thing, and what is told instead of it all."""

    after: Lexicon[bool]
    rewritten: str


class Value(NamedTuple):
    """A word for one value of an attribute: `told` stands in for it, and is empty for an adjective."""

    value: str
    rewritten: str
    plural: bool


class Values(NamedTuple):
    """The words for the values of one attribute, as `phrase_file.Kinds`."""

    name: str
    words: Lexicon[Value]
    heads: Lexicon[bool]
    tails: Lexicon[bool]
    least: int
    joined: str


class Phrases:
    """The phrases that `understand` knows.

    `Phrases.load()` holds the shipped ones; `Phrases.load("mine.yaml")` those and yours.
    """

    def __init__(self, *files: PhraseFile) -> None:
        spellings = {key.casefold(): value for file in files for key, value in file.spellings.items()}
        self.spellings: Mapping[str, str] = spellings
        self.named: Lexicon[Named] = Lexicon(spellings)
        self.unread: Lexicon[bool] = Lexicon(spellings)
        self.objects: Lexicon[Named] = Lexicon(spellings)
        self.acts: Lexicon[Named] = Lexicon(spellings)
        self.free: Lexicon[Named] = Lexicon(spellings)
        self.whole: Lexicon[Whole] = Lexicon(spellings)
        self.lookalikes: Lexicon[bool] = Lexicon(spellings)
        self.subjects: Lexicon[bool] = Lexicon(spellings)
        self.others: Lexicon[bool] = Lexicon(spellings)
        self.negation: Lexicon[str] = Lexicon(spellings)
        self.negation_after: Lexicon[bool] = Lexicon(spellings)
        self.around: Lexicon[Closing] = Lexicon(spellings)
        self.gone: Lexicon[bool] = Lexicon(spellings)
        self.there: Lexicon[bool] = Lexicon(spellings)
        self.openness: Lexicon[str] = Lexicon(spellings)
        self.openness_after: Lexicon[bool] = Lexicon(spellings)
        self.sided: Lexicon[str] = Lexicon(spellings)
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
        plain: dict[str, Lexicon[bool]] = {
            "negation.after": phrases.negation_after,
            "negation.gone": phrases.gone,
            "negation.there": phrases.there,
            "openness.after": phrases.openness_after,
        }
        keyed = {"negation": phrases.negation, "openness": phrases.openness, "sided": phrases.sided}
        for group, cues in self.file.cues.items():
            for key, listed in cues.items():
                for phrase in listed:
                    name = f"{group}.{key}"
                    if name in plain:
                        self._add(plain[name], phrase, True, f"cues.{name}")
                    else:
                        self._add(keyed[group], phrase, key, f"cues.{name}")
        for number, around in enumerate(self.file.around):
            where = f"cues.negation.around[{number}]"
            closing = Closing(self._lexicon((around.after,), where), around.rewritten)
            self._add(phrases.around, around.before, closing, where)
        for key in ("lookalikes", "unread", "subjects", "others"):
            listed = self.file.lists[key]
            for phrase in listed if key == "lookalikes" else self._with_plurals(listed, key):
                self._add(getattr(phrases, key), phrase, True, key)

    def _entry(self, entry: phrase_file.Entry, where: str) -> None:
        phrases, kind, name = self.phrases, entry.kind, entry.name
        assert kind in ("balance", "absent")
        nouns = {"named": phrases.named, "bias": phrases.objects, "things": phrases.objects, "free": phrases.free}
        for key, listed in entry.lists.items():
            place = f"{where}.{key}"
            for term in listed:
                beside, phrase = self._beside(term, place), term.text
                for form in self._forms(phrase, place):
                    if key == "acts":
                        *finite, participle = verb_forms(form)
                        for each in finite:
                            self._add(phrases.acts, each, Named(kind, name, "finite", beside), place)
                        self._add(phrases.acts, participle, Named(kind, name, "participle", beside), place)
                    elif key == "states":
                        self._add(phrases.acts, form, Named(kind, name, "state", beside), place)
                    else:
                        self._add(nouns[key], form, Named(kind, name, "noun", beside), place)
                        self._add(nouns[key], plural(form), Named(kind, name, "plural", beside), place)
        for number, whole in enumerate(entry.phrases):
            place = f"{where}.phrases[{number}]"
            before, not_before = (
                self._lexicon(listed, f"{place}.{key}") if listed else None
                for key, listed in (("before", whole.before), ("not before", whole.not_before))
            )
            meaning = Whole(
                kind, name, whole.of, self._beside(whole, place), before, not_before, whole.through, whole.rewritten
            )
            self._add(phrases.whole, whole.text, meaning, place)
        phrases.values += tuple(self._values(name, kinds, where) for kinds in entry.kinds)

    def _values(self, name: str, kinds: phrase_file.Kinds, where: str) -> Values:
        words: Lexicon[Value] = Lexicon(self.phrases.spellings)
        for value, listed in kinds.words.items():
            for word in listed:
                rewritten, place = kinds.rewritten.get(word, ""), f"{where}.kinds.words.{value}"
                self._add(words, word, Value(value, rewritten, False), place)
                if rewritten:
                    self._add(words, plural(word), Value(value, plural(rewritten), True), place)
        heads, tails = (
            self._lexicon(self._with_plurals(nouns, f"{where}.kinds.{key}"), f"{where}.kinds.{key}")
            for key, nouns in (("heads", kinds.heads), ("tails", kinds.tails))
        )
        return Values(name, words, heads, tails, kinds.least, kinds.joined)

    def _beside(self, term: phrase_file.Term, where: str) -> Beside | None:
        if not term.near and not term.not_near:
            return None
        near, not_near = (
            self._lexicon(self._with_plurals(listed, f"{where}.{key}"), f"{where}.{key}") if listed else None
            for key, listed in (("near", term.near), ("not near", term.not_near))
        )
        return Beside(near, not_near)

    def _with_plurals(self, nouns: Sequence[str], where: str) -> list[str]:
        forms = [form for noun in nouns for form in self._forms(noun, where)]
        return [*forms, *map(plural, forms)]

    def _forms(self, phrase: str, where: str) -> list[str]:
        """All forms of a phrase, each as text."""
        try:
            return [" ".join(form) for form in expand(phrase, self.phrases.spellings)]
        except ValueError as error:
            raise self._wrong(phrase, where, error) from error

    def _lexicon(self, listed: Sequence[str], where: str) -> Lexicon[bool]:
        lexicon: Lexicon[bool] = Lexicon(self.phrases.spellings)
        for phrase in listed:
            self._add(lexicon, phrase, True, where)
        return lexicon

    def _add(self, lexicon: Lexicon[Any], phrase: str, meaning: Any, where: str) -> None:
        try:
            lexicon.add(phrase, meaning)
        except ValueError as error:
            raise self._wrong(phrase, where, error) from error

    def _wrong(self, phrase: str, where: str, error: ValueError) -> PhraseError:
        return PhraseError(
            f"'{where}' in {self.file.origin} holds the phrase '{phrase}': {error}.",
            "words; [word] may be left out, and a|b is a choice.",
            f"correct '{phrase}'.",
        )
