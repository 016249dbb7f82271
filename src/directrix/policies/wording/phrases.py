"""The phrases that a prompt is read with: the shipped ones and the user's, entered in tables."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from directrix.policies.wording import phrase_file
from directrix.policies.wording.lexicon import Lexicon, expand
from directrix.policies.wording.lexicon import reader as reader_of
from directrix.policies.wording.phrase_file import AntiConcept, Attribute, Kinds, PhraseFile, Term
from directrix.policies.wording.tokens import TABLES
from directrix.policies.wording.types import Kind

_PLURALS = (
    (r"(?<=[a-z]{2})(?<!\bhu)(?<!\bger)man$", "men"),
    (r"(s|x|z|ch|sh)$", r"\1es"),
    (r"([^aeiou])y$", r"\1ies"),
    (r"$", "s"),
)


class Beside(NamedTuple):
    """Words of which a prompt must hold one (`near`), and words of which it must hold none."""

    near: Lexicon[bool]
    not_near: Lexicon[bool]

    def fits(self, words: Sequence[str]) -> bool:
        """Whether the prompt is such a one."""
        near, not_near = (any(lexicon.past(words, at) for at in range(len(words))) for lexicon in self)
        return (near or not self.near) and not not_near


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
    before: Lexicon[bool]
    not_before: Lexicon[bool]
    through: bool
    rewritten: str


class Value(NamedTuple):
    """A word for one value of an attribute: `rewritten` stands in for it, and is empty for an adjective."""

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
        self.spellings: Mapping[str, str] = {
            key.casefold(): value for file in files for key, value in file.spellings.items()
        }
        self._reader = reader = reader_of(self.spellings)
        self.named, self.objects, self.acts, self.free = (Lexicon[Named](reader) for _ in range(4))
        self.whole: Lexicon[Whole] = Lexicon(reader)
        # What ends a denial on both sides of an object, and what is given instead of it all.
        self.around: Lexicon[tuple[Lexicon[bool], str]] = Lexicon(reader)
        self.negation, self.negation_after, self.gone, self.there = (Lexicon[str](reader) for _ in range(4))
        self.openness, self.openness_after, self.sided = (Lexicon[str](reader) for _ in range(3))
        self.lookalikes, self.unread, self.subjects, self.others = (Lexicon[bool](reader) for _ in range(4))
        self.values: tuple[Values, ...] = ()
        self.names: dict[str, tuple[str, ...]] = {"balance": (), "absent": ()}
        for file in files:
            self._enter(file)

    @classmethod
    def load(cls, *paths: str | Path) -> Phrases:
        """The shipped phrases and, added to them in order, those of YAML files with the same keys; PhraseError where a
        file is missing, no YAML, or does not follow the schema."""
        return cls(_shipped(), *(phrase_file.load(path) for path in paths)) if paths else _default()

    @classmethod
    def of(cls, *contents: Mapping[str, Any]) -> Phrases:
        """The shipped phrases and, added to them, mappings such as a YAML file holds; PhraseError where one does not
        follow the schema."""
        return cls(_shipped(), *(phrase_file.of(each) for each in contents))

    def _enter(self, file: PhraseFile) -> None:
        """Enters one file's phrases."""
        for name, attribute in file.balance.items():
            self._enter_all("balance", name, attribute)
            self.values += tuple(self._values(name, kinds) for kinds in attribute.kinds)
        for name, concept in file.absent.items():
            self._enter_all("absent", name, concept)
        for table, (group, names) in _CUES.items():
            for cue in names:
                getattr(self, table).add(cue, *getattr(getattr(file.cues, group), cue))
        for around in file.cues.negation.around:
            before, _, after = around.phrase.partition("...")
            self.around.add((self._lexicon([after]), around.rewritten), before)
        self.lookalikes.add(True, *file.lookalikes)
        for lexicon, nouns in ((self.unread, file.unread), (self.subjects, file.subjects), (self.others, file.others)):
            lexicon.add(True, *self._with_plurals(nouns))

    def _enter_all(self, kind: Kind, name: str, entry: Attribute | AntiConcept) -> None:
        """Enters all that a file says of one attribute or anti-concept."""
        for key, (table, inflected) in _WORDS.items():
            for term in getattr(entry, key, ()):
                beside = self._beside(term)
                for word in self._forms([term.phrase]):
                    for form, words in inflected(word):
                        getattr(self, table).add(Named(kind, name, form, beside), *words)
        for each in entry.phrases:
            before, not_before = (self._lexicon(listed) for listed in (each.before, each.not_before))
            through = each.through == "noun"
            meaning = Whole(kind, name, each.of, self._beside(each), before, not_before, through, each.rewritten)
            self.whole.add(meaning, each.phrase)
        self.names[kind] = tuple(dict.fromkeys((*self.names[kind], name)))

    def _values(self, name: str, kinds: Kinds) -> Values:
        words: Lexicon[Value] = Lexicon(self._reader)
        for value, listed in kinds.words.items():
            for word in listed:
                rewritten = kinds.rewritten.get(word, "")
                words.add(Value(value, rewritten, False), word)
                if rewritten:
                    words.add(Value(value, plural(rewritten), True), plural(word))
        heads, tails = (self._lexicon(self._with_plurals(nouns)) for nouns in (kinds.heads, kinds.tails))
        return Values(name, words, heads, tails, kinds.least, kinds.joined)

    def _beside(self, term: Term) -> Beside | None:
        if not term.near and not term.not_near:
            return None
        return Beside(*(self._lexicon(self._with_plurals(listed)) for listed in (term.near, term.not_near)))

    def _with_plurals(self, nouns: Sequence[str]) -> list[str]:
        forms = self._forms(nouns)
        return [*forms, *map(plural, forms)]

    def _forms(self, phrases: Sequence[str]) -> list[str]:
        """All forms of the phrases, each as text."""
        return [" ".join(form) for phrase in phrases for form in expand(phrase, self._reader)]

    def _lexicon(self, listed: Sequence[str]) -> Lexicon[bool]:
        return Lexicon[bool](self._reader).add(True, *listed)


def plural(noun: str) -> str:
    """The plural of a noun phrase: its last word inflected."""
    *before, last = noun.split()
    inflected = (re.sub(pattern, form, last) for pattern, form in _PLURALS if re.search(pattern, last))
    return " ".join((*before, TABLES["irregular plurals"].get(last) or next(inflected)))


def _noun(noun: str) -> list[tuple[str, list[str]]]:
    return [("noun", [noun]), ("plural", [plural(noun)])]


def _verb(verb: str) -> list[tuple[str, list[str]]]:
    """Smoke, smokes, smoked, and smoking; irregular forms are listed where they are used."""
    first, *after = verb.split()
    stem = first.removesuffix("e")
    if re.fullmatch(r"[^aeiou]*[aeiou][bdgmnpt]", first):
        stem = first + first[-1]
    *finite, participle = (" ".join((form, *after)) for form in (first, plural(first), f"{stem}ed", f"{stem}ing"))
    return [("finite", finite), ("participle", [participle])]


# Keys of an attribute or anti-concept: the table that their words are in, and the forms of these words.
_WORDS = {
    "named": ("named", _noun),
    "bias": ("objects", _noun),
    "objects": ("objects", _noun),
    "free": ("free", _noun),
    "acts": ("acts", _verb),
    "states": ("acts", lambda word: [("state", [word])]),
}
# Tables of cues: the group of cues in a file, and which of it.
_CUES = {
    "negation": ("negation", ("nouns", "verbs", "each", "orders")),
    "negation_after": ("negation", ("after",)),
    "gone": ("negation", ("gone",)),
    "there": ("negation", ("there",)),
    "openness": ("openness", ("strong", "before", "lead")),
    "openness_after": ("openness", ("after",)),
    "sided": ("sided", ("only", "presumed")),
}


@cache
def _shipped() -> PhraseFile:
    return phrase_file.load(phrase_file.SHIPPED)


@cache
def _default() -> Phrases:
    return Phrases(_shipped())
