"""Attributes left open: "any gender", "regardless of race or sex", "gender-balanced", "either male or female".

An attribute is open where a cue stands before or after its name, or where words for its values are joined. "Or"
always joins them; "and" does where they are plural or adjectives, because "a man and a woman" are these two.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from directrix.apply.english import ARTICLES, FUNCTION, NEGATORS, TRAILING, ends_noun, negated, person
from directrix.apply.phrases import Phrases, Value, Values
from directrix.apply.reading import Part, Reading
from directrix.apply.words import Word, word_set

_SMALL = ARTICLES | word_set(
    "their his her any all some others conceivable imaginable existing every "
    "each possible human different half person's of or no"
)
# After these words of a cue the values say something about a noun that stands before: nothing stands in for them.
_CLAUSE = word_set("who that which they it be whether if")
_PICTURES = word_set(
    "portrait photo picture image scene drawing emoji cartoon headshot "
    "party alley street break office workplace classroom"
)
_UNSTATED = word_set("specified given stated mentioned fixed named defined preferred")
_BE = word_set("may can could might be is are being either that which")
_BEFORE_VALUE = _SMALL - {"or", "of", "no"}
_JOINERS = {
    ("or",): "or",
    ("nor",): "",
    ("and", "/", "or"): "or",
    ("and",): "and",
    ("/",): "or",
    ("as", "well", "as"): "and",
    ("alongside",): "and",
    ("to",): "to",
}


class _Attributes(NamedTuple):
    stop: int
    items: tuple[tuple[int, int, tuple[str, ...]], ...]


class _Listed(NamedTuple):
    word: Value
    text: str
    article: bool


class Openings:
    """The rules over one sentence."""

    def __init__(self, words: Sequence[Word], phrases: Phrases) -> None:
        self.words, self.phrases = words, phrases

    def read(self, at: int, since: int) -> Reading | None:
        """Reads an attribute left open at `at`; words before `since` are used up."""
        cues = self._cues(at)
        starts_with_no = self.words[at].text in ("no", "without", "not", "never")
        for after, strong, open_already in reversed(cues):
            reading = self._values(at, after) or self._named(at, after, strong, open_already)
            if reading:
                reading = self._with_tail(reading)
                blocked = not starts_with_no and negated(self.words, at, since)
                return Reading(reading.stop) if blocked else reading
        return None

    def _with_tail(self, reading: Reading) -> Reading:
        """The same with "at all", "alike" or "please" after it."""
        tail = TRAILING.match(self.words, reading.stop)
        stop = (
            reading.stop + 1 if self._text(reading.stop) == "alike" else tail.stop if tail else reading.stop
        )
        parts = tuple(
            part._replace(stop=stop) if part.stop == reading.stop else part for part in reading.parts
        )
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
        unstated = self._text(stop) in _UNSTATED and denied
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
            or self._person(at)
            or any(lexicon.match(self.words, at) for lexicon in after)
        )

    def _person(self, at: int) -> bool:
        return at >= 0 and person(self.words, at, self.phrases.subjects)

    def _attributes(self, at: int, strong: bool, open_already: bool) -> _Attributes | None:
        """A list of names of attributes; unknown ones are kept in it without a name."""
        items: list[tuple[int, int, tuple[str, ...]]] = []
        stop = at
        while True:
            start = at
            while (open_already or items) and self._text(at) in _SMALL:
                at += 1
            hit = self.phrases.named.match(self.words, at)
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
        return alone and text not in FUNCTION and text not in NEGATORS

    def _text(self, at: int) -> str:
        return self.words[at].text if 0 <= at < len(self.words) else ""

    def _past_joiner(self, at: int) -> int:
        start = at
        if at < len(self.words) and self.words[at].text == ",":
            at += 1
        for text in ("and", "/", "or", "nor"):
            if at < len(self.words) and self.words[at].text == text:
                at += 1
        return at if at < len(self.words) else start

    def _values(self, at: int, after: int) -> Reading | None:
        for values in self.phrases.values:
            found = self._value_list(values, after)
            if found is None:
                continue
            stop, listed, joiner = found
            if len({each.word.value for each in listed}) < values.least:
                continue
            cues = {word.text for word in self.words[at:after]}
            if values.least > 2 and not values.heads and not self._of_somebody(stop):
                continue
            if joiner == "and" and not self._all_of_them(after, listed, cues):
                continue
            told = self._told(at, stop, listed, cues)
            if self.phrases.named.match(self.words, stop):
                # "male or female gender": the name goes with its values.
                stop = self.phrases.named.match(self.words, stop).stop  # pyright: ignore
            return Reading(stop, (Part(at, stop, "balance", values.name, told),))
        return None

    def _value_list(self, values: Values, at: int) -> tuple[int, list[_Listed], str] | None:
        """Where the list ends, its words, and what joins them: "or", "and", "to"."""
        listed: list[_Listed] = []
        joiners: set[str] = set()
        first_head = values.heads.match(self.words, at)
        if first_head:
            # "Skin may be light or dark".
            at = first_head.stop
            while self._text(at) in _BE:
                at += 1
        stop, headed = at, not values.heads or bool(first_head)
        while True:
            at, article = self._before_value(at)
            hit = values.words.match(self.words, at)
            if hit is None:
                break
            listed.append(_Listed(hit.meanings[0], self.words[hit.stop - 1].text, article))
            at = stop = hit.stop
            head = values.heads.match(self.words, at)
            if head:
                at = stop = head.stop
            headed = headed or bool(head)
            joiner, at = self._value_joiner(at)
            if not joiner or (joiner == "to" and not values.heads):
                break
            joiners.add(joiner)
        if not headed or not listed or joiners <= {","}:
            return None
        if values.heads and not first_head and not self._headed_at(values, stop):
            return None
        joiner = "or" if "or" in joiners else "to" if "to" in joiners else "and"
        return stop, listed, joiner

    def _before_value(self, at: int) -> tuple[int, bool]:
        """Past "a", "half of the" and "50 %", and whether an article is among them."""
        article = False
        while True:
            text, after = self._text(at), self._text(at + 1)
            if self._text(at - 1) == "half" and text == "of":
                at += 2 if after in ("them", "the") else 1
            elif text.isdecimal() and after in ("%", "percent"):
                at += 2
            elif text in _BEFORE_VALUE:
                article = article or text in ARTICLES
                at += 1
            else:
                return at, article

    def _headed_at(self, values: Values, stop: int) -> bool:
        return any(
            hit.stop == stop
            for start in range(max(0, stop - 3), stop)
            if (hit := values.heads.match(self.words, start))
        )

    def _value_joiner(self, at: int) -> tuple[str, int]:
        comma = at < len(self.words) and self.words[at].text == ","
        start = at + comma
        for texts, joiner in sorted(_JOINERS.items(), key=lambda item: -len(item[0])):
            if tuple(word.text for word in self.words[start : start + len(texts)]) == texts:
                return joiner, start + len(texts)
        return (",", start) if comma else ("", at)

    def _of_somebody(self, at: int) -> bool:
        """Whether people follow, or nothing: "black, white and Asian" may be said of a kitchen."""
        return ends_noun(self.words, at) or any(self._person(each) for each in range(at, at + 3))

    def _all_of_them(self, at: int, listed: Sequence[_Listed], cues: set[str]) -> bool:
        """Whether values joined by "and" stand for everybody, rather than for one person of each."""
        if "both" in cues or "mix" in cues or "either" in cues:
            return not any(each.article for each in listed)
        before = self.words[at - 1].text if at else ""
        if before in ("a", "an", "one") or any(each.article for each in listed):
            return False
        return all(each.word.plural or not each.word.told for each in listed)

    def _told(self, at: int, stop: int, listed: Sequence[_Listed], cues: set[str]) -> str:
        """What stands in for the values: "person" for "man or woman", an article for "a male or a female"."""
        first = listed[0]
        article = any(each.article for each in listed)
        before = self.words[at - 1] if at else None
        if cues & _CLAUSE:
            return ""
        describes = self._person(stop)
        nouns = [each.word for each in listed if each.word.told]
        if describes or not nouns:
            goes_on = stop < len(self.words) and not ends_noun(self.words, stop)
            alone = before is not None and before.text in ARTICLES
            return "a" if article and goes_on and not alone else ""
        # "A judge, either a man or a woman,": said of the judge; nobody else comes in.
        said_of = (not article and not nouns[0].plural) or (
            self._text(at - 2) not in _PICTURES and self._person(at - 2)
        )
        if before is not None and before.mark and said_of:
            return ""
        told = nouns[0].told
        return told if not first.article or nouns[0].plural else f"a {told}"
