"""Cutting phrases out of a prompt so that nothing is left dangling: no comma, no "and", no "with".

All else stays to the letter. Where the article "a" comes to stand before another word, it takes that word's form.
"""

from __future__ import annotations

import bisect
import itertools
import re
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from directrix.policies.wording.words import WORDS

_PIECE = re.compile(r"[^\W_]+(?:['’][^\W_]+)*|\S")
_STOPS = frozenset(".!?;:")
_PAUSES = frozenset(",;:—–-/|")
_OPEN = dict(zip("([{“‘«\"'", ")]}”’»\"'", strict=True))
_SILENT_H = ("hour", "honest", "heir", "honour", "honor")
_CONSONANT = re.compile(r"(?:uni(?!n)|us[aeiu]|eu|one\b|once\b|ur[aeiou])", re.IGNORECASE)


class _Piece(NamedTuple):
    text: str
    space: str
    start: int  # in the prompt; -1 for a word that stands in
    cut: bool = False

    @property
    def word(self) -> bool:
        return self.text[0].isalnum()

    @property
    def plain(self) -> str:
        return self.text.casefold()


class Cut(NamedTuple):
    """prompt[start:end] goes; `rewritten` comes in its place."""

    start: int
    end: int
    rewritten: str = ""


class Rewritten(NamedTuple):
    """What is left of a prompt, and for each of its characters the place in the prompt that it is from."""

    text: str
    origins: tuple[int, ...]


def cut_out(prompt: str, cuts: Iterable[Cut]) -> Rewritten:
    """The prompt without the cuts, tidy; the prompt itself to the letter if there are none."""
    cuts = sorted(set(cuts))
    if not cuts:
        return Rewritten(prompt, tuple(range(len(prompt))))
    left: list[_Piece] = []
    right = deque(_pieces(prompt, cuts))
    while right:
        if not right[0].cut:
            left.append(right.popleft())
            continue
        gone = [right.popleft() for _ in range(_end_of_cut(right))]
        inside = [each for each in cuts if each.start <= gone[-1].start and gone[0].start < each.end and each.rewritten]
        _mend(left, " ".join(dict.fromkeys(each.rewritten for each in inside)), right, gone[-1].plain)
    return _written(left)


def _pieces(prompt: str, cuts: list[Cut]) -> list[_Piece]:
    # Cuts may overlap, so the furthest end so far counts.
    starts = [each.start for each in cuts]
    ends = list(itertools.accumulate((each.end for each in cuts), max))
    pieces, last = [], 0
    for found in _PIECE.finditer(prompt):
        start, end = found.span()
        before = bisect.bisect_left(starts, end)
        cut = before > 0 and start < ends[before - 1]
        pieces.append(_Piece(found.group(), prompt[last:start], start, cut))
        last = end
    return pieces


def _end_of_cut(pieces: deque[_Piece]) -> int:
    """How many pieces a cut at the front takes; it swallows the next ones, if only small words lie between."""
    end = after = 0
    between = (*WORDS["conjunctions"], ",", "/", "&", "-", "with", "also")
    while after < len(pieces) and (pieces[after].cut or pieces[after].plain in between):
        after += 1
        if pieces[after - 1].cut:
            end = after
    return end


def _mend(left: list[_Piece], rewritten: str, right: deque[_Piece], last: str) -> None:
    """Joins what is before a cut that ends in the word `last` to what is after it; both are changed in place."""
    while left and right and left[-1].text in "-‐‑" and right[0].space == "" and left[-1].space == "":
        left.pop()
    if right and right[0].text in "-‐‑–" and right[0].space == "":
        right.popleft()
    if not rewritten:
        _drop_brackets(left, right)
    if left and left[-1].text.endswith(("'s", "’s")) and not (right and right[0].word):
        # "The barista's gender" leaves the barista.
        left[-1] = left[-1]._replace(text=left[-1].text[:-2])
    if not left and not rewritten and right and right[0].plain in WORDS["of-nothing"]:
        right.popleft()
    if rewritten:
        if rewritten in WORDS["prepositions"] and left and left[-1].plain in WORDS["relatives"]:
            left.pop()
        left.append(_Piece(rewritten, " " if left else "", -1))
        _fix_article(left, len(left) - 2, rewritten)
        if right and right[0].word:
            right[0] = right[0]._replace(space=right[0].space or " ")
            _fix_article(left, len(left) - 1, right[0].text)
        return
    if right and right[0].word and not _closes(left, right, last):
        # Before a noun only an article may need another form.
        _space(left, right)
        _fix_article(left, len(left) - 1, right[0].text)
        return
    _strip(left, right)
    _space(left, right)


def _drop_brackets(left: list[_Piece], right: deque[_Piece]) -> None:
    while left and right and left[-1].text in _OPEN:
        closing = 0
        # A weight may stand before the bracket that closes: "(diverse:1.2)".
        while closing < len(right) and re.fullmatch(r"[\d.:]+", right[closing].text) and closing < 4:
            closing += 1
        if closing >= len(right) or right[closing].text != _OPEN[left[-1].text]:
            return
        left.pop()
        for _ in range(closing + 1):
            right.popleft()


def _closes(left: list[_Piece], right: deque[_Piece], last: str) -> bool:
    """Whether the text after a cut begins a part of its own, so that words before the cut are left dangling."""
    text = right[0].plain
    if text in WORDS["function"]:
        return True
    if text.endswith("ing") and not (left and left[-1].plain in WORDS["determiners"]):
        if left and left[-1].plain in WORDS["prepositions"] and last.endswith("s") and not last.endswith("ss"):
            # "Doctors of all genders walking", not "a group of diverse walking doctors".
            return True
        return len(right) < 2 or not right[1].word or right[1].plain in WORDS["function"]
    return False


def _strip(left: list[_Piece], right: deque[_Piece]) -> None:
    """Takes away what the cut leaves dangling on either side."""
    joined = bool(right) and right[0].plain in WORDS["conjunctions"]
    comma = bool(left and right) and right[0].text == ","
    if left and ((comma and left[-1].plain == "that") or (joined and left[-1].plain in WORDS["relatives"])):
        left.pop()
        return
    if joined and (
        not left or left[-1].plain in WORDS["hanging"] or left[-1].text in _PAUSES or left[-1].text in _OPEN
    ):
        right.popleft()
        if left and right:
            _fix_article(left, len(left) - 1, right[0].text)
        if left and left[-1].plain in WORDS["conjunctions"]:
            left.pop()
        return
    if comma:
        article_next = len(right) > 1 and right[1].plain in ("a", "an")
        if left[-1].plain in WORDS["determiners"] or (
            article_next and left[-1].plain in WORDS["prepositions"] | WORDS["leading"]
        ):
            right.popleft()
            if right:
                _fix_article(left, len(left) - 1, right[0].text)
            return
    while left and not joined:
        last = left[-1].plain
        before = left[-2].plain if len(left) > 1 else ""
        if last == "drinks" and before in WORDS["sorts-of-drinks"]:
            break
        if last in WORDS["left-behind"] | WORDS["determiners"]:
            left.pop()
            if last in WORDS["auxiliaries"] and before in WORDS["subjects"]:
                left.pop()
        elif last in _PAUSES and left[-1].text != "-":
            polite = left[-2:-1] and left[-2].plain in ("please", "preferably")
            if polite or not (right and right[0].word):
                left.pop()
            if not polite:
                break
        else:
            break
    _collapse(left, right)


def _collapse(left: list[_Piece], right: deque[_Piece]) -> None:
    """Leaves one mark of several, and none at the beginning."""
    while right and (right[0].text in _PAUSES or right[0].text in _STOPS):
        if left and (left[-1].word or left[-1].text not in _PAUSES | _STOPS | set(_OPEN)):
            return
        if left and left[-1].text in _PAUSES and right[0].text in _STOPS:
            left.pop()
            continue
        right.popleft()
    if not right:
        while left and left[-1].text in _PAUSES:
            left.pop()
    elif not left and right[0].plain in WORDS["conjunctions"]:
        right.popleft()


def _space(left: list[_Piece], right: deque[_Piece]) -> None:
    if not right:
        return
    tight = not left or right[0].text in ",.;:!?)]}”»" or left[-1].text in _OPEN
    right[0] = right[0]._replace(space="" if tight else right[0].space or " ")


def _fix_article(left: list[_Piece], at: int, following: str) -> None:
    if at < 0 or at >= len(left):
        return
    article = left[at].text
    if article.casefold() not in ("a", "an"):
        return
    vowel = following[:1].casefold() in tuple("aeiou") and not _CONSONANT.match(following)
    form = "an" if vowel or following.casefold().startswith(_SILENT_H) else "a"
    if form != article.casefold():
        left[at] = left[at]._replace(text=form if article.islower() else form.capitalize())


def _written(pieces: list[_Piece]) -> Rewritten:
    text, origins = "", []
    for piece in pieces:
        text += piece.space + piece.text
        origins += [-1] * len(piece.space)
        # A mended article has the place of its first letter; a stand-in has none.
        origins += [piece.start if piece.start >= 0 and n < 1 else -1 for n in range(len(piece.text))]
    return Rewritten(text, tuple(origins))
