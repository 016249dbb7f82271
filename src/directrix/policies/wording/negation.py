"""Denied objects: "no weapons", "nobody in the bar smokes", "smoke-free", "leave the cigar out", "guns must not be".

`negation_scope` finds what a negation reaches over. A second one ("not without a knife", "no weapons are missing")
cancels the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from directrix.policies.wording.english import trailing
from directrix.policies.wording.negation_scope import Denied, Item
from directrix.policies.wording.sentence import Part, Reading, Rules, Sentence
from directrix.policies.wording.words import WORDS

_FAR = 4  # words back that a first negation may stand before a second
_SUBJECT = 8  # words in "nobody in the crowd behind him"


class _Subject(NamedTuple):
    stop: int
    rewritten: str


class Negations(Rules):
    """The rules over one sentence."""

    def __init__(self, sentence: Sentence) -> None:
        super().__init__(sentence)
        self._denied = Denied(sentence)

    def before(self, at: int, since: int) -> Reading | None:
        """Reads a negation at `at` and the list it reaches over; words before `since` are used up."""
        hit = self.phrases.negation.match(self.words, at)
        if hit is None or (hit.meanings == ("orders",) and not self._ordered(at, hit.stop)):
            return None
        cue = hit.meanings[0]
        if self._text(hit.stop) in WORDS["adding"]:
            return Reading(hit.stop + 1)
        if second := self._second_negation(hit.stop):
            return Reading(second)
        if self._denied_already(at, since):
            return Reading(hit.stop)
        items, rewritten = self._denied.listed(hit.stop, cue, self._text(at)), ""
        if not any(item.meanings for item in items) and (said := self._past_subject(at, hit.stop, cue)):
            items = self._denied.listed(said.stop, "verbs", self._text(at)) or items
            rewritten = said.rewritten
        if not any(item.meanings for item in items):
            silent = not items or hit.meanings == ("orders",) or self._text(hit.stop - 1) in WORDS["nobody"]
            return Reading(hit.stop, (), () if silent else ((at, items[-1].stop),))
        stop = items[-1].stop
        if items[-1].meanings:
            after = predicate(self.sentence, stop)
            if after and after.denies:
                return Reading(after.stop)
            stop = max(after.stop if after else 0, trailing(self.words, stop))
        return self._reading(at, stop, items, rewritten if all(item.meanings for item in items) else "")

    def around(self, at: int, since: int) -> Reading | None:
        """Reads a denial on both sides of a list: "leave the gun out", "swap his sword for"."""
        hit = self.phrases.around.match(self.words, at)
        if hit is None or self._denied_already(at, since):
            return None
        items = self._denied.listed(hit.stop, "nouns", self._text(at))
        if not any(item.meanings for item in items):
            return None
        for closing in hit.meanings:
            end = closing.after.match(self.words, items[-1].stop)
            if end:
                stop = trailing(self.words, self._past_of(end.stop))
                return self._reading(at, stop, items, closing.rewritten)
        return None

    def after(self, at: int, since: int) -> Reading | None:
        """Reads a list of objects and what denies them: "-free", "are not allowed"."""
        items = self._denied.objects(at)
        if not items:
            return None
        stop = items[-1].stop
        if self._text(stop) == "free" and not self._denied_already(at, since):
            joined = self.words[stop].joined
            if joined or self._text(stop + 1) not in ("of", "from", "to", "for"):
                names = {each.name for item in items for each in item.meanings}
                drawn = self.sentence.drawn(stop + 1, names)
                return Reading(stop + 1) if drawn else self._reading(at, stop + 1, items)
        if any(self.phrases.free.match(self.words, item.start) for item in items):
            return None
        start = at
        while start > since and self._text(start - 1) in WORDS["modifiers"] | {"any", "all"}:
            start -= 1
        for end in (stop, trailing(self.words, stop)):
            said = predicate(self.sentence, end, start - 1)
            known = self.phrases.negation_after.match(self.words, end)
            last = max(said.stop if said and said.denies else 0, known.stop if known else 0)
            if last:
                return self._reading(start, trailing(self.words, self._past_of(last)), items)
        return None

    def _past_of(self, at: int) -> int:
        """Past "of the picture" after "out"."""
        if self._text(at - 1) == "out" and self._text(at) == "of":
            at = self._denied.past_fillers(at + 1)
            return max(self.sentence.noun_end(at), min(at + 1, len(self.words)))
        return at

    def _ordered(self, at: int, stop: int) -> bool:
        """Whether a clause begins at `at`, so that "drop the cigar" is a wish, and a certain object follows."""
        first = at == 0 or self.words[at - 1].mark or self._text(at - 1) in WORDS["polite"]
        return first and self._text(stop) not in ("a", "an", "by", "off")

    def _second_negation(self, at: int) -> int | None:
        """Where a second negation that cancels the first one ends: "not without", "never quite unarmed"."""
        for start in (at, self._denied.past_fillers(at)):
            hit = self.phrases.negation.match(self.words, start)
            if hit and hit.meanings == ("orders",):
                continue
            hit = hit or self.phrases.whole.match(self.words, start)
            if hit and self._text(hit.stop) not in ("of", "from"):
                return hit.stop
        return None

    def _denied_already(self, at: int, since: int) -> bool:
        """Whether an earlier word of the clause denies this negation: "never seen without a beer"."""
        wide = self._text(at) == "without"
        near = True
        for before in range(at - 1, since - 1, -1):
            text = self._text(before)
            if self.words[before].mark or text in WORDS["conjunctions"]:
                return False
            near = near and at - 1 - before <= _FAR
            far_no = wide and text == "no" and (before == 0 or self.words[before - 1].mark)
            if far_no or ((near or wide) and (text in WORDS["wide-negators"] or text.endswith("n't"))):
                return True
            if near and text in WORDS["negators"]:
                return True
            near = near and text not in WORDS["prepositions"]
            if not near and not wide:
                return False
        return False

    def _past_subject(self, at: int, stop: int, cue: str) -> _Subject | None:
        """The denied subject at `stop`, of which something is said: "nobody in the bar", "no soldier", "not one of
        them"."""
        named = ""
        if self._text(stop - 1) not in WORDS["nobody"]:
            if cue != "nouns" and self._text(at) != "not":
                return None
            begin = stop = self._denied.past_fillers(stop)
            end = min(self.sentence.noun_end(stop), stop + 3)
            people = [place for place in range(stop, end) if self.sentence.person(place)]
            if people:
                stop = people[0] + 1
                named = " ".join(word.text for word in self.words[begin:stop])
                named = named if named.endswith("s") or named == "people" else f"a {named}"
            elif self._text(begin - 1) not in WORDS["anybody"]:
                return None
        elif self._text(stop) not in WORDS["prepositions"]:
            return None
        for place in range(stop, min(stop + _SUBJECT, len(self.words))):
            text = self._text(place)
            if self.words[place].mark:
                return None
            if place == stop and text == "with":
                return _Subject(place + 1, named)
            if text in WORDS["saying"] - {"with"} or self.sentence.act(place):
                return _Subject(place, named or self._people(stop, place))
            if place == stop and text not in WORDS["prepositions"]:
                return None
        return None

    def _people(self, start: int, stop: int) -> str:
        """Who "nobody" is: "of the guards" are the guards, "in the bar" are people in the bar."""
        words = [self._text(place) for place in range(start, stop)]
        if words[:1] == ["of"]:
            return "" if words[-1] in ("them", "us", "whom", "these") else " ".join(words[1:])
        return f"people {' '.join(words)}" if words else ""

    def _reading(self, at: int, stop: int, items: Sequence[Item], rewritten: str = "") -> Reading:
        """All of the phrase is cut out if all of it was understood; else only the items that were."""
        whole = all(item.meanings for item in items)
        parts: list[Part] = []
        for item in items:
            span = (at, stop) if whole else (item.start, item.stop)
            for meaning in item.meanings:
                part = Part(*span, meaning.kind, meaning.name, rewritten)
                if part not in parts:
                    parts.append(part)
        unknown = tuple((item.start, item.stop) for item in items if not item.meanings)
        return Reading(stop, tuple(parts), unknown)


class Predicate(NamedTuple):
    """What is said up to `stop`: that the object is not there (`denies`), or that it is."""

    stop: int
    denies: bool


def predicate(sentence: Sentence, at: int, before: int = -1) -> Predicate | None:
    """Reads what is said from `at` on; `before` is the place of the word before the object.

    "A gun, removed" needs no verb; "a sword left out in the rain" is not read as "the sword is left out".
    """
    phrases, start, denied, verb = sentence.phrases, at, False, False
    while True:
        text = sentence.text(at)
        if text in WORDS["not"] or text.endswith("n't"):
            denied = not denied
            verb = verb or text != "nowhere"
        elif text == "no" and sentence.text(at + 1) == "longer":
            denied, at = not denied, at + 1
        elif text in WORDS["chain"]:
            verb = True
        elif text not in WORDS["between-chain"]:
            break
        at += 1
    if gone := phrases.gone.match(sentence.words, at):
        bare = not verb and sentence.text(before) in ("a", "an", "one", "his", "her", "its")
        return None if bare else Predicate(gone.stop, not denied)
    if at > start and (there := phrases.there.match(sentence.words, at)):
        return Predicate(there.stop, denied)
    return None
