"""A sentence as words with their places, so that a phrase found in it can be pointed at to the letter.

Case, British spelling, typographic apostrophes, hyphens and quotation marks make no difference between words:
"Skin-Colour" reads as "skin", "color". What an image is to show in writing ("a sign that says 'no weapons'") is
one opaque word, because it is no wish. The small words of English are in english.yaml.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

TABLES: dict[str, Any] = yaml.load(
    Path(__file__).with_name("english.yaml").read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader)
)
# The lists of words by name.
WORDS: dict[str, frozenset[str]] = {}
for _name, _text in TABLES["words"].items():
    _added = [WORDS[each[1:]] if each[0] == "&" else {each} for each in _text.split() if each[0] != "!"]
    WORDS[_name] = frozenset().union(*_added) - {each[1:] for each in _text.split() if each[0] == "!"}

_TOKEN = re.compile(r"[^\W_]+(?:['’‘ʼ`´][^\W_]+)*|\S")
_APOSTROPHES = str.maketrans(dict.fromkeys("’‘ʼ`´", "'"))
_HYPHENS = "-‐‑–−_"
_QUOTES = "\"'“”„‟«»‹›‘’‚`´*"
_QUOTED = re.compile(r"[\"“„«]([^\"“”„«»]{1,80})[\"”»“]|(?<!\w)['‘]([^'‘’]{1,80})['’](?!\w)")
_UNQUOTED = re.compile(
    r"\b(?:"
    + "|".join(sorted(WORDS["surfaces"]))
    + r")\b(?:\s+\w+){0,3}?\s+(?:says?|saying|reads?|reading|stating|states|with the words?|with the text|spelling)\b"
    r"[:\s]+(?P<text>[^\"'“”‘’«»„,.;:!?()]{1,60}?)"
    r"(?=$|[,.;:!?()]|\s+(?:above|over|on|in|at|behind|under|near|beside|next|hanging|outside|inside|by|while)\b)",
    re.IGNORECASE,
)
WRITTEN = "\0"
# Contractions whose apostrophe people leave out, and signs for words.
_PLAIN = {word.replace("'", ""): word for word in WORDS["negative-contractions"]} | {"&": "and", "+": "and"}


class Word(NamedTuple):
    """One word or mark: its plain form, its place prompt[start:end], and whether a hyphen joins it to the last."""

    text: str
    start: int
    end: int
    joined: bool = False


def read(prompt: str, spellings: Mapping[str, str] | None = None) -> list[Word]:
    """The words and marks of a prompt in order; hyphens inside words and quotation marks are left out."""
    words: list[Word] = []
    written = _written(prompt)
    joined = False
    for token in _TOKEN.finditer(prompt):
        start, end = token.span()
        raw = token.group()
        inside = next((span for span in written if span[0] <= start < span[1]), None)
        if inside:
            if start == inside[0]:
                words.append(Word(WRITTEN, *inside))
            joined = False
        elif raw in _HYPHENS:
            before, after = (
                not each or each.isspace() for each in (prompt[max(start - 1, 0) : start], prompt[end : end + 1])
            )
            joined = not (before or after) and bool(words)
            if before and after:
                words.append(Word("—", start, end))
        elif raw not in _QUOTES:
            text = unicodedata.normalize("NFKC", raw.translate(_APOSTROPHES)).casefold()
            text = (spellings or {}).get(text, _PLAIN.get(text, text)) or raw
            words.append(Word(text, start, end, joined))
            joined = False
    return words


def _written(prompt: str) -> list[tuple[int, int]]:
    """Spans of quoted text beside a word such as "says" or "sign", and of text without quotes after "a sign saying"."""
    spans = [unquoted.span("text") for unquoted in _UNQUOTED.finditer(prompt)]
    for quoted in _QUOTED.finditer(prompt):
        before = re.findall(r"\w+", prompt[: quoted.start()].casefold())[:-5:-1]
        after = re.findall(r"\w+|[^\w\s]", prompt[quoted.end() :].casefold())[:4]
        if _on_writing(before) or _on_writing(after):
            spans.append(quoted.span())
    return spans


def _on_writing(words: Sequence[str]) -> bool:
    """Whether a word such as "sign" comes first, past small ones."""
    passed = WORDS["beside-writing"] - WORDS["writing"]
    return next((word for word in words if word not in passed), "") in WORDS["writing"]
