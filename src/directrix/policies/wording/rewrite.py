"""Cutting phrases out of a prompt so that nothing is left dangling: no comma, no "and", no "with".

All else stays to the letter. Where the article "a" comes to stand before another word, it takes that word's form.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from itertools import takewhile
from typing import NamedTuple

from directrix.policies.wording.tokens import WORDS

_PIECE = re.compile(r"[^\W_]+(?:['’][^\W_]+)*|\S")
_STOPS = frozenset(".!?;:")
_PAUSES = frozenset(",;:—–-/|")
_HYPHENS = frozenset("-‐‑")
_OPEN = dict(zip("([{“‘«\"'", ")]}”’»\"'", strict=True))
_CLOSE = frozenset(",.;:!?)]}”»")
_SILENT_H = ("hour", "honest", "heir", "honour", "honor")
_CONSONANT = re.compile(r"(?:uni(?!n)|us[aeiu]|eu|one\b|once\b|ur[aeiou])", re.IGNORECASE)
_BETWEEN_CUTS = WORDS["conjunctions"] | {",", "/", "&", "-", "with", "also"}


class _Piece(NamedTuple):
    text: str
    space: str = ""
    cut: tuple[str, ...] | None = None  # where it is cut out, what comes in its place

    @property
    def word(self) -> bool:
        return self.text[:1].isalnum()

    @property
    def plain(self) -> str:
        return self.text.casefold()


_EDGE = _Piece("")  # stands before and behind the prompt


def cut_out(prompt: str, cuts: Iterable[tuple[int, int, str]]) -> str:
    """The prompt without prompt[start:end] of each cut (start, end, what comes in its place), tidy; the prompt itself
    to the letter if there are none."""
    cuts = sorted(set(cuts))
    if not cuts:
        return prompt
    left: list[_Piece] = [_EDGE]
    right: deque[_Piece] = deque()
    end = 0
    for found in _PIECE.finditer(prompt):
        inside = tuple(instead for start, stop, instead in cuts if start < found.end() and found.start() < stop)
        cut = tuple(filter(None, inside)) if inside else None
        right.append(_Piece(found.group(), prompt[end : found.start()], cut))
        end = found.end()
    right.append(_EDGE)
    while len(right) > 1:
        if right[0].cut is None:
            left.append(right.popleft())
            continue
        # A cut swallows the next ones, if only small words lie between.
        near = list(takewhile(lambda piece: piece.cut is not None or piece.plain in _BETWEEN_CUTS, right))
        while near[-1].cut is None:
            near.pop()
        gone = [right.popleft() for _ in near]
        _mend(left, " ".join(dict.fromkeys(word for each in gone for word in each.cut or ())), right, gone[-1].plain)
    return "".join(piece.space + piece.text for piece in left)


def _mend(left: list[_Piece], rewritten: str, right: deque[_Piece], last: str) -> None:
    """Joins what is before a cut that ends in the word `last` to what is after it; both are changed in place."""
    while left[-1].text in _HYPHENS and right[0] is not _EDGE and not left[-1].space and not right[0].space:
        left.pop()
    if right[0].text in _HYPHENS | {"–"} and not right[0].space:
        right.popleft()
    if not rewritten:
        _drop_brackets(left, right)
    if left[-1].text.endswith(("'s", "’s")) and not right[0].word:
        # "The barista's gender" leaves the barista.
        left[-1] = left[-1]._replace(text=left[-1].text[:-2])
    if rewritten:
        if rewritten in WORDS["prepositions"] and left[-1].plain in WORDS["relatives"]:
            left.pop()
        _fix_article(left, rewritten)
        left.append(_Piece(rewritten, "" if left[-1] is _EDGE else " "))
        if right[0].word:
            right[0] = right[0]._replace(space=right[0].space or " ")
            _fix_article(left, right[0].text)
        return
    if left[-1] is _EDGE and right[0].plain in WORDS["of-nothing"]:
        right.popleft()
    if right[0].word and not _closes(left, right, last):
        # Before a noun only an article may need another form.
        _fix_article(left, right[0].text)
    else:
        _strip(left, right)
    if right[0] is not _EDGE:
        tight = left[-1] is _EDGE or right[0].text in _CLOSE or left[-1].text in _OPEN
        right[0] = right[0]._replace(space="" if tight else right[0].space or " ")


def _drop_brackets(left: list[_Piece], right: deque[_Piece]) -> None:
    while left[-1].text in _OPEN:
        # A weight may stand before the bracket that closes: "(diverse:1.2)".
        weight = sum(1 for _ in takewhile(lambda piece: re.fullmatch(r"[\d.:]+", piece.text), right))
        if right[weight].text != _OPEN[left[-1].text]:
            return
        left.pop()
        for _ in range(weight + 1):
            right.popleft()


def _closes(left: list[_Piece], right: deque[_Piece], last: str) -> bool:
    """Whether the text after a cut begins a part of its own, so that words before the cut are left dangling."""
    text = right[0].plain
    if not text.endswith("ing") or text in WORDS["function"] or left[-1].plain in WORDS["determiners"]:
        return text in WORDS["function"]
    # "Doctors of all genders walking", not "a group of diverse walking doctors".
    of_plural = left[-1].plain in WORDS["prepositions"] and last.endswith("s") and not last.endswith("ss")
    return of_plural or not right[1].word or right[1].plain in WORDS["function"]


def _strip(left: list[_Piece], right: deque[_Piece]) -> None:
    """Takes away what the cut leaves dangling on either side."""
    last = left[-1].plain
    joined = right[0].plain in WORDS["conjunctions"]
    comma = right[0].text == "," and last != ""
    if (comma and last == "that") or (joined and last in WORDS["relatives"]):
        left.pop()
        return
    if joined and (last == "" or last in WORDS["hanging"] | _PAUSES or last in _OPEN):
        right.popleft()
        _fix_article(left, right[0].text)
        if left[-1].plain in WORDS["conjunctions"]:
            left.pop()
        return
    article_next = comma and right[1].plain in ("a", "an")
    if comma and (last in WORDS["determiners"] or (article_next and last in WORDS["prepositions"] | WORDS["leading"])):
        right.popleft()
        _fix_article(left, right[0].text)
        return
    while not joined:
        last, before = left[-1].plain, left[-2:][0].plain
        drinks = last == "drinks" and before in WORDS["sorts-of-drinks"]
        if last in WORDS["left-behind"] | WORDS["determiners"] and not drinks:
            left.pop()
            if last in WORDS["auxiliaries"] and before in WORDS["subjects"]:
                left.pop()
        elif last in _PAUSES and last != "-":
            polite = before in ("please", "preferably")
            if polite or not right[0].word:
                left.pop()
            if not polite:
                break
        else:
            break
    _collapse(left, right)


def _collapse(left: list[_Piece], right: deque[_Piece]) -> None:
    """Leaves one mark of several, and none at the beginning."""
    while right[0].text in _PAUSES | _STOPS:
        last = left[-1].text
        if last in _PAUSES and right[0].text in _STOPS:
            left.pop()
        elif last == "" or last in _PAUSES | _STOPS or last in _OPEN:
            right.popleft()
        else:
            return
    while right[0] is _EDGE and left[-1].text in _PAUSES:
        left.pop()
    if left[-1] is _EDGE and right[0].plain in WORDS["conjunctions"]:
        right.popleft()


def _fix_article(left: list[_Piece], following: str) -> None:
    """Gives an article at the end of `left` the form that the word after it needs."""
    article = left[-1].text
    if following and article.casefold() in ("a", "an"):
        vowel = following[0].casefold() in "aeiou" and not _CONSONANT.match(following)
        form = "an" if vowel or following.casefold().startswith(_SILENT_H) else "a"
        if form != article.casefold():
            left[-1] = left[-1]._replace(text=form if article.islower() else form.capitalize())
