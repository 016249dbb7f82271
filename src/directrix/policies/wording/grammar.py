"""The grammar: one pass over a prompt from left to right; at each word the first rule that has something to say."""

from __future__ import annotations

from collections.abc import Sequence

from directrix.policies.wording import tokens
from directrix.policies.wording.english import ends_noun, negated
from directrix.policies.wording.lexicon import Lexicon
from directrix.policies.wording.negation import Negations
from directrix.policies.wording.phrases import Phrases, Whole
from directrix.policies.wording.rewrite import Cut, cut_out
from directrix.policies.wording.sentence import Part, Reading, Sentence
from directrix.policies.wording.stereotype import OneSided
from directrix.policies.wording.tokens import WRITTEN, Word
from directrix.policies.wording.types import Switch, Understanding
from directrix.policies.wording.unspecified_attribute import Openings
from directrix.policies.wording.words import WORDS

_ROUNDS = 8
_NEAR = 4


def read(prompt: str, phrases: Phrases | None = None) -> Understanding:
    """Finds the responsible wording of a prompt by the rules; None for the shipped phrases."""
    phrases = phrases or Phrases.load()
    switches, unknown = _read(prompt, phrases)
    # Two phrases may enclose a third: "no, thank you, unarmed, weapons". What is left must hold none.
    for _ in range(_ROUNDS):
        rewritten = cut_out(prompt, (Cut(each.start, each.end, each.instead) for each in switches))
        more = (
            [_moved(each, prompt, rewritten.origins) for each in _read(rewritten.text, phrases)[0]] if switches else []
        )
        if not more:
            break
        switches = sorted({*switches, *more}, key=lambda each: (each.start, each.end))
    return Understanding(prompt, tuple(switches), tuple(dict.fromkeys(unknown)))


def _moved(switch: Switch, prompt: str, origins: Sequence[int]) -> Switch:
    """A switch found in what is left, pointing at the prompt again."""
    places = [place for place in origins[switch.start : switch.end] if place >= 0]
    start = min(places, default=0)
    end = max(places, default=-1) + 1
    while 0 < end < len(prompt) and prompt[end].isalnum():
        end += 1
    return Switch(switch.kind, switch.name, prompt[start:end], start, end, switch.instead)


def _read(prompt: str, phrases: Phrases) -> tuple[list[Switch], list[str]]:
    words = tokens.read(prompt, phrases.spellings)
    switches: list[Switch] = []
    unknown: list[str] = []
    for reading in _readings(words, phrases):
        for part in reading.parts:
            start, end = words[part.start].start, words[part.stop - 1].end
            switch = Switch(part.kind, part.name, prompt[start:end], start, end, part.rewritten)
            if switch not in switches:
                switches.append(switch)
        unknown += [prompt[words[start].start : words[stop - 1].end] for start, stop in reading.unknown]
    return switches, unknown


def _readings(words: Sequence[Word], phrases: Phrases) -> list[Reading]:
    sentence = Sentence(words, phrases)
    negations, openings, onesided = Negations(sentence), Openings(sentence), OneSided(sentence)
    readings: list[Reading] = []
    at = since = 0
    while at < len(words):
        if words[at].text == WRITTEN:
            at += 1
            continue
        lookalike = phrases.lookalikes.match(words, at)
        reading = onesided.read(at) or openings.read(at, since)
        if lookalike and (reading is None or lookalike.stop >= reading.stop):
            at = lookalike.stop
            continue
        reading = reading or _whole(sentence, at, since) or negations.around(at, since)
        reading = reading or negations.before(at, since) or negations.after(at, since)
        reading = reading or _unknown_free(words, at)
        if reading is None:
            at += 1
            continue
        readings.append(_with_adverb(words, at, since, reading))
        at = max(reading.stop, at + 1)
        if reading.parts:
            since = at
    return readings


def _with_adverb(words: Sequence[Word], at: int, since: int, reading: Reading) -> Reading:
    """The same with "truly" or "fully" before it."""
    start = at
    while start > since and (
        words[start - 1].text in ("very", "so", "quite", "more", "most")
        or (words[start - 1].text.endswith("ly") and ends_noun(words, start - 1))
    ):
        start -= 1
    parts = tuple(part._replace(start=start) if part.start == at else part for part in reading.parts)
    return reading._replace(parts=parts)


def _whole(sentence: Sentence, at: int, since: int) -> Reading | None:
    """A phrase that stands in the tables as a whole."""
    words = sentence.words
    hit = sentence.phrases.whole.match(words, at)
    if hit is None:
        return None
    if negated(words, at, since):
        return Reading(hit.stop)
    fitting = [each for each in hit.meanings if _fits(sentence, at, hit.stop, each)]
    if not fitting:
        return Reading(hit.stop, (), ((at, hit.stop),))
    # Nobody else comes in where it is said of somebody: "a judge, non-smoker".
    aside = at > 0 and words[at - 1].mark
    stop = hit.stop
    if any(each.through for each in fitting):
        stop += sentence.text(stop) in WORDS["determiners"]
        end = sentence.noun_end(stop)
        stop = next((at for at in range(stop + 1, end) if sentence.text(at).endswith("ing")), max(stop, end))
        stop += sentence.text(stop) in ("itself", "themselves")
    parts = (Part(at, stop, each.kind, each.name, "" if aside else each.rewritten) for each in fitting)
    return Reading(stop, tuple(parts))


def _fits(sentence: Sentence, start: int, after: int, meaning: Whole) -> bool:
    if not sentence.fits(meaning.beside):
        return False
    if meaning.not_before and _in_noun(sentence, after, meaning.not_before):
        return False
    if meaning.before and not _in_noun(sentence, after, meaning.before):
        return False
    if not meaning.of:
        return True
    if sentence.other(after) or sentence.for_others(start):
        return False
    return meaning.of != "subjects" or _of_somebody(sentence, start, after)


def _in_noun(sentence: Sentence, at: int, lexicon: Lexicon[bool]) -> bool:
    """Whether one of these words stands at `at`, or ends the noun phrase that begins there."""
    words = sentence.words
    at += sentence.text(at) in WORDS["determiners"]
    if lexicon.match(words, at):
        return True
    places = range(at, sentence.noun_end(at))
    return any((hit := lexicon.match(words, place)) and ends_noun(words, hit.stop) for place in places)


def _of_somebody(sentence: Sentence, start: int, after: int) -> bool:
    """Whether words[start:after] is said of a person, a group or an image of them."""
    words = sentence.words
    if words[start].text in WORDS["prepositions"]:
        return start > 0 and (words[start - 1].mark or sentence.person(start - 1))
    for at in range(after, min(after + _NEAR, len(words))):
        if sentence.person(at):
            return True
        if (words[at].mark and words[at].text != ",") or words[at].text in WORDS["prepositions"] - {"of"}:
            break
        if at == after and words[at].text in WORDS["function"] - {"and"}:
            return True
    return after >= len(words) or words[after].mark


def _unknown_free(words: Sequence[Word], at: int) -> Reading | None:
    """ "Sugar-free": looks responsible, means nothing here."""
    if at + 1 < len(words) and words[at + 1].joined and words[at + 1].text == "free" and not words[at].mark:
        return Reading(at + 2, (), ((at, at + 2),))
    return None
