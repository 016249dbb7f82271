"""The noun phrases of a prompt, each with its head, the last noun: "a doctor's office" is an office."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from directrix.policies.gates.people import Kind, People
from directrix.policies.wording.tokens import WORDS, Word

_BREAKS = WORDS["prepositions"] | WORDS["conjunctions"] | WORDS["auxiliaries"] | WORDS["relatives"] | WORDS["negators"]
_ONE = frozenset(["a", "an", "one", "each", "every", "another", "this", "that"])
_DETERMINERS = WORDS["determiners"] | _ONE
# What the head of such a phrase shows is said by "of" and what follows it.
_OPEN: frozenset[Kind] = frozenset(("part", "portrait", "depiction", "quantity", "group"))


@dataclass(frozen=True)
class NounPhrase:
    """Words that name one noun.

    Args:
        start, stop: places of its words in the prompt.
        head: the place after its head.
        kind: what the head names.
        several: whether it names more than one.
        link: the word that leads to it, "," or "" at the beginning.
        shown: whether the prompt says that the image shows it.
        determined: whether an article or the like begins it.
    """

    start: int
    stop: int
    head: int
    kind: Kind
    several: bool
    link: str
    shown: bool
    determined: bool


def noun_phrases(words: list[Word], people: People) -> list[NounPhrase]:
    """The noun phrases of a prompt, in order."""
    found: list[NounPhrase] = []
    for start, stop, link, determiner in _runs(words, people):
        texts = [words[at].text.removesuffix("'s") for at in range(start, stop)]
        head = stop
        kind, several = people.kind(texts)
        # "A nurse outdoors, smiling", "a firefighter portrait": what is no noun, or only names an image, goes.
        while head - start > 1 and kind in ("unknown", "depiction", "portrait"):
            earlier = range(head - 1, start, -1)
            kinds = ((at, people.kind(texts[: at - start])[0]) for at in earlier)
            known = next((at for at, each in kinds if each not in ("unknown", "depiction")), 0)
            if not known:
                break
            head, (kind, several) = known, people.kind(texts[: known - start])
        if kind == "person" and not several and start < stop and texts[0] in people.several and determiner not in _ONE:
            several = not (len(texts) > 1 and texts[1].startswith(("year", "yo", "yr")))
        found.append(NounPhrase(start, stop, head, kind, several, link, _shown(found, link, people), bool(determiner)))
    return found


def _runs(words: list[Word], people: People) -> Iterator[tuple[int, int, str, str]]:
    """Where each noun phrase begins (past its determiner) and ends, what leads to it, and its determiner."""
    link = determiner = ""
    start = 0
    for at, word in enumerate(words):
        text, own = word.text, [each.text for each in words[start:at]]
        joined = word.joined or (at + 1 < len(words) and words[at + 1].joined)
        boundary = not text[0].isalnum() or (not joined and (text in _BREAKS or text in people.breaks))
        verb = not joined and bool(own) and _verb(words, at, own, determiner, people)
        if boundary or verb or (text in _DETERMINERS and not joined):
            if own:
                yield start, at, link, determiner
                link = "verb"
            start = at + 1
            if text in _DETERMINERS and not boundary:
                determiner = text
            else:
                determiner = ""
                # "Without any": the first of several small words says what follows.
                keep = own == [] and link in people.not_shown_after and text[0].isalnum()
                link = link if keep else "verb" if verb else text
    if start < len(words):
        yield start, len(words), link, determiner


def _verb(words: list[Word], at: int, own: list[str], determiner: str, people: People) -> bool:
    """Whether the word at `at`, after the noun phrase `own`, is a verb: "a chef cooking pasta"."""
    text = words[at].text
    kind, several = people.kind(own)
    after = words[at + 1].text if at + 1 < len(words) else ""
    if kind == "unknown" or (several and kind != "person"):
        return False
    if text.endswith("ing"):
        noun = text in people.nouns_in_ing and not after.isalnum()
        return not noun and (kind in ("person", "group", "part") or people.kind([text])[0] == "unknown")
    if text.endswith("ed"):
        return people.kind([text])[0] == "unknown"
    if kind not in ("person", "group"):
        return False
    # After "a" no plural comes but that of a verb: "a woman smiles".
    plural = determiner in _ONE and text.endswith("s") and people.kind([*own, text])[1] and bool(after)
    return text in people.verbs or (plural and people.kind([text])[0] != "person" and not after[0].isalpha())


def _shown(before: list[NounPhrase], link: str, people: People) -> bool:
    if link in people.not_shown_after:
        return False
    if not before:
        return True
    if link == "of":
        # "A room full of people" shows them, "a statue of a man" does not.
        last = before[-1]
        return last.shown and (last.kind in (*_OPEN, "person") or last.stop > last.head)
    return before[-1].shown if link in ("and", "or", "nor", "&", "plus") else True
