"""Denied things: "no weapons", "without any beer, wine or cigarettes", "neither armed nor drinking", "smoke-free",
"weapons are not allowed".

A negation reaches over the list that follows it: over "or", "nor" and "/" always; over "and" where a harmful thing
without an article of its own follows; over commas where the list closes with one of these, or where nothing but
harmful things follows. A harmful noun that is only the first half of another ("no beer garden") is another thing, and
a second negation ("not without a knife") cancels the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from directrix.apply.english import (
    ADDING,
    ARTICLES,
    CONJUNCTIONS,
    FILLERS,
    FUNCTION,
    MODIFIERS,
    NEGATORS,
    PREPOSITIONS,
    TRAILING,
    VERBS,
    ends_noun,
    person,
)
from directrix.apply.phrases import Named, Phrases
from directrix.apply.reading import Part, Reading
from directrix.apply.words import Word, word_set

_SILENT = word_set("nobody none noone one")
_FAR = 4  # words back that a first negation may stand before a second
_LONGEST = 12  # things in one list, at most: long prompts stay quick to read


class _Item(NamedTuple):
    start: int
    stop: int
    meanings: tuple[Named, ...]
    article: bool = False


class Negations:
    """The rules over one sentence."""

    def __init__(self, words: Sequence[Word], phrases: Phrases) -> None:
        self.words, self.phrases = words, phrases

    def before(self, at: int, since: int) -> Reading | None:
        """Reads a negation at `at` and the list it reaches over; words before `since` are used up."""
        hit = self.phrases.negation.match(self.words, at)
        if hit is None:
            return None
        cue = hit.meanings[0]
        if self._text(hit.stop) in ADDING:
            return Reading(hit.stop + 1)
        second = self._second_negation(hit.stop)
        if second:
            return Reading(second)
        if self._denied_already(at, since):
            return Reading(hit.stop)
        items = self._list(hit.stop, cue, self._text(at))
        if not any(item.meanings for item in items):
            return self._not_understood(at, hit.stop, items)
        stop = items[-1].stop
        if items[-1].meanings and (tail := TRAILING.match(self.words, stop)):
            stop = tail.stop
        return self._reading(at, stop, items)

    def after(self, at: int, since: int) -> Reading | None:
        """Reads a list of things and what denies them: "-free", "are not allowed"."""
        items = self._things(at)
        if not items:
            return None
        stop = items[-1].stop
        if self._text(stop) == "free" and not self._denied_already(at, since):
            joined = self.words[stop].joined
            if joined or self._text(stop + 1) not in ("of", "from", "to", "for"):
                things = self.phrases.things.match(self.words, stop + 1)
                return Reading(stop + 1) if things else self._reading(at, stop + 1, items)
        tail = self.phrases.negation_after.match(self.words, stop)
        plain = all(self.phrases.free.match(self.words, item.start) is None for item in items)
        return self._reading(at, tail.stop, items) if tail and plain else None

    def _text(self, at: int) -> str:
        return self.words[at].text if 0 <= at < len(self.words) else ""

    def _second_negation(self, at: int) -> int | None:
        """Where a second negation that cancels the first one ends: "not without", "never quite unarmed"."""
        for start in (at, self._past_fillers(at)):
            hit = self.phrases.negation.match(self.words, start) or self.phrases.whole.match(
                self.words, start
            )
            if hit and self._text(hit.stop) not in ("of", "from"):
                return hit.stop
        return None

    def _denied_already(self, at: int, since: int) -> bool:
        """Whether an earlier word of the clause denies this negation: "never seen without a beer"."""
        for before in range(at - 1, max(since, at - 1 - _FAR) - 1, -1):
            text = self._text(before)
            if text in NEGATORS or text.endswith("n't"):
                return True
            if self.words[before].mark or text in CONJUNCTIONS or text in PREPOSITIONS:
                return False
        return False

    def _past_fillers(self, at: int) -> int:
        while hit := FILLERS.match(self.words, at):
            at = hit.stop
        return at

    def _list(self, at: int, cue: str, first_word: str) -> list[_Item]:
        first = self._item(at, cue) or self._unknown(at)
        items = [first] if first else []
        while items:
            joiner, after = self._joiner(items[-1].stop)
            if not joiner or self._cue_at(after):
                break
            if joiner == ",":
                more = self._comma_list(after, cue, items)
                items += more
                if not more:
                    break
                continue
            item = self._item(after, cue)
            if item is None and (joiner == "or" or cue == "each"):
                item = self._unknown(after)
            if item is None or (
                joiner == "and" and cue != "each" and not self._reaches(item, cue, first_word)
            ):
                break
            items.append(item)
        return items

    def _reaches(self, item: _Item, cue: str, first_word: str) -> bool:
        """Whether "and" carries the negation on: not to "no knife and a beer", nor to "not smoking and drinking a
        beer"."""
        return not item.article or (cue == "nouns" and first_word != "no")

    def _comma_list(self, at: int, cue: str, before: Sequence[_Item]) -> list[_Item]:
        """The items after a comma that the negation still reaches; none where the list does not hold together."""
        known = all(item.meanings for item in before)
        bare = not any(item.article for item in before)
        more: list[_Item] = []
        while len(more) < _LONGEST:
            item = self._item(at, cue)
            if item is None:
                item = self._unknown(at)
                if item is None or (item.article and bare):
                    return []
            more.append(item)
            joiner, after = self._joiner(item.stop)
            known = known and bool(item.meanings)
            if joiner == ",":
                if not self._cue_at(after):
                    at = after
                    continue
                joiner = ""
            if joiner == "or" or (joiner == "and" and cue == "each"):
                return more
            if joiner == "and":
                last = self._item(after, cue)
                closed = last is not None and known and (bare is not last.article or cue == "each")
                return more if closed else []
            ended = item.stop >= len(self.words) or self._text(item.stop) in (
                ",",
                ".",
                ";",
                "!",
                "?",
                ")",
                "—",
            )
            plain = known and bare and not any(each.article for each in more)
            return more if ended and plain else []
        return []

    def _joiner(self, at: int) -> tuple[str, int]:
        """ "or", "and", "," or "" at `at`, and where what is joined begins."""
        comma = self._text(at) == ","
        start = at + comma
        text = self._text(start)
        if text == "and" and self._text(start + 1) == "/" and self._text(start + 2) == "or":
            return "or", start + 3
        if text in ("or", "nor", "/"):
            return "or", start + 1
        if text == "and":
            return "and", start + 1
        return (",", start) if comma else ("", at)

    def _cue_at(self, at: int) -> bool:
        return self.phrases.negation.match(self.words, at) is not None

    def _item(self, at: int, cue: str) -> _Item | None:
        """A denied thing or act with the small words before it."""
        start, article = at, False
        while True:
            hit = FILLERS.match(self.words, at)
            act = self._act(at, cue)
            if act and (not hit or act.stop > hit.stop):
                return _Item(start, act.stop, act.meanings, article or act.article)
            if hit:
                article = article or self._text(at) in ARTICLES
                at = hit.stop
            elif self._text(at) in VERBS and self._verb_fits(at, cue, start):
                at += 1
            else:
                break
        for skipped in range(3):
            hit = self.phrases.things.match(self.words, at)
            if hit:
                plural = any(each.form == "plural" for each in hit.meanings)
                return (
                    _Item(start, hit.stop, hit.meanings, article) if plural or self._ends(hit.stop) else None
                )
            text = self._text(at)
            if (
                not text
                or self.words[at].mark
                or text in FUNCTION
                or text.endswith("ing")
                or text in NEGATORS
            ):
                return None
            if skipped and text not in MODIFIERS and self._text(at - 1) not in MODIFIERS:
                return None
            at += 1
        return None

    def _verb_fits(self, at: int, cue: str, start: int) -> bool:
        return (
            cue != "nouns"
            or at > start
            or self._text(at).endswith("ing")
            or self._text(at) in ("use", "armed")
        )

    def _ends(self, at: int) -> bool:
        phrases = self.phrases
        return ends_noun(self.words, at) or any(
            lexicon.match(self.words, at)
            for lexicon in (phrases.whole, phrases.openness, phrases.negation, phrases.negation_after)
        )

    def _act(self, at: int, cue: str) -> _Item | None:
        """A denied act or state, with its object: "smoking", "armed with a knife", "armed guards"."""
        hit = self.phrases.acts.match(self.words, at)
        if hit is None:
            return None
        meanings = tuple(each for each in hit.meanings if each.form != "finite" or cue != "nouns")
        if not meanings:
            return None
        inside = hit.stop + (self._text(hit.stop) in ("with", "on", "from"))
        goal = self._past_fillers(inside)
        thing = self.phrases.things.match(self.words, goal)
        if thing and (self._ends(thing.stop) or any(each.form == "plural" for each in thing.meanings)):
            own = {(each.kind, each.name) for each in meanings}
            if self._text(hit.stop) not in ("from",) or own & {
                (each.kind, each.name) for each in thing.meanings
            }:
                return _Item(at, thing.stop, thing.meanings, self._text(inside) in ARTICLES)
        if person(self.words, hit.stop, self.phrases.subjects) and meanings[0].form == "state":
            return _Item(at, hit.stop + 1, meanings)
        if self.words[at].joined and self._text(at - 1) == "no":
            # "A no-smoking break": said of what follows.
            return _Item(at, hit.stop, meanings)
        text = self._text(hit.stop)
        if text in ARTICLES or text in ("some", "his", "her", "their", "its") or not self._ends(hit.stop):
            return None
        return _Item(at, hit.stop, meanings)

    def _unknown(self, at: int) -> _Item | None:
        """A noun phrase that means nothing here: up to four words that end where a list goes on or stops."""
        start, article = at, self._text(at) in ARTICLES
        while hit := FILLERS.match(self.words, at):
            at = hit.stop
        begin = at
        while at < len(self.words) and at - begin < 4:
            word = self.words[at]
            if word.mark or word.text in FUNCTION or self._cue_at(at):
                break
            at += 1
        return _Item(start, at, (), article) if at > begin else None

    def _things(self, at: int) -> list[_Item]:
        """Harmful things joined by "and", "or" and commas, nothing else between."""
        items: list[_Item] = []
        while len(items) < _LONGEST:
            hits = [
                lexicon.match(self.words, at)
                for lexicon in (self.phrases.things, self.phrases.free, self.phrases.acts)
            ]
            found = max((hit for hit in hits if hit), key=lambda hit: hit.stop, default=None)
            if found is None or all(each.form in ("finite", "state") for each in found.meanings):
                return items
            items.append(_Item(at, found.stop, found.meanings))
            joiner, after = self._joiner(found.stop)
            if not joiner:
                return items
            at = after
        return items

    def _not_understood(self, at: int, after: int, items: Sequence[_Item]) -> Reading:
        silent = self._text(after - 1) in _SILENT or not items
        return Reading(after, (), () if silent else ((at, items[-1].stop),))

    def _reading(self, at: int, stop: int, items: Sequence[_Item]) -> Reading:
        """All of the phrase is cut out if all of it was understood; else only the items that were."""
        whole = all(item.meanings for item in items)
        parts: list[Part] = []
        for item in items:
            span = (at, stop) if whole else (item.start, item.stop)
            for meaning in item.meanings:
                part = Part(*span, meaning.kind, meaning.name)
                if part not in parts:
                    parts.append(part)
        unknown = tuple((item.start, item.stop) for item in items if not item.meanings)
        return Reading(stop, tuple(parts), unknown)
