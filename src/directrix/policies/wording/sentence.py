"""A prompt's words with what the tables say of them: objects, persons, where nouns end, and what a rule finds."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import cache, cached_property
from typing import Any, NamedTuple

from directrix.policies.wording.lexicon import Hit, Lexicon
from directrix.policies.wording.phrases import Beside, Named, Phrases, Values
from directrix.policies.wording.tokens import TABLES, WORDS, Word
from directrix.policies.wording.types import Kind

_NOUN = 6  # words in one noun phrase, at most
_LONGEST = 12  # objects in one list, at most: long prompts stay quick to read
_PERSON_ENDINGS = ("er", "or", "ist", "ian", "man", "men", "ers", "ors", "ists", "ians", "people", "person")
_FILLERS = Lexicon[bool]().add(True, *TABLES["fillers"])
_TRAILING = Lexicon[bool]().add(True, *TABLES["trailing"])
_JOINERS: dict[str, Lexicon[str]] = {}
for _name, _joiners in TABLES["joiners"].items():
    _JOINERS[_name] = Lexicon()
    for _joiner, _phrases in _joiners.items():
        _JOINERS[_name].add(_joiner, *_phrases)


class Part(NamedTuple):
    """The words from `start` up to `stop` switch `name` on; `rewritten` stands in for them."""

    start: int
    stop: int
    kind: Kind
    name: str
    rewritten: str = ""


class Item(NamedTuple):
    """One object or attribute of a list; without meanings it is none that is known."""

    start: int
    stop: int
    meanings: tuple[Named, ...]
    article: bool = False


class Reading(NamedTuple):
    """What a rule understood, what looked like it and was not, in places of words, and where to read on."""

    stop: int
    parts: tuple[Part, ...] = ()
    unknown: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, at: int, stop: int, items: Sequence[Item], rewritten: str = "") -> Reading:
        """A list in words[at:stop]: all of it is cut out if all of it was understood; else only what was."""
        whole = all(item.meanings for item in items)
        parts = (
            Part(*((at, stop) if whole else item[:2]), each.kind, each.name, rewritten if whole else "")
            for item in items
            for each in item.meanings
        )
        return cls(stop, tuple(dict.fromkeys(parts)), tuple(item[:2] for item in items if not item.meanings))


class Sentence:
    """One prompt, read with one set of phrases. `sentence[at]` is the word at a place, "" outside the sentence."""

    def __init__(self, words: Sequence[Word], phrases: Phrases) -> None:
        self.words, self.phrases = words, phrases
        self.texts = tuple(word.text for word in words)
        # Whether the prompt has the words beside it that a phrase wants, and none that it does not.
        self.fits: Callable[[Beside | None], bool] = cache(lambda beside: beside is None or beside.fits(self.texts))

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, at: int) -> str:
        return self.texts[at] if 0 <= at < len(self.texts) else ""

    def stops(self, at: int) -> bool:
        """Whether there is no word at `at`: a mark, or the end of the prompt."""
        return not self[at][:1].isalnum()

    def joined(self, at: int) -> bool:
        """Whether a hyphen joins the word at `at` to the one before it."""
        return 0 <= at < len(self) and self.words[at].joined

    def skip(self, at: int, words: Collection[str]) -> int:
        """Past all of these words that stand at `at`."""
        while self[at] in words:
            at += 1
        return at

    def past_filler(self, at: int) -> int:
        """Past one of the small words that may stand between a negation and what it denies; 0 for none."""
        return _FILLERS.past(self.texts, at)

    def past_fillers(self, at: int) -> int:
        """Past all of these words."""
        while stop := self.past_filler(at):
            at = stop
        return at

    def past_trailing(self, at: int) -> int:
        """Past what belongs to a phrase before it: "no guns at all", but not "no guns around a fire"."""
        stop = _TRAILING.past(self.texts, at)
        open_end = self[stop - 1] in ("around", "left", "there") and self[stop] in WORDS["determiners"]
        return at if open_end else max(at, stop)

    def joiner(self, at: int, kind: str) -> tuple[str, int]:
        """What joins the objects of a list at `at`, as the table `kind` reads it, and where the next one begins."""
        start = at + (self[at] == ",")
        hit = _JOINERS[kind].match(self.texts, start)
        return (hit.meanings[0], hit.stop) if hit else ("," if start > at else "", start)

    def listed(self, at: int, kind: str, read: Callable[[int, bool], Item | None]) -> list[Item]:
        """The list of objects that begins at `at`; `read` gets a place and whether an object stands before it."""
        items: list[Item] = []
        while len(items) < _LONGEST and (item := read(at, bool(items))):
            items.append(item)
            joiner, at = self.joiner(item.stop, kind)
            if not joiner:
                break
        return items

    def named(self, lexicon: Lexicon[Named], at: int) -> Hit[Named] | None:
        """What `lexicon` names at `at`, unless it only looks like that: a bow in a gift box, a glue gun."""
        hit = lexicon.match(self.texts, at)
        meanings = tuple(each for each in hit.meanings if self.fits(each.beside)) if hit else ()
        if not hit or not meanings or self.phrases.lookalikes.past(self.texts, at) >= hit.stop:
            return None
        return Hit(hit.stop, meanings)

    def noun(self, at: int) -> Hit[Named] | None:
        """An object to keep out."""
        return self.named(self.phrases.objects, at)

    def act(self, at: int) -> Hit[Named] | None:
        """An act or a state to keep out."""
        return self.named(self.phrases.acts, at)

    def person(self, at: int) -> bool:
        """Whether a person, a group or an image of them is named at `at`: listed, or by its ending."""
        text = self[at]
        return bool(self.phrases.subjects.past(self.texts, at)) or (
            len(text) > 4 and text.removesuffix("s") not in WORDS["no-person"] and text.endswith(_PERSON_ENDINGS)
        )

    def ends_noun(self, at: int) -> bool:
        """Whether a noun before `at` is the last of its phrase: "no beer, ", "no beer in", but not "no beer garden"."""
        text = self[at]
        if self.joined(at):
            return False
        adverb = text.endswith(("ly", "ing", "ed", "n't")) and text not in WORDS["no-adverb"]
        return self.stops(at) or text in WORDS["function"] or adverb

    def noun_end(self, at: int) -> int:
        """Where the noun phrase that begins at `at` ends."""
        places = range(at, at + _NOUN)
        return next((each for each in places if self.stops(each) or self[each] in WORDS["function"]), at + _NOUN)

    def negated(self, at: int, since: int = 0) -> bool:
        """Whether the words just before `at` (from `since`) deny what stands there."""
        before = at - 1
        while before >= since and self[before] in WORDS["between-negation"]:
            before -= 1
        if before < since:
            return False
        text = self[before]
        pair = f"{self[before - 1] if before > since else ''}-{text}"
        denies = (text in WORDS["negators"] and pair != "or-not") or text.endswith("n't")
        return denies or pair in WORDS["negating-pairs"]

    def other(self, at: int) -> bool:
        """Whether the noun phrase that begins at `at` names no person: "baby clothes", "group of birds"."""
        end = self.noun_end(at)
        stops = (self.phrases.others.past(self.texts, start) for start in range(at, end))
        if any(stop and (self.ends_noun(stop) or self[stop] in WORDS["wrapped"]) for stop in stops):
            return True
        after = end + 1 + (self[end + 1] in ("the", "these", "many", "different", "various", "all"))
        return end > at and self[end] == "of" and self.other(after)

    @cached_property
    def values(self) -> tuple[Values, ...]:
        """The attributes of whose values the prompt has a word."""
        places = range(len(self))
        return tuple(v for v in self.phrases.values if any(v.words.past(self.texts, at) for at in places))

    @cached_property
    def has_others(self) -> bool:
        """Whether an animal or an object that is no person's ends a noun phrase of the prompt."""
        stops = (self.phrases.others.past(self.texts, at) for at in range(len(self)))
        return any(stop and self.ends_noun(stop) for stop in stops)

    @cached_property
    def has_people(self) -> bool:
        """Whether a person, a group or an image of them is named."""
        return any(self.person(at) for at in range(len(self)))

    def for_others(self, at: int) -> bool:
        """Whether what stands at `at` says whom an object is made for: "shoes for men and women"."""
        at += self[at] == "for"
        return self[at - 1] == "for" and self.ends(self.phrases.others, at - 1, 3)

    def ends(self, lexicon: Lexicon[Any], stop: int, back: int) -> bool:
        """Whether a phrase that begins up to `back` words before `stop` ends there."""
        return any(lexicon.past(self.texts, start) == stop for start in range(max(0, stop - back), stop))

    def drawn(self, at: int, names: Collection[str]) -> bool:
        """Whether "alcohol-free" before `at` is only said of a product: a beer, a perfume."""
        hits = (self.noun(start) for start in range(at, self.noun_end(at)))
        named = (hit for hit in hits if hit and any(each.name in names for each in hit.meanings))
        return self.other(at) or any(self.ends_noun(hit.stop) for hit in named)
