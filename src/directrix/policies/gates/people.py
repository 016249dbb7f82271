"""Words for people: which nouns name a person, several, or none, and what words say of an attribute.

The shipped words are in people.yaml, and those that it leaves out in persons.txt and others.txt, from WordNet. A file
of the user's has the keys of people.yaml; its words are added and win.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, Field

from directrix.checks import validated
from directrix.errors import PhraseError
from directrix.policies.wording.lexicon import expand
from directrix.policies.wording.phrase_file import Words
from directrix.policies.wording.phrases import plural
from directrix.policies.wording.tokens import WORDS
from directrix.reading import yaml_text
from directrix.reading.source import MEBIBYTE, Source

Kind = Literal["person", "part", "portrait", "depiction", "quantity", "group", "other", "unknown"]
SHIPPED = Path(__file__).with_name("people.yaml")
_LISTS: Mapping[str, Kind] = {
    "others": "other",
    "depictions": "depiction",
    "portraits": "portrait",
    "parts": "part",
    "quantities": "quantity",
    "persons": "person",
    "groups": "group",
}
_SETS = (
    "colored",
    "names",
    "verbs",
    "nouns_in_ing",
    "breaks",
    "not_shown_after",
    "several",
    "pronouns",
    "foreign",
    "not_stated",
)
_LONGEST = 4  # words of one noun
# An unlisted word that ends so is a person: "a vlogger".
_ENDINGS = ("er", "or", "ist", "ian", "eer", "man", "woman", "person", "ologist")
_SHORTEST = 5
_SINGULARS = (
    *((r"men$", "man"), (r"ies$", "y"), (r"ves$", "f"), (r"ves$", "fe")),
    *((r"(s|x|z|ch|sh)es$", r"\1"), (r"s$", "")),
)
_FILES: Mapping[str, Kind] = {"persons": "person", "others": "other"}

Word = Annotated[Words, BeforeValidator(lambda value: str(value) if isinstance(value, int) else value)]
Listed = Annotated[list[Word], BeforeValidator(lambda value: [] if value is None else value)]


class PeopleFile(BaseModel, strict=True, extra="forbid"):
    """What may stand in a file of words for people; people.yaml says what each key means."""

    persons: Listed = []
    parts: Listed = []
    portraits: Listed = []
    depictions: Listed = []
    quantities: Listed = []
    groups: Listed = []
    others: Listed = []
    stated: Mapping[str, Mapping[str, Listed]] = {}
    endings: Mapping[str, Mapping[str, Listed]] = {}
    not_stated: Listed = Field([], alias="not stated")
    colors: Mapping[str, Mapping[str, Listed]] = {}
    names: Listed = []
    colored: Listed = []
    verbs: Listed = []
    nouns_in_ing: Listed = Field([], alias="nouns in ing")
    breaks: Listed = []
    not_shown_after: Listed = Field([], alias="not shown after")
    several: Listed = []
    pronouns: Listed = []
    foreign: Listed = []


class People:
    """The words of some files; those of later ones win."""

    names: frozenset[str]
    colored: frozenset[str]
    verbs: frozenset[str]
    nouns_in_ing: frozenset[str]
    breaks: frozenset[str]
    not_shown_after: frozenset[str]
    several: frozenset[str]
    pronouns: frozenset[str]
    foreign: frozenset[str]
    not_stated: frozenset[str]

    def __init__(self, *files: PeopleFile) -> None:
        self._kinds: dict[tuple[str, ...], tuple[Kind, bool]] = {}
        self.stated: dict[str, dict[tuple[str, ...], str]] = {}
        for file in files:
            for key, kind in _LISTS.items():
                self._kinds |= {form: (kind, True) for form in _forms(map(plural, getattr(file, key)))}
                self._kinds |= {form: (kind, False) for form in _forms(getattr(file, key))}
            for attribute, categories in file.stated.items():
                mine = self.stated.setdefault(attribute, {})
                for category, words in categories.items():
                    mine |= dict.fromkeys(_forms([*words, *map(plural, words)]), category)
        for name in _SETS:
            setattr(self, name, frozenset(" ".join(form) for file in files for form in _forms(getattr(file, name))))
        self.endings: dict[str, dict[str, str]] = {}
        self.colors: dict[str, dict[str, str]] = {}
        for file in files:
            for mine, given in ((self.endings, file.endings), (self.colors, file.colors)):
                for attribute, categories in given.items():
                    words = {word: category for category, listed in categories.items() for word in listed}
                    mine[attribute] = {**mine.get(attribute, {}), **words}

    @classmethod
    def load(cls, *paths: str | Path) -> People:
        """The shipped words and, added to them in order, those of YAML files with the same keys.

        Raises:
            PhraseError: a file is missing, no YAML, or has another key or value.
        """
        return cls(_file(SHIPPED), *(_file(Path(path)) for path in paths)) if paths else _shipped()

    def kind(self, words: Sequence[str]) -> tuple[Kind, bool]:
        """What the noun at the end of these words names, and whether it is a plural."""
        for start in range(max(0, len(words) - _LONGEST), len(words)):
            if found := self._kinds.get(tuple(words[start:])):
                return found
            if len(words) - start == 2 and " ".join(words[start:]) in _nouns("others"):
                return "other", False
        if not words:
            return "unknown", False
        for form in (words[-1], *_singulars(words[-1])):
            several = form != words[-1]
            if found := self._kinds.get((form,)):
                return found[0], several
            for name, kind in _FILES.items():
                if form in _nouns(name):
                    return kind, several
        for form in (*_singulars(words[-1]), words[-1]):
            known = len(form) < _SHORTEST or form in WORDS["no-person"] or not form.isalpha()
            if not known and form.endswith(_ENDINGS):
                return "person", form != words[-1]
        return "unknown", False


def _forms(phrases: Iterable[str]) -> list[tuple[str, ...]]:
    return [form for phrase in phrases for form in expand(phrase)]


def _singulars(word: str) -> list[str]:
    if word.endswith("ss"):
        return []
    return [re.sub(pattern, form, word) for pattern, form in _SINGULARS if re.search(pattern, word)]


@cache
def _nouns(name: str) -> frozenset[str]:
    """The words of persons.txt or others.txt."""
    lines = Path(__file__).with_name(f"{name}.txt").read_text(encoding="utf-8").splitlines()
    words = (word for line in lines if not line.startswith("#") for word in line.split())
    return frozenset(word.replace("_", " ") for word in words)


@cache
def _shipped() -> People:
    return People(_file(SHIPPED))


def _file(path: Path) -> PeopleFile:
    source = Source(path, PhraseError, "a YAML file of words for people.", most=MEBIBYTE)
    return validated(PeopleFile, yaml_text.read(source) or {}, str(path), PhraseError)
