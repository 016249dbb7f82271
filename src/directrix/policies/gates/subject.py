"""Whom a prompt is about: one person, several, or none. It reads English."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Literal

from directrix.policies.gates.noun_phrases import NounPhrase, noun_phrases
from directrix.policies.gates.people import People
from directrix.policies.wording.tokens import WORDS, Word

About = Literal["person", "group", "no person", "unsure", "not English"]
_JOINING = ("and", "&", "plus")


@dataclass(frozen=True)
class Subject:
    """Whom a prompt is about, and the word that says so.

    Args:
        about: "unsure" where no noun is known, and "not English" where the language is another.
        word: what decided, as the prompt has it.
        phrases: the prompt's noun phrases.
    """

    about: About
    word: str
    phrases: tuple[NounPhrase, ...]


def subject(prompt: str, words: list[Word], people: People) -> Subject:
    """Reads whom a prompt is about.

    The first person that the image is to show decides; another one that "and" joins makes a group. A prompt that names
    none is about what its nouns name.
    """
    phrases = _resolved(noun_phrases(words, people))
    about, word = _about(prompt, words, people, phrases)
    return Subject(about, word, tuple(phrases))


def _about(prompt: str, words: list[Word], people: People, phrases: list[NounPhrase]) -> tuple[About, str]:
    def named(phrase: NounPhrase) -> str:
        head = words[phrase.head - 1]
        return prompt[head.start : head.end]

    letters = [each for each in prompt if each.isalpha()]
    foreign = next((each for each in letters if not unicodedata.name(each, "").startswith("LATIN")), "")
    if foreign or (words and words[0].text in people.foreign):
        return "not English", foreign or prompt[words[0].start : words[0].end]
    shown = [each for each in phrases if each.shown]
    persons = [place for place, each in enumerate(shown) if each.kind in ("person", "part", "portrait", "group")]
    if persons:
        first = shown[persons[0]]
        several = first.kind == "group" or (first.kind == "person" and first.several)
        if several:
            return "group", named(first)
        place = phrases.index(first)
        for other in phrases[place + 1 : place + 2]:
            if other.link in _JOINING and other.shown and other.kind in ("person", "group"):
                return "group", f"{named(first)} and {named(other)}"
        return "person", named(first)
    known = [each for each in shown if each.kind != "unknown" or each.determined]
    for word in words[: known[0].start if known else len(words)]:
        if word.text in people.pronouns:
            return "person", prompt[word.start : word.end]
    nouns = known or shown or phrases
    if not nouns:
        nobody = next((prompt[each.start : each.end] for each in words if each.text in WORDS["nobody"]), "")
        return ("no person" if nobody else "unsure"), nobody
    if nouns[0].kind != "unknown":
        return "no person", named(nouns[0])
    name = next((each for each in words if each.text in people.names and prompt[each.start].isupper()), None)
    return ("person", prompt[name.start : name.end]) if name else ("unsure", named(nouns[0]))


def _resolved(phrases: list[NounPhrase]) -> list[NounPhrase]:
    """Without what only leads to another noun: "a photo of", "dozens of"; a group of animals is no group of persons."""
    found: list[NounPhrase] = []
    for place, phrase in enumerate(phrases):
        leads = place + 1 < len(phrases) and phrases[place + 1].link == "of"
        group = leads and phrase.kind == "group" and phrases[place + 1].kind == "other"
        if not (group or phrase.kind in ("depiction", "quantity") or (leads and phrase.kind in ("part", "portrait"))):
            found.append(phrase)
    return found
