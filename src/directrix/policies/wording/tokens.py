"""A sentence as words with their places, so that a phrase found in it can be pointed at to the letter.

Case, British spelling, typographic apostrophes, hyphens and quotation marks make no difference between words:
"Skin-Colour" reads as "skin", "color". What an image is to show in writing ("a sign that says 'no weapons'") is
one opaque word, because it is no wish.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from directrix.policies.wording.words import IRREGULAR, WORDS

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
# Contractions whose apostrophe people leave out.
_BARE = {word.replace("'", ""): word for word in WORDS["negative-contractions"]}


class Word(NamedTuple):
    """One word or mark: its plain form, its place prompt[start:end], and whether a hyphen joins it to the last."""

    text: str
    start: int
    end: int
    joined: bool = False

    @property
    def mark(self) -> bool:
        """Whether this is punctuation."""
        return not self.text[0].isalnum()


def read(prompt: str, spellings: Mapping[str, str] | None = None) -> tuple[Word, ...]:
    """The words and marks of a prompt in order; hyphens inside words and quotation marks are left out."""
    return tuple(_read(prompt, spellings or {}))


def _read(prompt: str, spellings: Mapping[str, str]) -> Iterator[Word]:
    written = _written(prompt)
    joined, last = False, ""
    for token in _TOKEN.finditer(prompt):
        start, end = token.span()
        inside = next((span for span in written if span[0] <= start < span[1]), None)
        if inside:
            if start == inside[0]:
                yield Word(WRITTEN, *inside)
            last, joined = WRITTEN, False
            continue
        raw = token.group()
        spaced_before = start == 0 or prompt[start - 1].isspace()
        if raw in _HYPHENS:
            spaced_after = end == len(prompt) or prompt[end].isspace()
            if spaced_before and spaced_after:
                yield Word("—", start, end)
                joined, last = False, "—"
            else:
                joined = not spaced_after and bool(last) and not spaced_before
            continue
        if raw in _QUOTES:
            continue
        text = unicodedata.normalize("NFKC", raw.translate(_APOSTROPHES)).casefold()
        text = {"&": "and", "+": "and"}.get(text, text)
        text = spellings.get(text, _BARE.get(text, text)) or raw
        yield Word(text, start, end, joined)
        joined, last = False, text


def _written(prompt: str) -> list[tuple[int, int]]:
    """Spans of quoted text beside a word such as "says" or "sign", and of text without quotes after "a sign saying"."""
    spans = []
    for quoted in _QUOTED.finditer(prompt):
        before = re.findall(r"\w+", prompt[: quoted.start()].casefold())[:-5:-1]
        after = re.findall(r"\w+|[^\w\s]", prompt[quoted.end() :].casefold())[:4]
        if _on_writing(before) or _on_writing(after):
            spans.append(quoted.span())
    spans += [unquoted.span("text") for unquoted in _UNQUOTED.finditer(prompt)]
    return spans


def _on_writing(words: Sequence[str]) -> bool:
    """Whether a word such as "sign" comes first, past small ones."""
    for word in words:
        if word in WORDS["writing"]:
            return True
        if word not in WORDS["beside-writing"]:
            return False
    return False


def texts(words: Sequence[Word]) -> tuple[str, ...]:
    """The plain forms alone."""
    return tuple(word.text for word in words)


def plural(noun: str) -> str:
    """The plural of a noun phrase: its last word inflected."""
    *before, last = noun.split()
    if last in IRREGULAR:
        last = IRREGULAR[last]
    elif re.search(r"[a-z]{2}man$", last) and last not in ("human", "german"):
        last = f"{last[:-3]}men"
    elif re.search(r"(s|x|z|ch|sh)$", last):
        last += "es"
    elif re.search(r"[^aeiou]y$", last):
        last = f"{last[:-1]}ies"
    else:
        last += "s"
    return " ".join((*before, last))


def verb_forms(verb: str) -> tuple[str, ...]:
    """Finite forms first (smoke, smokes, smoked), then the one in -ing; irregular ones are listed where they are
    used."""
    first, *after = verb.split()
    stem = first.removesuffix("e")
    if re.fullmatch(r"[^aeiou]*[aeiou][bdgmnpt]", first):
        stem = first + first[-1]
    forms = (first, plural(first), f"{stem}ed", f"{stem}ing")
    return tuple(" ".join((form, *after)) for form in forms)
