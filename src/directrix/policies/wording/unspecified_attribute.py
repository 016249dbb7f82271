"""Attributes left open: "any gender", "regardless of race or sex", "gender-balanced", "either male or female".

An attribute is open where a cue stands before or after its name, or where words for its values are joined, which is
the business of `values`.
"""

from __future__ import annotations

from typing import NamedTuple

from directrix.policies.wording.coordination import JoinedValues
from directrix.policies.wording.english import ends_noun, negated, trailing
from directrix.policies.wording.sentence import Part, Reading, Rules, Sentence
from directrix.policies.wording.words import WORDS


class _Attributes(NamedTuple):
    stop: int
    items: tuple[tuple[int, int, tuple[str, ...]], ...]


class Openings(Rules):
    """The rules over one sentence."""

    def __init__(self, sentence: Sentence) -> None:
        super().__init__(sentence)
        self._joined = JoinedValues(sentence)

    def read(self, at: int, since: int) -> Reading | None:
        """Reads an attribute left open at `at`; words before `since` are used up."""
        cues = self._cues(at)
        starts_with_no = self.words[at].text in ("no", "without", "not", "never")
        for after, strong, open_already in reversed(cues):
            reading = self._joined.read(at, after) or self._named(at, after, strong, open_already)
            if reading:
                names_people = self.sentence.person(reading.stop - 1)
                if (not names_people and self.sentence.other(reading.stop)) or self.sentence.for_others(at):
                    # "Male and female ducks", "gender-neutral clothes", "a cream for all skin types".
                    return Reading(reading.stop)
                reading = self._with_tail(reading)
                blocked = not starts_with_no and negated(self.words, at, since)
                return Reading(reading.stop) if blocked else reading
        return None

    def _with_tail(self, reading: Reading) -> Reading:
        """The same with "at all", "alike" or "please" after it."""
        alike = self._text(reading.stop) == "alike"
        stop = reading.stop + 1 if alike else trailing(self.words, reading.stop)
        parts = tuple(part._replace(stop=stop) if part.stop == reading.stop else part for part in reading.parts)
        return reading._replace(stop=stop, parts=parts)

    def _cues(self, at: int) -> list[tuple[int, bool, bool]]:
        """After none, one, two, ... cues from `at`: where they end, and whether a strong or any full one is there."""
        found = [(at, False, False)]
        while len(found) < 6:
            after, strong, full = found[-1]
            hit = self.phrases.openness.match(self.words, after)
            if hit is None:
                break
            strong = strong or "strong" in hit.meanings
            found.append((hit.stop, strong, full or strong or "before" in hit.meanings))
        return found

    def _named(self, at: int, after: int, strong: bool, open_already: bool) -> Reading | None:
        # "No gender given", "neither sex nor race specified".
        denied = after == at and self._text(at) in ("no", "neither")
        attributes = self._attributes(after + denied, strong, open_already)
        if attributes is None:
            return None
        stop, items = attributes
        tail = self.phrases.openness_after.match(self.words, stop)
        unstated = self._text(stop) in WORDS["unstated"] and denied
        if denied and not unstated:
            return None
        if unstated:
            stop += 1
        elif tail:
            stop = tail.stop
        elif not open_already or (not strong and not self._ends(stop)):
            return None
        whole = all(names for _, _, names in items)
        parts = [
            Part(*((at, stop) if whole else (start, end)), "balance", name)
            for start, end, names in items
            for name in names
        ]
        unknown = tuple((start, end) for start, end, names in items if not names)
        return Reading(stop, tuple(dict.fromkeys(parts)), unknown) if parts or unknown else None

    def _ends(self, at: int) -> bool:
        """Whether the name of an attribute that ends before `at` is not the first half of another noun."""
        after = (self.phrases.negation, self.phrases.whole, self.phrases.openness)
        return (
            self._text(at - 1).endswith("s")
            or ends_noun(self.words, at)
            or self.sentence.person(at)
            or any(lexicon.match(self.words, at) for lexicon in after)
        )

    def _attributes(self, at: int, strong: bool, open_already: bool) -> _Attributes | None:
        """A list of names of attributes; unknown ones stand in it without a name."""
        items: list[tuple[int, int, tuple[str, ...]]] = []
        stop = at
        while True:
            start = at
            while (open_already or items) and self._text(at) in WORDS["before-attribute"]:
                at += 1
            hit = self.sentence.named(self.phrases.named, at)
            unread = self.phrases.unread.match(self.words, at)
            if hit and (unread is None or unread.stop <= hit.stop):
                items.append((start, hit.stop, tuple(each.name for each in hit.meanings)))
                stop = hit.stop
            elif unread:
                items.append((start, unread.stop, ()))
                stop = unread.stop
            elif strong and self._other_attribute(at) and (not items or self._text(at - 1) == "or"):
                items.append((start, at + 1, ()))
                stop = at + 1
            else:
                break
            at = self._past_joiner(stop)
            if at == stop:
                break
        return _Attributes(stop, tuple(items)) if items else None

    def _other_attribute(self, at: int) -> bool:
        """Whether the word at `at` may name an attribute that nothing here knows."""
        text = self._text(at)
        alone = at < len(self.words) and not self.words[at].mark and ends_noun(self.words, at + 1)
        return alone and text not in WORDS["function"] and text not in WORDS["negators"]

    def _past_joiner(self, at: int) -> int:
        start = at
        if self._text(at) == ",":
            at += 1
        for text in ("and", "/", "or", "nor"):
            if self._text(at) == text:
                at += 1
        return at if at < len(self.words) else start
