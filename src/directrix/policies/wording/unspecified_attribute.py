"""Attributes left open: "any gender", "regardless of race or sex", "gender-balanced", "either male or female".

An attribute is open where a cue stands before or after its name, or where words for its values are joined, which is
the business of `coordination`.
"""

from __future__ import annotations

from directrix.policies.wording import coordination
from directrix.policies.wording.sentence import Item, Reading, Sentence
from directrix.policies.wording.tokens import WORDS

_CUES = 5  # cues in a row, at most


def read(s: Sentence, at: int, since: int) -> Reading | None:
    """Reads an attribute left open at `at`; words before `since` are used up."""
    # After none, one, two, ... cues: where they end, and whether a strong or any full one is there.
    cues = [(at, False, False)]
    while len(cues) <= _CUES and (hit := s.phrases.openness.match(s.texts, cues[-1][0])):
        strong = cues[-1][1] or "strong" in hit.meanings
        cues.append((hit.stop, strong, cues[-1][2] or strong or "before" in hit.meanings))
    for after, strong, open_already in reversed(cues):
        reading = coordination.read(s, at, after) or _named(s, at, after, strong, open_already)
        if reading:
            stop = reading.stop
            if (not s.person(stop - 1) and s.other(stop)) or s.for_others(at):
                # "Male and female ducks", "gender-neutral clothes", "a cream for all skin types".
                return Reading(stop)
            after = stop + 1 if s[stop] == "alike" else s.past_trailing(stop)
            if s[at] not in ("no", "without", "not", "never") and s.negated(at, since):
                return Reading(after)
            parts = (part._replace(stop=after) if part.stop == stop else part for part in reading.parts)
            return reading._replace(stop=after, parts=tuple(parts))
    return None


def _named(s: Sentence, at: int, after: int, strong: bool, open_already: bool) -> Reading | None:
    """Reads names of attributes at `after`, behind the cues that begin at `at`; unknown ones may be among them."""

    def read(at: int, more: bool) -> Item | None:
        begin = s.skip(at, WORDS["before-attribute"]) if open_already or more else at
        hit = s.named(s.phrases.named, begin)
        unread = s.phrases.unread.past(s.texts, begin)
        if hit and unread <= hit.stop:
            return Item(at, hit.stop, hit.meanings)
        if not unread and strong and (not more or s[begin - 1] == "or") and _other_attribute(s, begin):
            unread = begin + 1
        return Item(at, unread, ()) if unread else None

    # "No gender given", "neither sex nor race specified".
    denied = after == at and s[at] in ("no", "neither")
    items = s.listed(after + denied, "attributes", read)
    if not items:
        return None
    stop = items[-1].stop
    tail = s.phrases.openness_after.past(s.texts, stop)
    if denied:
        tail = stop + 1 if s[stop] in WORDS["unstated"] else 0
    if not tail and (denied or not open_already or (not strong and not _ends(s, stop))):
        return None
    return Reading.of(at, tail or stop, items)


def _ends(s: Sentence, at: int) -> bool:
    """Whether the name of an attribute that ends before `at` is not the first half of another noun."""
    after = (s.phrases.negation, s.phrases.whole, s.phrases.openness)
    ended = s[at - 1].endswith("s") or s.ends_noun(at) or s.person(at)
    return ended or any(lexicon.past(s.texts, at) for lexicon in after)


def _other_attribute(s: Sentence, at: int) -> bool:
    """Whether the word at `at` may name an attribute that nothing here knows."""
    return not s.stops(at) and s.ends_noun(at + 1) and s[at] not in WORDS["function"] | WORDS["negators"]
