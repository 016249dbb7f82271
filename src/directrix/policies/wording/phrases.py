"""The phrases that a prompt is read with: the shipped ones and the user's, entered in tables."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from directrix.policies.wording import phrase_file
from directrix.policies.wording.lexicon import Lexicon, Reader, expand
from directrix.policies.wording.phrase_file import Kinds, Phrase, PhraseFile, Term
from directrix.policies.wording.tokens import TABLES, read
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


class Closing(NamedTuple):
    """What ends a denial on both sides of an object, and what is given instead of it all."""

    after: Lexicon[bool]
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

        @cache
        def reader(option: str) -> tuple[str, ...]:
            return tuple(word.text for word in read(option, self.spellings))

        self._reader: Reader = reader
        self.named, self.objects, self.acts, self.free = (Lexicon[Named](reader) for _ in range(4))
        self.whole: Lexicon[Whole] = Lexicon(reader)
        self.around: Lexicon[Closing] = Lexicon(reader)
        self.negation, self.openness, self.sided = (Lexicon[str](reader) for _ in range(3))
        self.negation_after, self.gone, self.there, self.openness_after = (Lexicon[bool](reader) for _ in range(4))
        self.lookalikes, self.unread, self.subjects, self.others = (Lexicon[bool](reader) for _ in range(4))
        self.values: tuple[Values, ...] = ()
        self.names: dict[str, tuple[str, ...]] = {"balance": (), "absent": ()}
        for file in files:
            self._enter(file)

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

    def _enter(self, file: PhraseFile) -> None:
        """Enters one file's phrases."""
        for name, attribute in file.balance.items():
            self._enter_nouns(self.named, "balance", name, attribute.named)
            self._enter_nouns(self.objects, "balance", name, attribute.bias)
            self._enter_whole("balance", name, attribute.phrases)
            self.values += tuple(self._values(name, kinds) for kinds in attribute.kinds)
        for name, concept in file.absent.items():
            self._enter_nouns(self.objects, "absent", name, concept.objects)
            self._enter_nouns(self.free, "absent", name, concept.free)
            self._enter_whole("absent", name, concept.phrases)
            for term in concept.acts:
                for form in self._forms([term.phrase]):
                    *finite, participle = verb_forms(form)
                    self.acts.add(Named("absent", name, "finite", self._beside(term)), *finite)
                    self.acts.add(Named("absent", name, "participle", self._beside(term)), participle)
            for term in concept.states:
                self.acts.add(Named("absent", name, "state", self._beside(term)), term.phrase)
        negation, openness, sided = file.cues.negation, file.cues.openness, file.cues.sided
        for lexicon, cues, names in (
            (self.negation, negation, ("nouns", "verbs", "each", "orders")),
            (self.openness, openness, ("strong", "before", "lead")),
            (self.sided, sided, ("only", "presumed")),
        ):
            for cue in names:
                lexicon.add(cue, *getattr(cues, cue))
        for lexicon, listed in (
            (self.negation_after, negation.after),
            (self.gone, negation.gone),
            (self.there, negation.there),
            (self.openness_after, openness.after),
            (self.lookalikes, file.lookalikes),
            (self.unread, self._with_plurals(file.unread)),
            (self.subjects, self._with_plurals(file.subjects)),
            (self.others, self._with_plurals(file.others)),
        ):
            lexicon.add(True, *listed)
        for around in negation.around:
            before, after = around.sides
            self.around.add(Closing(self._lexicon([after]), around.rewritten), before)

    def _enter_nouns(self, nouns: Lexicon[Named], kind: Kind, name: str, terms: Sequence[Term]) -> None:
        for term in terms:
            beside = self._beside(term)
            for form in self._forms([term.phrase]):
                nouns.add(Named(kind, name, "noun", beside), form)
                nouns.add(Named(kind, name, "plural", beside), plural(form))

    def _enter_whole(self, kind: Kind, name: str, phrases: Sequence[Phrase]) -> None:
        self.names[kind] = tuple(dict.fromkeys((*self.names[kind], name)))
        for each in phrases:
            before, not_before = (self._lexicon(listed) for listed in (each.before, each.not_before))
            through = each.through == "noun"
            meaning = Whole(kind, name, each.of, self._beside(each), before, not_before, through, each.rewritten)
            self.whole.add(meaning, each.phrase)

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


def verb_forms(verb: str) -> tuple[str, ...]:
    """Finite forms first (smoke, smokes, smoked), then the one in -ing; irregular ones are listed where they are
    used."""
    first, *after = verb.split()
    stem = first.removesuffix("e")
    if re.fullmatch(r"[^aeiou]*[aeiou][bdgmnpt]", first):
        stem = first + first[-1]
    return tuple(" ".join((form, *after)) for form in (first, plural(first), f"{stem}ed", f"{stem}ing"))


@cache
def _shipped() -> PhraseFile:
    return phrase_file.load(phrase_file.SHIPPED)


@cache
def _default() -> Phrases:
    return Phrases(_shipped())
