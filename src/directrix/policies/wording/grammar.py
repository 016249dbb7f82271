"""The grammar: one pass over a prompt from left to right; at each word the first rule that has something to say."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import SequenceMatcher

from directrix.policies.wording import negation, stereotype, tokens, unspecified_attribute
from directrix.policies.wording.lexicon import Lexicon
from directrix.policies.wording.phrases import Phrases, Whole
from directrix.policies.wording.sentence import Part, Reading, Sentence
from directrix.policies.wording.tokens import WORDS
from directrix.policies.wording.types import Switch, Understanding

_ROUNDS = 8
_NEAR = 4


def read(prompt: str, phrases: Phrases | None = None) -> Understanding:
    """Finds the responsible wording of a prompt by the rules; None for the shipped phrases."""
    phrases = phrases or Phrases.load()
    words = tokens.read(prompt, phrases.spellings)
    switches: dict[Switch, None] = {}
    unknown: dict[str, None] = {}

    def understood() -> Understanding:
        order = sorted(switches, key=lambda each: (each.start, each.end))
        return Understanding(prompt, tuple(order), tuple(unknown))

    # Two phrases may enclose a third: "no, thank you, unarmed, weapons". What is left must hold none.
    for again in range(_ROUNDS):
        cut: set[int] = set()
        for reading in _readings(Sentence(words, phrases)):
            for part in reading.parts:
                start, end = words[part.start].start, words[part.stop - 1].end
                switches[Switch(part.kind, part.name, prompt[start:end], start, end, part.rewritten)] = None
                cut |= set(range(part.start, part.stop))
            for start, stop in reading.unknown if not again else ():
                unknown[prompt[words[start].start : words[stop - 1].end]] = None
        if not cut:
            break
        left = [word.text for word in tokens.read(understood().rewritten, phrases.spellings)]
        uncut = [word for at, word in enumerate(words) if at not in cut]
        same = SequenceMatcher(None, left, [word.text for word in uncut]).get_matching_blocks()
        words = [word for block in same for word in uncut[block.b : block.b + block.size]]
    return understood()


def _readings(s: Sentence) -> Iterator[Reading]:
    at = since = 0
    while at < len(s):
        reading = stereotype.read(s, at) or unspecified_attribute.read(s, at, since)
        lookalike = s.phrases.lookalikes.past(s.texts, at)
        if lookalike and (reading is None or lookalike >= reading.stop):
            at = lookalike
            continue
        reading = reading or _whole(s, at, since) or negation.around(s, at, since) or negation.before(s, at, since)
        reading = reading or negation.after(s, at, since) or _unknown_free(s, at)
        if reading is None:
            at += 1
            continue
        yield _with_adverb(s, at, since, reading)
        at = max(reading.stop, at + 1)
        since = at if reading.parts else since


def _with_adverb(s: Sentence, at: int, since: int, reading: Reading) -> Reading:
    """The same with "truly" or "fully" before it."""
    start = at
    while start > since and (
        s[start - 1] in ("very", "so", "quite", "more", "most")
        or (s[start - 1].endswith("ly") and s.ends_noun(start - 1))
    ):
        start -= 1
    parts = tuple(part._replace(start=start) if part.start == at else part for part in reading.parts)
    return reading._replace(parts=parts)


def _whole(s: Sentence, at: int, since: int) -> Reading | None:
    """A phrase that stands in the tables as a whole."""
    hit = s.phrases.whole.match(s.texts, at)
    if hit is None:
        return None
    if s.negated(at, since):
        return Reading(hit.stop)
    fitting = [each for each in hit.meanings if _fits(s, at, hit.stop, each)]
    if not fitting:
        return Reading(hit.stop, (), ((at, hit.stop),))
    stop = hit.stop
    if any(each.through for each in fitting):
        stop += s[stop] in WORDS["determiners"]
        end = s.noun_end(stop)
        stop = next((at for at in range(stop + 1, end) if s[at].endswith("ing")), end)
        stop += s[stop] in ("itself", "themselves")
    # Nobody else comes in where it is said of somebody: "a judge, non-smoker".
    aside = at > 0 and s.stops(at - 1)
    return Reading(
        stop, tuple(Part(at, stop, each.kind, each.name, "" if aside else each.rewritten) for each in fitting)
    )


def _fits(s: Sentence, start: int, after: int, meaning: Whole) -> bool:
    if not s.fits(meaning.beside) or _in_noun(s, after, meaning.not_before):
        return False
    if meaning.before and not _in_noun(s, after, meaning.before):
        return False
    if meaning.of and (s.other(after) or s.for_others(start)):
        return False
    return meaning.of != "subjects" or _of_somebody(s, start, after)


def _in_noun(s: Sentence, at: int, lexicon: Lexicon[bool]) -> bool:
    """Whether one of these words stands at `at`, or ends the noun phrase that begins there."""
    at += s[at] in WORDS["determiners"]
    stops = [lexicon.past(s.texts, place) for place in range(at, s.noun_end(at))]
    return lexicon.past(s.texts, at) > 0 or any(stop and s.ends_noun(stop) for stop in stops)


def _of_somebody(s: Sentence, start: int, after: int) -> bool:
    """Whether words[start:after] is said of a person, a group or an image of them."""
    if s[start] in WORDS["prepositions"]:
        return start > 0 and (s.stops(start - 1) or s.person(start - 1))
    for at in range(after, min(after + _NEAR, len(s))):
        if s.person(at):
            return True
        if (s.stops(at) and s[at] != ",") or s[at] in WORDS["prepositions"] - {"of"}:
            break
        if at == after and s[at] in WORDS["function"] - {"and"}:
            return True
    return s.stops(after)


def _unknown_free(s: Sentence, at: int) -> Reading | None:
    """ "Sugar-free": looks responsible, means nothing here."""
    if s.joined(at + 1) and s[at + 1] == "free" and not s.stops(at):
        return Reading(at + 2, (), ((at, at + 2),))
    return None
