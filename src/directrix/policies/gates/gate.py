"""Gates: which prompts `fair` acts on, so that only what must change does.

For each attribute the first rule that fits decides:

    not English     the prompt is in another language             as `unsure`
    no person       it names no person: "a doctor's office"       as `others`
    unsure          its noun is not known                         as `unsure`
    stated          it says it of the attribute: "a male nurse"   as `stated`
    group           several persons: "three nurses"               as `groups`
    quota           one person                                    steered

A prompt that nothing steers keeps its very bits. A wish for balance ("of any gender") says nothing of the attribute.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

from directrix.checks import one_of
from directrix.directions.collection import matches
from directrix.errors import PolicyError
from directrix.policies.gates.people import People
from directrix.policies.gates.stated import stated
from directrix.policies.gates.subject import Subject, subject
from directrix.policies.wording import tokens
from directrix.policies.wording.tokens import Word

Action = Literal["leave", "steer"]
_ACTIONS = ("leave", "steer")
# What a prompt says itself can also be met: a closed loop steers images that read otherwise.
MEET = "meet"
# What decides about each kind of prompt that is not about one person.
_FIELDS = {"no person": "others", "unsure": "unsure", "not English": "unsure", "group": "groups"}
QUOTA, STATED, ASKED = "quota", "stated", "asked"


@dataclass(frozen=True)
class Decision:
    """What became of one attribute of one prompt.

    Args:
        rule: "quota", "stated", "group", "no person", "unsure" or "not English"; "asked" where the prompt asks for
            balance in words and the policy's `enhance` part does it.
        word: of the prompt, which decided; "" where there is none.
        steered: whether its images are given categories.
    """

    rule: str
    word: str
    steered: bool

    def __str__(self) -> str:
        said = f"{self.rule} ('{self.word}')" if self.word else self.rule
        return f"{said}, {'steered' if self.steered else 'left as it is'}"


@dataclass(frozen=True)
class Gate:
    """Which prompts are steered; each field says "leave" or "steer".

    Args:
        stated: prompts that say something of the attribute themselves; the others of it are still steered. "meet"
            leaves them too, but where a closed loop reads that an image shows another category than its prompt names
            (`named`), it is steered to that one.
        groups: prompts about several persons.
        others: prompts about no person.
        unsure: prompts whose noun is not known, or that are in another language.
        people: YAML files with words of one's own, with the keys of people.yaml.

    Raises:
        PolicyError: another value.
        PhraseError: a file that cannot be read.
    """

    stated: Action | Literal["meet"] = MEET
    groups: Action = "leave"
    others: Action = "leave"
    unsure: Action = "leave"
    people: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in _ACTION_FIELDS:
            allowed = (*_ACTIONS, MEET) if name == STATED else _ACTIONS
            if getattr(self, name) not in allowed:
                listed = " or ".join(map(repr, allowed))
                raise PolicyError(f"The gate's '{name}' is {getattr(self, name)!r}.", f"{listed}.", "leave.")
        files = (self.people,) if isinstance(self.people, str | Path) else self.people
        object.__setattr__(self, "people", tuple(map(str, files)))
        if self.people:
            _ = self._words

    @classmethod
    def of(cls, given: Gate | Mapping[str, Any] | bool | None) -> Gate:
        """A gate from its settings; None or True for the default, False for one that lets every prompt through."""
        if isinstance(given, Gate):
            return given
        if given is None or isinstance(given, bool):
            return cls() if given is not False else cls("steer", "steer", "steer", "steer")
        if not isinstance(given, Mapping):
            raise PolicyError(f"The gate is {given!r}.", "settings, or false for none.", "gate: {groups: steer}.")
        for name in given:
            one_of("setting of the gate", name, [each.name for each in fields(cls)], error=PolicyError)
        return cls(**given)

    @property
    def config(self) -> dict[str, Any]:
        """Settings as JSON values."""
        return {**{name: getattr(self, name) for name in _ACTION_FIELDS}, "people": list(self.people)}

    @property
    def open(self) -> bool:
        """Whether every prompt is steered."""
        return all(getattr(self, name) == "steer" for name in _ACTION_FIELDS)

    @property
    def sentence(self) -> str:
        """What it does, in plain words."""
        left = [words for name, words in _WORDS.items() if getattr(self, name) != "steer"]
        return f"Left as they are: {'; '.join(left)}." if left else "Every prompt is steered, whatever it is about."

    def decide(self, prompt: str, attributes: Mapping[str, Sequence[str]]) -> dict[str, Decision]:
        """What becomes of each attribute, given with the names of its categories, of a prompt."""
        about, text, words = self._read(prompt)
        decided: dict[str, Decision] = {}
        for attribute, categories in attributes.items():
            if about.about in ("person", "group"):
                said = stated(attribute, categories, text, words, about.phrases, self._words)
                if said:
                    decided[attribute] = Decision(STATED, said, self.stated == "steer")
                    continue
            action = getattr(self, _FIELDS[about.about]) if about.about in _FIELDS else "steer"
            rule = QUOTA if about.about == "person" else about.about
            decided[attribute] = Decision(rule, about.word, action == "steer")
        return decided

    def named(self, prompt: str, decision: Decision, categories: Sequence[str]) -> str | None:
        """The one category that a prompt names where it says something of an attribute, and that is to be met.

        None for words that only go with a category ("a waitress", "a Chinese judge"), where another category is named
        too, and where something is denied ("not a man").
        """
        if self.stated != MEET or decision.rule != STATED:
            return None
        _, _, words = self._read(prompt)
        texts = [word.text for word in words]
        found = matches(decision.word, categories)
        others = {each[0] for text in texts if len(each := matches(text, categories)) == 1} - set(found)
        return None if others or len(found) != 1 or not tokens.WORDS["negators"].isdisjoint(texts) else found[0]

    @cached_property
    def _words(self) -> People:
        return People.load(*self.people)

    def _read(self, prompt: str) -> tuple[Subject, str, list[Word]]:
        text = _without_wishes(prompt)
        words = tokens.read(text)
        return subject(text, words, self._words), text, words


# What each field is about.
_WORDS = {
    "stated": "what a prompt says itself of such an attribute",
    "groups": "prompts about several persons",
    "others": "prompts about no person",
    "unsure": "prompts whose noun is not known, or that are not English",
}
_ACTION_FIELDS = tuple(_WORDS)


@lru_cache(maxsize=1024)
def _without_wishes(prompt: str) -> str:
    """The prompt without its wishes for balance: "men or women" says nothing of the gender."""
    from directrix.policies.wording.understand import understand

    understood = understand(prompt)
    wishes = tuple(each for each in understood.switches if each.kind == "balance" and not _states(each.phrase))
    return (replace(understood, switches=wishes).rewritten.strip() if wishes else "") or prompt


def _states(phrase: str) -> bool:
    """Whether a wish states one category, or only rules one out: "of color", "not female"."""
    first, *words = phrase.casefold().split()
    tables = People.load().stated.values()
    said = any((word,) in table for word in words[-1:] for table in tables)
    denied = first in ("not", "never") and said and tokens.WORDS["adding"].isdisjoint(words)
    return denied or any((first, *words) in table for table in tables)


def notes(prompts: Sequence[str], gates: Iterable[Mapping[str, Mapping[str, Any]]]) -> list[str]:
    """One sentence for each prompt that a gate left as it is, in whole or in part."""
    found = []
    for prompt, decided in zip(prompts, gates, strict=True):
        left = {name: Decision(**each) for name, each in decided.items() if not each["steered"]}
        if left:
            found.append(f"'{prompt}': " + "; ".join(f"{name}: {each}" for name, each in left.items()) + ".")
    return found
