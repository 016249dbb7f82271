"""The small words of English: what may stand around a phrase, and what a phrase leaves dangling when it is cut out."""

from __future__ import annotations

from collections.abc import Sequence

from directrix.policies.wording import words as tables
from directrix.policies.wording.lexicon import Lexicon, lexicon
from directrix.policies.wording.tokens import Word
from directrix.policies.wording.words import WORDS

_PERSON_ENDINGS = ("er", "or", "ist", "ian", "man", "men", "ers", "ors", "ists", "ians", "people", "person")


FILLERS = lexicon(tables.FILLERS)
_TRAILING = lexicon(tables.TRAILING)


def trailing(words: Sequence[Word], at: int) -> int:
    """Where the words that belong to a phrase that ends at `at` end: "no guns at all", but not "no guns around a
    fire"."""
    hit = _TRAILING.match(words, at)
    if hit is None:
        return at
    open_end = words[hit.stop - 1].text in ("around", "left", "there") and hit.stop < len(words)
    return at if open_end and words[hit.stop].text in WORDS["determiners"] else hit.stop


def person(words: Sequence[Word], at: int, subjects: Lexicon[bool]) -> bool:
    """Whether the word at `at` names a person, a group or an image of them: listed, or by its ending."""
    if at >= len(words):
        return False
    text = words[at].text
    stem = text.removesuffix("s")
    return bool(subjects.match(words, at)) or (
        len(text) > 4 and stem not in WORDS["no-person"] and text.endswith(_PERSON_ENDINGS)
    )


def ends_noun(words: Sequence[Word], at: int) -> bool:
    """Whether a noun before `at` is the last of its phrase: "no beer, " or "no beer in", but not "no beer garden"."""
    if at >= len(words):
        return True
    word = words[at]
    if word.joined:
        return False
    if word.mark or word.text in WORDS["function"]:
        return True
    return word.text.endswith(("ly", "ing", "ed", "n't")) and word.text not in WORDS["no-adverb"]


def negated(words: Sequence[Word], at: int, since: int = 0) -> bool:
    """Whether the words just before `at` (from `since`) deny what stands there."""
    before = at - 1
    while before >= since and words[before].text in WORDS["between-negation"]:
        before -= 1
    if before < since:
        return False
    text = words[before].text
    pair = (words[before - 1].text if before > since else "", text)
    if pair in {
        ("anything", "but"),
        ("far", "from"),
        ("instead", "of"),
        ("rather", "than"),
        ("lack", "of"),
        ("no", "means"),
        ("no", "way"),
    }:
        return True
    return (text in WORDS["negators"] and pair != ("or", "not")) or text.endswith("n't")
