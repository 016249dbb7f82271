"""One value of an attribute, denied as the only one: "not only women", "do not default to white", "need not be a man".

Such wording wants the other values too, so it evens the attribute. "Not just a man" says something else of one man,
and "not only white" may be said of a wall.
"""

from __future__ import annotations

from directrix.policies.wording.sentence import Part, Reading, Sentence
from directrix.policies.wording.tokens import WORDS

_GROUP = 5  # words in "that the surgeon is"
_JOINERS = ("or", "and", ",", "but", "also", "nor", "/")


def read(s: Sentence, at: int) -> Reading | None:
    """Reads a value denied as the only one at `at`."""
    hit = s.phrases.sided.match(s.texts, at)
    if hit is None:
        return None
    presumed = "presumed" in hit.meanings
    start, subject = _past_subject(s, hit.stop) if presumed else (hit.stop, "")
    names: list[str] = []
    stop = 0
    while found := _value(s, start, presumed):
        stop, name = found
        names.append(name)
        start = s.skip(stop, _JOINERS)
        if start == stop:
            break
    if not names:
        return None
    if s.other(stop) or (not presumed and s[stop] in WORDS["auxiliaries"]):
        return Reading(stop)
    article = not {"a", "an"}.isdisjoint(s.texts[at : hit.stop])
    rewritten = "a" if article and not subject and not s.ends_noun(stop) else subject
    return Reading(stop, tuple(Part(at, stop, "balance", name, rewritten) for name in dict.fromkeys(names)))


def _past_subject(s: Sentence, at: int) -> tuple[int, str]:
    """Past "the surgeon is", and what of it stays in the prompt."""
    for place in range(at, at + _GROUP):
        if s.stops(place):
            break
        if s[place] in WORDS["be"] and place > at:
            group = [text for text in s.texts[at:place] if text != "that"]
            return place + 1, "" if set(group) <= WORDS["pronouns"] else " ".join(group)
    if s[at - 1] in ("every", "each", "all", "the"):
        # "Don't make every nanny a woman".
        return min(s.noun_end(at), at + 3), ""
    return at + (s[at] in WORDS["pronouns"]), ""


def _value(s: Sentence, at: int, presumed: bool) -> tuple[int, str] | None:
    """Where one value with the noun it describes ends, and its attribute."""
    begin, at = at, s.skip(at, WORDS["before-sole-value"])
    if not presumed and not WORDS["articles"].isdisjoint(s.texts[begin:at]):
        return None
    for values in s.phrases.values:
        hit = values.words.match(s.texts, at)
        if hit is None:
            continue
        head = values.heads.past(s.texts, hit.stop) or values.tails.past(s.texts, hit.stop)
        stop = head or hit.stop
        if values.heads or values.least > 2:
            fits = bool(head) or _of_people(s, stop, presumed)
        else:
            # Said of all: plural or an adjective.
            fits = presumed or hit.meanings[0].plural or not hit.meanings[0].rewritten
        if fits:
            return stop + (s[stop] in ("people", "person", "persons", "ones", "characters")), values.name
    return None


def _of_people(s: Sentence, stop: int, presumed: bool) -> bool:
    """Whether a colour before `stop` is that of people."""
    return s.person(stop) or (s.ends_noun(stop) and (presumed or (s.has_people and not s.has_others)))
