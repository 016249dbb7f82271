"""What may stand in a file of phrases. docs/enhance.md explains the keys.

One phrase is a list of one, and a phrase alone is a mapping with nothing but it. A key without a value says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AliasChoices, BaseModel, BeforeValidator, Field, StringConstraints, model_validator

from directrix.checks import validated
from directrix.errors import PhraseError
from directrix.policies.wording.lexicon import expand
from directrix.reading import yaml_text
from directrix.reading.source import Source

SHIPPED = Path(__file__).with_name("phrases.yaml")


def _listed(value: Any) -> list[Any]:
    if isinstance(value, list | tuple):
        return list(value)
    return [] if value is None else [value]


def _mapping(value: Any) -> Any:
    return value if isinstance(value, Mapping) else {"phrase": value}


def _kinds(value: Any) -> Any:
    # The short form: the words alone.
    short = isinstance(value, Mapping) and value and value.keys().isdisjoint(("told", *Kinds.model_fields))
    return {"words": value} if short else value


def _checked(phrase: str) -> str:
    """The phrase; ValueError where `expand` raises it."""
    next(expand(phrase))
    return phrase


def _checked_sides(phrase: str) -> str:
    before, _, after = phrase.partition("...")
    if not before.strip() or not after.strip():
        raise ValueError(f"'{phrase}' is not words, three dots for the object, and words")
    return f"{_checked(before)}...{_checked(after)}"


Text = Annotated[str, StringConstraints(pattern=r"\S")]
Words = Annotated[Text, AfterValidator(_checked)]
WordsList = Annotated[list[Words], BeforeValidator(_listed)]


class _Part(BaseModel, strict=True, extra="forbid"):
    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, content: Any) -> Any:
        return {k: v for k, v in content.items() if v is not None} if isinstance(content, Mapping) else content


class _Rewritten(_Part):
    # Version 0.1 called it "told".
    rewritten: Text = Field("", validation_alias=AliasChoices("rewritten", "told"))


class Term(_Part):
    """A phrase, read only in a prompt that holds one of `near`, if any are given, and none of `not_near`."""

    phrase: Words
    near: WordsList = []
    not_near: WordsList = Field([], alias="not near")


class Phrase(Term, _Rewritten):
    """A whole phrase: what it must describe (`of`), what must and may not follow it, whether the noun after it belongs
    to it (`through`), and what the model is given instead."""

    of: Literal["", "subjects", "not others"] = ""
    before: WordsList = []
    not_before: WordsList = Field([], alias="not before")
    through: Literal["", "noun"] = ""


class Around(_Rewritten):
    """A denial on both sides of an object, "leave ... out", and what the model is given instead of it all."""

    phrase: Annotated[Text, AfterValidator(_checked_sides)]


class Kinds(_Part):
    """Words for the values of an attribute; `least` different ones ask for all of them where "or" or "and" joins them,
    or only "or" where `joined` says so."""

    words: Annotated[dict[str, WordsList], Field(min_length=2)]
    rewritten: dict[str, Text] = Field({}, validation_alias=AliasChoices("rewritten", "told"))
    heads: WordsList = []
    tails: WordsList = []
    least: int = Field(2, ge=2)
    joined: Literal["", "or"] = ""

    @model_validator(mode="after")
    def _enough(self) -> Kinds:
        if self.least > len(self.words):
            raise ValueError(f"least is not from 2 to {len(self.words)}, the number of kinds")
        return self


Terms = Annotated[list[Annotated[Term, BeforeValidator(_mapping)]], BeforeValidator(_listed)]


class Entry(_Part):
    """All that one file says about one attribute or anti-concept."""

    phrases: Annotated[list[Annotated[Phrase, BeforeValidator(_mapping)]], BeforeValidator(_listed)] = []

    @model_validator(mode="after")
    def _not_empty(self) -> Entry:
        if not self.model_fields_set:
            raise ValueError("nothing is said of it")
        return self


class Attribute(Entry):
    """An attribute that prompts may ask to balance."""

    named: Terms = []
    bias: Terms = []
    kinds: Annotated[list[Annotated[Kinds, BeforeValidator(_kinds)]], BeforeValidator(_listed)] = []


class AntiConcept(Entry):
    """What prompts may ask to keep out."""

    # Version 0.1 called them "things".
    objects: Terms = Field([], validation_alias=AliasChoices("objects", "things"))
    acts: Terms = []
    states: Terms = []
    free: Terms = []


class Negation(_Part):
    """Cues of denial, by what follows them or where they stand."""

    nouns: WordsList = []
    verbs: WordsList = []
    each: WordsList = []
    orders: WordsList = []
    after: WordsList = []
    gone: WordsList = []
    there: WordsList = []
    around: Annotated[list[Annotated[Around, BeforeValidator(_mapping)]], BeforeValidator(_listed)] = []


class Openness(_Part):
    """Cues that leave an attribute open."""

    strong: WordsList = []
    before: WordsList = []
    after: WordsList = []
    lead: WordsList = []


class Sided(_Part):
    """Cues before a value that is not to be the only one."""

    only: WordsList = []
    presumed: WordsList = []


class Cues(_Part):
    """Words that say something of the phrases beside them."""

    negation: Negation = Negation()
    openness: Openness = Openness()
    sided: Sided = Sided()


class PhraseFile(_Part):
    """What one file holds."""

    balance: dict[str, Attribute] = {}
    absent: dict[str, AntiConcept] = {}
    cues: Cues = Cues()
    lookalikes: WordsList = []
    unread: WordsList = []
    subjects: WordsList = []
    others: WordsList = []
    spellings: dict[str, Text] = {}


def load(path: str | Path) -> PhraseFile:
    """Reads a file of phrases; PhraseError where it is missing, no YAML, or does not follow the schema."""
    remedy = "check the path, or quote a phrase that begins with a bracket or holds a colon."
    source = Source(path, PhraseError, "a YAML file.", remedy, f"The file of phrases '{path}'")
    return of(yaml_text.read(source), str(path))


def of(content: Any, origin: str = "phrases") -> PhraseFile:
    """The content of a file of phrases, as YAML gives it, checked; PhraseError where it does not follow the schema."""
    return validated(PhraseFile, {} if content is None else content, origin, PhraseError)
