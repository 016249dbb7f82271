"""Reading files of phrases: YAML, checked key by key, with errors that name the file, the key and what it should
hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from directrix.errors import PhraseError, suggestion

SHIPPED = Path(__file__).with_name("phrases.yaml")
_SECTIONS = ("balance", "absent", "cues", "lookalikes", "unread", "subjects", "others", "spellings")
_LISTS = ("lookalikes", "unread", "subjects", "others")
_BALANCE = ("named", "bias", "kinds", "phrases")
_ABSENT = ("things", "acts", "states", "free", "phrases")
_KINDS = ("words", "told", "heads", "tails", "least", "joined")
_TERM = ("phrase", "near", "not near")
_PHRASE = (*_TERM, "of", "before", "not before", "through", "told")
_AROUND = ("phrase", "told")
_OF = ("", "subjects", "not others")
_CUES = {
    "negation": ("nouns", "verbs", "each", "orders", "after", "gone", "there"),
    "openness": ("strong", "before", "after", "lead"),
    "sided": ("only", "presumed"),
}


@dataclass(frozen=True)
class Term:
    """A word or phrase, read only in a prompt that holds one of `near`, if any are given, and none of `not_near`."""

    text: str
    near: tuple[str, ...] = ()
    not_near: tuple[str, ...] = ()


@dataclass(frozen=True)
class Phrase(Term):
    """A whole phrase: what it must describe (`of`), what must and may not follow it, whether the noun after it belongs
    to it (`through`), and what the model is told instead."""

    of: str = ""
    before: tuple[str, ...] = ()
    not_before: tuple[str, ...] = ()
    through: bool = False
    rewritten: str = ""


@dataclass(frozen=True)
class Around:
    """A denial on both sides of a thing, "leave ... out", and what the model is told instead of it all."""

    before: str
    after: str
    rewritten: str = ""


@dataclass(frozen=True)
class Kinds:
    """Words for the values of an attribute; `least` different ones ask for all of them where "or" or "and" joins them,
    or only "or" where `joined` says so."""

    words: Mapping[str, tuple[str, ...]]
    rewritten: Mapping[str, str] = field(default_factory=dict)
    heads: tuple[str, ...] = ()
    tails: tuple[str, ...] = ()
    least: int = 2
    joined: str = ""


@dataclass(frozen=True)
class Entry:
    """All that one file says about one attribute or anti-concept."""

    kind: str
    name: str
    lists: Mapping[str, tuple[Term, ...]]
    kinds: tuple[Kinds, ...]
    phrases: tuple[Phrase, ...]


@dataclass(frozen=True)
class PhraseFile:
    """What one file holds; `origin` names it in errors."""

    origin: str
    entries: tuple[Entry, ...]
    cues: Mapping[str, Mapping[str, tuple[str, ...]]]
    around: tuple[Around, ...]
    lists: Mapping[str, tuple[str, ...]]
    spellings: Mapping[str, str]


def load(path: str | Path) -> PhraseFile:
    """Reads a file of phrases.

    Raises:
        PhraseError: it is missing, no YAML, or does not follow the schema.
    """
    import yaml

    path = Path(path)
    try:
        # The loader in C, where PyYAML has it, takes a tenth of the time.
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)
    except (OSError, UnicodeDecodeError) as error:
        raise PhraseError(
            f"The file of phrases '{path}' cannot be read: {error}.", "a YAML file in UTF-8.", "check the path."
        ) from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f" in line {mark.line + 1}" if mark else ""
        raise PhraseError(
            f"The file of phrases '{path}' is no YAML{place}: {getattr(error, 'problem', error)}.",
            "valid YAML.",
            "quote a phrase that begins with a bracket or holds a colon.",
        ) from error
    return of(data, str(path))


def of(data: Any, origin: str = "phrases") -> PhraseFile:
    """Checks the content of a file of phrases, as YAML gives it.

    Raises:
        PhraseError: it does not follow the schema.
    """
    check = _Check(origin)
    data = check.mapping({} if data is None else data, "", _SECTIONS)
    entries = []
    for kind, keys in (("balance", _BALANCE), ("absent", _ABSENT)):
        for name, content in check.mapping(data.get(kind), kind).items():
            where = f"{kind}.{name}"
            content = check.mapping(content, where, keys)
            if not content:
                check.fail(where, f"a mapping with one of {', '.join(keys)}", "nothing")
            lists = {
                key: check.terms(content.get(key), f"{where}.{key}") for key in keys if key not in ("kinds", "phrases")
            }
            kinds = check.kinds(content.get("kinds"), f"{where}.kinds") if kind == "balance" else ()
            whole = check.whole_phrases(content.get("phrases"), f"{where}.phrases")
            entries.append(Entry(kind, name, lists, kinds, whole))
    cues = {}
    given = check.mapping(data.get("cues"), "cues", tuple(_CUES))
    for group, keys in _CUES.items():
        more = ("around",) if group == "negation" else ()
        found = check.mapping(given.get(group), f"cues.{group}", (*keys, *more))
        cues[group] = {key: check.phrases(found.get(key), f"cues.{group}.{key}") for key in keys}
    around = check.around(given.get("negation"), "cues.negation.around")
    lists = {key: check.phrases(data.get(key), key) for key in _LISTS}
    spellings = {
        key: check.text(value, f"spellings.{key}")
        for key, value in check.mapping(data.get("spellings"), "spellings").items()
    }
    return PhraseFile(origin, tuple(entries), cues, around, lists, spellings)


class _Check:
    """Checks of one file's parts; each names the key at fault."""

    def __init__(self, origin: str) -> None:
        self.origin = origin

    def fail(self, where: str, expected: str, found: Any, remedy: str = "") -> None:
        place = f"'{where}' in " if where else ""
        raise PhraseError(
            f"{place}{self.origin} holds {found}." if place else f"{self.origin} holds {found}.",
            f"{expected}.",
            remedy or "see docs/enhance.md for the keys of such a file.",
        )

    def mapping(self, value: Any, where: str, keys: Sequence[str] | None = None) -> dict[str, Any]:
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            self.fail(where, "a mapping of names", _kind(value))
        for key in value:
            if not isinstance(key, str) or not key.strip():
                self.fail(where, "names that are text; quote yes, no, on, off and numbers", f"the key {key!r}")
            if keys is not None and key not in keys:
                self.fail(where, f"only the keys {', '.join(keys)}", f"the key '{key}'", suggestion(key, keys))
        return dict(value)

    def text(self, value: Any, where: str) -> str:
        if not isinstance(value, str) or not value.strip():
            self.fail(where, "text; quote yes, no, on, off and numbers", _kind(value))
        return value

    def phrases(self, value: Any, where: str) -> tuple[str, ...]:
        if value is None:
            return ()
        if isinstance(value, str):
            value = [value]
        if not isinstance(value, Sequence):
            self.fail(where, "a phrase, or a list of phrases", _kind(value))
        return tuple(self.text(each, f"{where}[{number}]") for number, each in enumerate(value))

    def terms(self, value: Any, where: str) -> tuple[Term, ...]:
        return tuple(
            Term(text, self._beside(content, "near", place), self._beside(content, "not near", place))
            for text, content, place in self._phrases_with(value, where, _TERM)
        )

    def whole_phrases(self, value: Any, where: str) -> tuple[Phrase, ...]:
        found = []
        for text, content, place in self._phrases_with(value, where, _PHRASE):
            of, through = content.get("of", ""), content.get("through", "")
            if of not in _OF:
                self.fail(f"{place}.of", "'subjects', 'not others', or nothing", repr(of))
            if through not in ("", "noun"):
                self.fail(f"{place}.through", "'noun', or nothing", repr(through))
            near, not_near, before, not_before = (
                self._beside(content, key, place) for key in ("near", "not near", "before", "not before")
            )
            rewritten = self._rewritten(content, place)
            found.append(Phrase(text, near, not_near, of, before, not_before, through == "noun", rewritten))
        return tuple(found)

    def around(self, negation: Any, where: str) -> tuple[Around, ...]:
        found = []
        for text, content, place in self._phrases_with((negation or {}).get("around"), where, _AROUND):
            before, dots, after = text.partition("...")
            if not (dots and before.strip() and after.strip()):
                self.fail(place, "words, three dots for the thing, and words", f"the text {text!r}")
            found.append(Around(before.strip(), after.strip(), self._rewritten(content, place)))
        return tuple(found)

    def _phrases_with(self, value: Any, where: str, keys: Sequence[str]) -> Iterator[tuple[str, dict[str, Any], str]]:
        """Each phrase of a list, its other keys where it is a mapping, and its place."""
        if isinstance(value, str | Mapping):
            value = [value]
        elif value is not None and not isinstance(value, Sequence):
            self.fail(where, "a phrase, or a list of phrases", _kind(value))
        for number, each in enumerate(value or ()):
            place = f"{where}[{number}]"
            if isinstance(each, Mapping):
                content = self.mapping(each, place, keys)
                yield self.text(content.get("phrase"), f"{place}.phrase"), content, place
            else:
                yield self.text(each, place), {}, place

    def _beside(self, content: Mapping[str, Any], key: str, place: str) -> tuple[str, ...]:
        return self.phrases(content.get(key), f"{place}.{key}")

    def _rewritten(self, content: Mapping[str, Any], place: str) -> str:
        return self.text(content["told"], f"{place}.told") if "told" in content else ""

    def kinds(self, value: Any, where: str) -> tuple[Kinds, ...]:
        if isinstance(value, Mapping):
            value = [value]
        found = []
        for number, each in enumerate(self._items(value, where)):
            place = f"{where}[{number}]"
            content = self.mapping(each, place)
            if content and not set(content) & set(_KINDS):
                # The short form: the words alone.
                content = {"words": content}
            content = self.mapping(content, place, _KINDS)
            words = {
                name: self.phrases(listed, f"{place}.words.{name}")
                for name, listed in self.mapping(content.get("words"), f"{place}.words").items()
            }
            if len(words) < 2:
                self.fail(f"{place}.words", "words for two kinds or more", f"{len(words)} of them")
            rewritten = {
                name: self.text(text, f"{place}.told.{name}")
                for name, text in self.mapping(content.get("told"), f"{place}.told").items()
            }
            least = content.get("least", 2)
            if not isinstance(least, int) or isinstance(least, bool) or not 2 <= least <= len(words):
                self.fail(f"{place}.least", f"a whole number from 2 to {len(words)}", repr(least))
            joined = content.get("joined", "")
            if joined not in ("", "or"):
                self.fail(f"{place}.joined", "'or', or nothing", repr(joined))
            heads, tails = (self._beside(content, key, place) for key in ("heads", "tails"))
            found.append(Kinds(words, rewritten, heads, tails, least, joined))
        return tuple(found)

    def _items(self, value: Any, where: str) -> Sequence[Any]:
        if value is None:
            return ()
        if isinstance(value, str) or not isinstance(value, Sequence):
            self.fail(where, "a list", _kind(value))
        return value


def _kind(value: Any) -> str:
    if isinstance(value, str):
        return f"the text {value!r}"
    if value is None:
        return "nothing"
    name = type(value).__name__
    return f"{value!r}, of type {name}" if isinstance(value, int | float) else f"a {name}"
