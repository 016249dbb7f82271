"""Joined values of an attribute: "male or female", "men and women", "half girls, half boys", "from pale to dark skin".

"Or" always joins them; "and" does where they are plural or adjectives, because "a man and a woman" are these two.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from directrix.policies.wording.phrases import Value, Values
from directrix.policies.wording.sentence import Part, Reading, Sentence
from directrix.policies.wording.tokens import WORDS

_SHARES = WORDS["shares"] | {"%", "percent"}


def read(s: Sentence, at: int, after: int) -> Reading | None:
    """Reads joined values at `after`, behind the cues that begin at `at`."""
    cues = set(s.texts[at:after])
    for values in s.values:
        stop, listed, joiner = _list(s, values, after)
        if not listed:
            continue
        tail = values.tails.past(s.texts, stop)
        stop = tail or stop
        if values.least > 2 and not tail and not _of_people(s, at, stop, listed):
            continue
        # "Black or white" is enough of somebody in particular.
        certain = tail or (joiner == "or" and _beside_people(s, at, stop))
        if len({each.value for each, _, _ in listed}) < (2 if certain else values.least):
            continue
        if (values.joined and joiner != values.joined) or (joiner == "and" and not _all(s, after, listed, cues)):
            continue
        rewritten = _rewritten(s, at, stop, listed, cues)
        # "Male or female gender": the name goes with its values.
        named = s.phrases.named.past(s.texts, stop)
        # "Men, women and non-binary people".
        people = s[stop] == "people" and any(each.rewritten for each, _, _ in listed)
        stop = named or stop + people
        return Reading(stop, (Part(at, stop, "balance", values.name, rewritten),))
    return None


# A value, its last word, and whether an article is before it.
_Listed = tuple[Value, str, bool]


def _list(s: Sentence, values: Values, at: int) -> tuple[int, list[_Listed], str]:
    """Where the list ends, its values, and what joins them: "or", "and", "to"; no values where nothing does."""
    listed: list[_Listed] = []
    joiners: set[str] = set()
    first_head = values.heads.past(s.texts, at)
    if first_head:
        # "Skin may be light or dark".
        at = s.skip(first_head, WORDS["be-ranging"])
    stop, headed, shares = at, not values.heads or first_head > 0, 0
    while True:
        start = at
        at, article = _before_value(s, at)
        # What share of them the next value is of: "half the", "50 %".
        shares += not _SHARES.isdisjoint(s.texts[start:at])
        hit = values.words.match(s.texts, at)
        if hit is None:
            break
        listed.append((hit.meanings[0], s[hit.stop - 1], article))
        head = values.heads.past(s.texts, hit.stop)
        headed = headed or head > 0
        stop = head or hit.stop
        joiner, at = s.joiner(stop, "values")
        if not joiner and s[at] in WORDS["shares"] and shares:
            joiner = ","
        if not joiner or (joiner == "to" and not values.heads):
            break
        joiners.add(joiner)
    if shares > 1:
        joiners.add("or" if "sometimes" in s.texts[:stop] else "and")
    far = values.heads and not first_head and not s.ends(values.heads, stop, 3)
    joiner = next((each for each in ("or", "to", "and") if each in joiners), "")
    return stop, listed if headed and joiner and not far else [], joiner


def _before_value(s: Sentence, at: int) -> tuple[int, bool]:
    """Past "a", "half of the" and "50 %", and whether an article is among them."""
    article = False
    while True:
        text, after = s[at], s[at + 1]
        if s[at - 1] in ("half", "some", "part") and text == "of":
            at += 2 if after in ("them", "the") else 1
        elif text.isdecimal() and after in ("%", "percent"):
            at += 2
        elif text == "sometimes" or text in WORDS["before-value"]:
            article = article or text in WORDS["articles"]
            at += 1
        else:
            return at, article


def _of_people(s: Sentence, at: int, stop: int, listed: Sequence[_Listed]) -> bool:
    """Whether people follow, or nothing: "black, white and Asian" may be said of a kitchen."""
    if any(s.person(each) for each in range(stop, stop + 3)):
        return True
    colors = {text for _, text, _ in listed} <= WORDS["colors"]
    return s.ends_noun(stop) and (not colors or _beside_people(s, at, stop))


def _beside_people(s: Sentence, at: int, stop: int) -> bool:
    """Whether values in words[at:stop] are certainly said of people: the next noun, or the last one before a comma."""
    if s.person(stop) or (s[at - 1] == "," and s.person(at - 2)):
        return True
    # Set off, in a prompt that has a person in it and no animal or object that could be of these colours.
    return s.ends_noun(stop) and s.stops(at - 1) and s.has_people and not s.has_others


def _all(s: Sentence, at: int, listed: Sequence[_Listed], cues: Collection[str]) -> bool:
    """Whether values joined by "and" stand for everybody, rather than for one person of each."""
    if any(article for _, _, article in listed):
        return False
    if not {"both", "mix", "either"}.isdisjoint(cues):
        return True
    return s[at - 1] not in ("a", "an", "one") and all(each.plural or not each.rewritten for each, _, _ in listed)


def _rewritten(s: Sentence, at: int, stop: int, listed: Sequence[_Listed], cues: Collection[str]) -> str:
    """What stands in for the values: "person" for "man or woman", an article for "a male or a female"."""
    article = any(article for _, _, article in listed)
    if not WORDS["clause"].isdisjoint(cues):
        return ""
    noun = next((each for each, _, _ in listed if each.rewritten), None)
    if s.person(stop) or noun is None:
        goes_on = not s.ends_noun(stop)
        return "a" if article and goes_on and s[at - 1] not in WORDS["articles"] else ""
    # "A judge, either a man or a woman,": said of the judge; nobody else comes in.
    of_person = s[at - 2] not in WORDS["pictures"] and s.person(at - 2)
    if at and s.stops(at - 1) and ((not article and not noun.plural) or of_person):
        return ""
    return f"a {noun.rewritten}" if listed[0][2] and not noun.plural else noun.rewritten
