"""The phrases that a prompt is read with: the shipped ones and the user's, entered in tables by first word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from directrix.policies.wording import phrase_file
from directrix.policies.wording.lexicon import Lexicon, Reader, expand, lexicon
from directrix.policies.wording.phrase_file import Kinds, Phrase, PhraseFile, Term
from directrix.policies.wording.tokens import Word, plural, read, texts, verb_forms
from directrix.policies.wording.types import Kind


class Beside(NamedTuple):
    """Words of which a prompt must hold one (`near`), and words of which it must hold none."""

    near: Lexicon[bool]
    not_near: Lexicon[bool]

    def fits(self, words: Sequence[Word]) -> bool:
        """Whether the prompt is such a one."""
        near, not_near = (any(lexicon.match(words, at) for at in range(len(words))) for lexicon in self)
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
        spellings = {key.casefold(): value for file in files for key, value in file.spellings.items()}
        self.spellings: Mapping[str, str] = spellings

        @cache
        def reader(option: str) -> tuple[str, ...]:
            return texts(read(option, spellings))

        self._reader: Reader = reader
        self.named: Lexicon[Named] = Lexicon(reader)
        self.unread: Lexicon[bool] = Lexicon(reader)
        self.objects: Lexicon[Named] = Lexicon(reader)
        self.acts: Lexicon[Named] = Lexicon(reader)
        self.free: Lexicon[Named] = Lexicon(reader)
        self.whole: Lexicon[Whole] = Lexicon(reader)
        self.lookalikes: Lexicon[bool] = Lexicon(reader)
        self.subjects: Lexicon[bool] = Lexicon(reader)
        self.others: Lexicon[bool] = Lexicon(reader)
        self.negation: Lexicon[str] = Lexicon(reader)
        self.negation_after: Lexicon[bool] = Lexicon(reader)
        self.around: Lexicon[Closing] = Lexicon(reader)
        self.gone: Lexicon[bool] = Lexicon(reader)
        self.there: Lexicon[bool] = Lexicon(reader)
        self.openness: Lexicon[str] = Lexicon(reader)
        self.openness_after: Lexicon[bool] = Lexicon(reader)
        self.sided: Lexicon[str] = Lexicon(reader)
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
            for term in concept.acts:
                beside = self._beside(term)
                for form in self._forms([term.phrase]):
                    *finite, participle = verb_forms(form)
                    self.acts.add(Named("absent", name, "finite", beside), *finite)
                    self.acts.add(Named("absent", name, "participle", beside), participle)
            for term in concept.states:
                self.acts.add(Named("absent", name, "state", self._beside(term)), term.phrase)
            self._enter_nouns(self.free, "absent", name, concept.free)
            self._enter_whole("absent", name, concept.phrases)
        negation, openness = file.cues.negation, file.cues.openness
        for cue in ("nouns", "verbs", "each", "orders"):
            self.negation.add(cue, *getattr(negation, cue))
        self.negation_after.add(True, *negation.after)
        self.gone.add(True, *negation.gone)
        self.there.add(True, *negation.there)
        for around in negation.around:
            before, after = around.sides
            self.around.add(Closing(self._lexicon([after]), around.rewritten), before)
        for cue in ("strong", "before", "lead"):
            self.openness.add(cue, *getattr(openness, cue))
        self.openness_after.add(True, *openness.after)
        self.sided.add("only", *file.cues.sided.only)
        self.sided.add("presumed", *file.cues.sided.presumed)
        self.lookalikes.add(True, *file.lookalikes)
        self.unread.add(True, *self._with_plurals(file.unread))
        self.subjects.add(True, *self._with_plurals(file.subjects))
        self.others.add(True, *self._with_plurals(file.others))

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
        near, not_near = (self._lexicon(self._with_plurals(listed)) for listed in (term.near, term.not_near))
        return Beside(near, not_near)

    def _with_plurals(self, nouns: Sequence[str]) -> list[str]:
        forms = self._forms(nouns)
        return [*forms, *map(plural, forms)]

    def _forms(self, phrases: Sequence[str]) -> list[str]:
        """All forms of the phrases, each as text."""
        return [" ".join(form) for phrase in phrases for form in expand(phrase, self._reader)]

    def _lexicon(self, listed: Sequence[str]) -> Lexicon[bool]:
        return lexicon(listed, self._reader)


@cache
def _shipped() -> PhraseFile:
    return phrase_file.load(phrase_file.SHIPPED)


@cache
def _default() -> Phrases:
    return Phrases(_shipped())
