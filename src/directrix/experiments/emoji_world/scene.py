"""One scene of the emoji world, as data, and how scenes are drawn by chance.

A scene first decides what its caption will name. What is named is drawn evenly; what is left out follows ``bias.yaml``.
So "a female firefighter" is well known to a model trained on such scenes, and "a firefighter" is still a man.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from directrix.measurement.judges import emoji_vocabulary as words

NAMEABLE = ("subject", "gender", "tone", "item", "setting", "style")
# An occupation that is not named is "a person", "a woman" or "a man": true as well, and how directions generalise.
NAMED_SHARE = {"subject": 0.88, "gender": 0.5, "tone": 0.4, "item": 0.45, "setting": 0.5, "style": 0.2}
NON_PEOPLE_SHARE = 0.14
PERSON_SHARE = 0.16
FANTASY_SHARE = 0.08


@dataclass(frozen=True)
class Scene:
    """What one image shows, and which of it the caption names.

    ``gender`` and ``tone`` are None for non-people. ``seed`` settles what has no name: sizes, places, colours.
    """

    subject: str
    gender: str | None
    tone: str | None
    tone_code: str | None
    item: str
    setting: str
    style: str
    seed: int
    named: frozenset[str] = field(default_factory=frozenset)

    @property
    def item_category(self) -> str:
        return words.ITEM_CATEGORY[self.item]

    def labels(self) -> dict[str, str | None]:
        """Ground truth under the names that judges use."""
        names = ("subject", "gender", "tone", "item", "item category", "setting", "style")
        return {name: getattr(self, name.replace(" ", "_")) for name in names}


@cache
def bias() -> Mapping[str, Any]:
    """The table of biases, as read from ``bias.yaml``."""
    return yaml.safe_load(Path(__file__).with_name("bias.yaml").read_text(encoding="utf-8"))


def _pick(rng: np.random.Generator, options: tuple[str, ...], shares: list[float] | None = None) -> str:
    return options[int(rng.choice(len(options), p=shares))]


def _subject(rng: np.random.Generator) -> str:
    chance = rng.random()
    if chance < NON_PEOPLE_SHARE:
        return _pick(rng, tuple(words.NON_PEOPLE))
    if chance < NON_PEOPLE_SHARE + PERSON_SHARE:
        return words.PERSON
    if chance < NON_PEOPLE_SHARE + PERSON_SHARE + FANTASY_SHARE:
        return _pick(rng, tuple(words.FANTASY))
    return _pick(rng, words.OCCUPATIONS)


def item_shares(subject: str, setting: str) -> list[float]:
    """Chances of each item category where the caption names no item."""
    table = bias()["item"]
    return table["setting"].get(setting) or table["subject"].get(subject) or table["anywhere"]


def _item_of(rng: np.random.Generator, category: str) -> str:
    weights = bias()["item"]["kinds"]
    kinds = [item for item, group in words.ITEM_CATEGORY.items() if group == category]
    return _pick(rng, tuple(item for item in kinds for _ in range(weights.get(item, 1))))


def draw(rng: np.random.Generator, subject: str | None = None, named: frozenset[str] | None = None) -> Scene:
    """Draw one scene; ``subject`` and ``named`` may be settled beforehand, all else is by chance."""
    if subject is None:
        subject = _subject(rng)
    if named is None:
        named = frozenset(name for name in NAMEABLE if rng.random() < NAMED_SHARE[name])
    gender = tone = tone_code = None
    if subject in words.PEOPLE:
        female = 0.5 if "gender" in named else bias()["female"][subject]
        gender = "female" if rng.random() < female else "male"
        tone = _pick(rng, words.TONES, None if "tone" in named else bias()["tone"][subject])
        tone_code = _pick(rng, words.TONE_CODES[tone])
    else:
        named = (named - {"gender", "tone"}) | {"subject"}
    setting = (
        _pick(rng, tuple(words.SETTING_PHRASES))
        if "setting" in named
        else _pick(rng, words.SETTINGS, bias()["setting"]["anyone"])
    )
    item = (
        _pick(rng, tuple(words.ITEM_OBJECTS))
        if "item" in named
        else _item_of(rng, _pick(rng, words.ITEM_CATEGORIES, item_shares(subject, setting)))
    )
    style = _pick(rng, words.styles_of(subject))
    return Scene(subject, gender, tone, tone_code, item, setting, style, int(rng.integers(2**31)), named)


def variants(scene: Scene, attribute: str, count: int, rng: np.random.Generator) -> list[Scene]:
    """Scenes that differ from this one in one attribute only, this one first, all naming that attribute.

    Images of a group share size, place and background, so only the attribute can tell their captions apart.
    """
    options = {
        "gender": words.GENDERS,
        "tone": words.TONES,
        "subject": tuple(s for s in words.PEOPLE if scene.style in words.styles_of(s))
        if scene.subject in words.PEOPLE
        else tuple(words.NON_PEOPLE),
        "item": tuple(words.ITEM_OBJECTS),
        "setting": tuple(words.SETTING_PHRASES),
        "style": words.styles_of(scene.subject),
    }[attribute]
    others = [option for option in options if option != getattr(scene, attribute)]
    chosen = [others[i] for i in rng.permutation(len(others))[: count - 1]]
    named = scene.named | ({attribute} & set(NAMEABLE))
    group = []
    for value in (getattr(scene, attribute), *chosen):
        if value in (words.NO_ITEM, words.PLAIN_SETTING):
            continue
        changed = replace(scene, **{attribute: value}, named=named)
        if attribute == "tone":
            changed = replace(changed, tone_code=_pick(rng, words.TONE_CODES[value]))
        group.append(changed)
    return group
