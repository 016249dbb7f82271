"""Denied objects: "no weapons", "nobody in the bar smokes", "smoke-free", "leave the cigar out", "guns must not be".

`negation_scope` finds what a negation reaches over. A second one ("not without a knife", "no weapons are missing")
cancels the first.
"""

from __future__ import annotations

from directrix.policies.wording.negation_scope import denied, objects
from directrix.policies.wording.sentence import Reading, Sentence
from directrix.policies.wording.tokens import WORDS

_FAR = 4  # words back that a first negation may stand before a second
_SUBJECT = 8  # words in "nobody in the crowd behind him"


def before(s: Sentence, at: int, since: int) -> Reading | None:
    """Reads a negation at `at` and the list it reaches over; words before `since` are used up."""
    hit = s.phrases.negation.match(s.texts, at)
    order = hit is not None and hit.meanings == ("orders",)
    if hit is None or (order and not _ordered(s, at, hit.stop)):
        return None
    cue, stop = hit.meanings[0], hit.stop
    if s[stop] in WORDS["adding"]:
        return Reading(stop + 1)
    if second := _second_negation(s, stop):
        return Reading(second)
    if _denied_already(s, at, since):
        return Reading(stop)
    items, rewritten = denied(s, stop, cue, s[at]), ""
    if not any(item.meanings for item in items):
        place, rewritten = _past_subject(s, at, stop, cue)
        items = (denied(s, place, "verbs", s[at]) if place else []) or items
    if not any(item.meanings for item in items):
        silent = not items or order or s[stop - 1] in WORDS["nobody"]
        return Reading(stop, (), () if silent else ((at, items[-1].stop),))
    stop = items[-1].stop
    if items[-1].meanings:
        after, denies = _predicate(s, stop)
        if denies:
            return Reading(after)
        stop = max(after, s.past_trailing(stop))
    return Reading.of(at, stop, items, rewritten)


def around(s: Sentence, at: int, since: int) -> Reading | None:
    """Reads a denial on both sides of a list: "leave the gun out", "swap his sword for"."""
    hit = s.phrases.around.match(s.texts, at)
    if hit is None or _denied_already(s, at, since):
        return None
    items = denied(s, hit.stop, "nouns", s[at])
    for closing, rewritten in hit.meanings if any(item.meanings for item in items) else ():
        if end := closing.past(s.texts, items[-1].stop):
            return Reading.of(at, s.past_trailing(_past_of(s, end)), items, rewritten)
    return None


def after(s: Sentence, at: int, since: int) -> Reading | None:
    """Reads a list of objects and what denies them: "-free", "are not allowed"."""
    items = objects(s, at)
    if not items:
        return None
    stop = items[-1].stop
    free = s.joined(stop) or s[stop + 1] not in ("of", "from", "to", "for")
    if s[stop] == "free" and free and not _denied_already(s, at, since):
        drawn = s.drawn(stop + 1, {each.name for item in items for each in item.meanings})
        return Reading(stop + 1) if drawn else Reading.of(at, stop + 1, items)
    if any(s.phrases.free.past(s.texts, item.start) for item in items):
        return None
    start = at
    while start > since and s[start - 1] in WORDS["modifiers"] | {"any", "all"}:
        start -= 1
    for end in (stop, s.past_trailing(stop)):
        said, denies = _predicate(s, end, start - 1)
        last = max(said if denies else 0, s.phrases.negation_after.past(s.texts, end))
        if last:
            return Reading.of(start, s.past_trailing(_past_of(s, last)), items)
    return None


def _past_of(s: Sentence, at: int) -> int:
    """Past "of the picture" after "out"."""
    if s[at - 1] == "out" and s[at] == "of":
        at = s.past_fillers(at + 1)
        return max(s.noun_end(at), min(at + 1, len(s)))
    return at


def _ordered(s: Sentence, at: int, stop: int) -> bool:
    """Whether a clause begins at `at`, so that "drop the cigar" is a wish, and a certain object follows."""
    first = s.stops(at - 1) or s[at - 1] in WORDS["polite"]
    return first and s[stop] not in ("a", "an", "by", "off")


def _second_negation(s: Sentence, at: int) -> int | None:
    """Where a second negation that cancels the first one ends: "not without", "never quite unarmed"."""
    for start in (at, s.past_fillers(at)):
        hit = s.phrases.negation.match(s.texts, start)
        if hit and hit.meanings == ("orders",):
            continue
        stop = hit.stop if hit else s.phrases.whole.past(s.texts, start)
        if stop and s[stop] not in ("of", "from"):
            return stop
    return None


def _denied_already(s: Sentence, at: int, since: int) -> bool:
    """Whether an earlier word of the clause denies this negation: "never seen without a beer"."""
    wide = s[at] == "without"
    near = True
    for place in range(at - 1, since - 1, -1):
        text = s[place]
        if s.stops(place) or text in WORDS["conjunctions"]:
            return False
        near = near and at - 1 - place <= _FAR
        if wide and text == "no" and s.stops(place - 1):
            return True
        if (near or wide) and (text in WORDS["wide-negators"] or text.endswith("n't")):
            return True
        if near and text in WORDS["negators"]:
            return True
        near = near and text not in WORDS["prepositions"]
        if not near and not wide:
            return False
    return False


def _past_subject(s: Sentence, at: int, stop: int, cue: str) -> tuple[int, str]:
    """Past the denied subject at `stop`, of which something is said, and who it is: "nobody in the bar", "no soldier",
    "not one of them"; 0 for none."""
    named = ""
    if s[stop - 1] in WORDS["nobody"]:
        if s[stop] not in WORDS["prepositions"]:
            return 0, ""
    elif cue != "nouns" and s[at] != "not":
        return 0, ""
    else:
        begin = stop = s.past_fillers(stop)
        people = [place for place in range(stop, min(s.noun_end(stop), stop + 3)) if s.person(place)]
        if people:
            stop = people[0] + 1
            named = " ".join(s.texts[begin:stop])
            named = named if named.endswith("s") or named == "people" else f"a {named}"
        elif s[begin - 1] not in WORDS["anybody"]:
            return 0, ""
    if s[stop] == "with":
        return stop + 1, named
    for place in range(stop, stop + _SUBJECT):
        if s.stops(place):
            break
        if s[place] in WORDS["saying"] or s.act(place):
            return place, named or _people(s.texts[stop:place])
        if place == stop and s[place] not in WORDS["prepositions"]:
            break
    return 0, ""


def _people(words: tuple[str, ...]) -> str:
    """Who "nobody" is: "of the guards" are the guards, "in the bar" are people in the bar."""
    if words[:1] == ("of",):
        return "" if words[-1] in ("them", "us", "whom", "these") else " ".join(words[1:])
    return f"people {' '.join(words)}" if words else ""


def _predicate(s: Sentence, at: int, before: int = -1) -> tuple[int, bool]:
    """Where that ends which is said of an object from `at` on, and whether it says that the object is not there.

    `before` is the place of the word before the object. "A gun, removed" needs no verb; "a sword left out in the rain"
    is not read as "the sword is left out". (0, False) where nothing is said of it.
    """
    start, denies, verb = at, False, False
    while True:
        text = s[at]
        if text in WORDS["not"] or text.endswith("n't"):
            denies = not denies
            verb = verb or text != "nowhere"
        elif text == "no" and s[at + 1] == "longer":
            denies, at = not denies, at + 1
        elif text in WORDS["chain"]:
            verb = True
        elif text not in WORDS["between-chain"]:
            break
        at += 1
    if gone := s.phrases.gone.past(s.texts, at):
        bare = not verb and s[before] in ("a", "an", "one", "his", "her", "its")
        return (0, False) if bare else (gone, not denies)
    there = s.phrases.there.past(s.texts, at) if at > start else 0
    return there, denies and there > 0
