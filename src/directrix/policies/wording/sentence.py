"""A prompt's words together with what the tables say of them: its objects, its nouns and where they end."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

from directrix.policies.wording.english import ends_noun, person
from directrix.policies.wording.lexicon import Hit, Lexicon
from directrix.policies.wording.phrases import Beside, Named, Phrases
from directrix.policies.wording.tokens import Word
from directrix.policies.wording.types import Kind
from directrix.policies.wording.words import WORDS

_NOUN = 6  # words in one noun phrase, at most


class Part(NamedTuple):
    """The words from `start` up to `stop` switch `name` on; `rewritten` stands in for them."""

    start: int
    stop: int
    kind: Kind
    name: str
    rewritten: str = ""


class Reading(NamedTuple):
    """What a rule understood, what looked like it and was not, in places of words, and where to read on."""

    stop: int
    parts: tuple[Part, ...] = ()
    unknown: tuple[tuple[int, int], ...] = ()


class Sentence:
    """One prompt, read with one set of phrases."""

    def __init__(self, words: Sequence[Word], phrases: Phrases) -> None:
        self.words, self.phrases = words, phrases
        self._fits: dict[int, bool] = {}

    def text(self, at: int) -> str:
        """The word at `at`, or nothing."""
        return self.words[at].text if 0 <= at < len(self.words) else ""

    def fits(self, beside: Beside | None) -> bool:
        """Whether the prompt has the words beside it that a phrase wants, and none that it does not."""
        if beside is None:
            return True
        if id(beside) not in self._fits:
            self._fits[id(beside)] = beside.fits(self.words)
        return self._fits[id(beside)]

    def named(self, lexicon: Lexicon[Named], at: int) -> Hit[Named] | None:
        """What `lexicon` names at `at`, unless it only looks like that: a bow in a gift box, a glue gun."""
        hit = lexicon.match(self.words, at)
        if hit is None:
            return None
        lookalike = self.phrases.lookalikes.match(self.words, at)
        meanings = tuple(each for each in hit.meanings if self.fits(each.beside))
        if not meanings or (lookalike and lookalike.stop >= hit.stop):
            return None
        return Hit(hit.stop, meanings)

    def noun(self, at: int) -> Hit[Named] | None:
        """An object to keep out."""
        return self.named(self.phrases.objects, at)

    def act(self, at: int) -> Hit[Named] | None:
        """An act or a state to keep out."""
        return self.named(self.phrases.acts, at)

    def person(self, at: int) -> bool:
        """Whether a person, a group or an image of them is named at `at`."""
        return at >= 0 and person(self.words, at, self.phrases.subjects)

    def noun_end(self, at: int) -> int:
        """Where the noun phrase that begins at `at` ends."""
        stop = at
        while stop < len(self.words) and stop - at < _NOUN:
            if self.words[stop].mark or self.text(stop) in WORDS["function"]:
                break
            stop += 1
        return stop

    def other(self, at: int) -> bool:
        """Whether the noun phrase that begins at `at` names no person: "baby clothes", "group of birds"."""
        end = self.noun_end(at)
        for start in range(at, end):
            hit = self.phrases.others.match(self.words, start)
            if hit and (ends_noun(self.words, hit.stop) or self.text(hit.stop) in WORDS["wrapped"]):
                return True
        if end > at and self.text(end) == "of":
            after = end + 1 + (self.text(end + 1) in ("the", "these", "many", "different", "various", "all"))
            return self.other(after)
        return False

    @cached_property
    def has_others(self) -> bool:
        """Whether an animal or an object that is no person's ends a noun phrase of the prompt."""
        hits = (self.phrases.others.match(self.words, at) for at in range(len(self.words)))
        return any(hit is not None and ends_noun(self.words, hit.stop) for hit in hits)

    @cached_property
    def has_people(self) -> bool:
        """Whether a person, a group or an image of them is named."""
        return any(self.person(at) for at in range(len(self.words)))

    def for_others(self, at: int) -> bool:
        """Whether what stands at `at` says whom an object is made for: "shoes for men and women"."""
        if self.text(at) == "for":
            at += 1
        return self.text(at - 1) == "for" and self.ends(self.phrases.others, at - 1, 3)

    def ends(self, lexicon: Lexicon[Any], stop: int, back: int) -> bool:
        """Whether a phrase that begins up to `back` words before `stop` ends there."""
        starts = range(max(0, stop - back), stop)
        return any((hit := lexicon.match(self.words, start)) and hit.stop == stop for start in starts)

    def drawn(self, at: int, names: set[str]) -> bool:
        """Whether "alcohol-free" before `at` is only said of a product: a beer, a perfume."""
        if self.other(at):
            return True
        for start in range(at, self.noun_end(at)):
            hit = self.noun(start)
            if hit and names & {each.name for each in hit.meanings} and ends_noun(self.words, hit.stop):
                return True
        return False


class Rules:
    """Rules of one kind over one sentence."""

    def __init__(self, sentence: Sentence) -> None:
        self.sentence, self.words, self.phrases = sentence, sentence.words, sentence.phrases
        self._text = sentence.text
