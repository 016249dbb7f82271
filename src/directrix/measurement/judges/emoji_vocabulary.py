"""What the emoji world holds: subjects, items, settings and styles, with their code points and their words.

The tables are in emoji_vocabulary.yaml. Each maps the name that labels, judges and reports use to the Unicode sequence
of its art and to the phrases that captions use for it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml


class Drawable(NamedTuple):
    """The code point sequence of something's art and the noun phrases that name it, the plain one first."""

    code: str
    phrases: tuple[str, ...]


def _drawables(table: Mapping[str, Any]) -> dict[str, Drawable]:
    return {name: Drawable(each["code"], tuple(each["phrases"])) for name, each in table.items()}


def _lists(table: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(each) for name, each in table.items()}


# The loader in C, where PyYAML was built with it, takes a tenth of the time.
_TABLES: dict[str, Any] = yaml.load(
    Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader)
)

JOINED_OCCUPATIONS = _drawables(_TABLES["joined_occupations"])
SIGNED_OCCUPATIONS = _drawables(_TABLES["signed_occupations"])
FANTASY = _drawables(_TABLES["fantasy"])
NON_PEOPLE = _drawables(_TABLES["non_people"])
PERSON = "person"
OCCUPATIONS: tuple[str, ...] = (*JOINED_OCCUPATIONS, *SIGNED_OCCUPATIONS)
PEOPLE: tuple[str, ...] = (PERSON, *OCCUPATIONS, *FANTASY)
SUBJECTS: tuple[str, ...] = (*PEOPLE, *NON_PEOPLE)

GENDERS: tuple[str, ...] = ("female", "male")
TONE_CODES = _lists(_TABLES["tone_codes"])
TONES: tuple[str, ...] = tuple(TONE_CODES)
# What is made even, by the judges' attribute.
CATEGORIES: Mapping[str, tuple[str, ...]] = {"gender": GENDERS, "tone": TONES}

NO_ITEM = "none"
HARMLESS = _drawables(_TABLES["harmless"])
HARMFUL = {category: _drawables(group) for category, group in _TABLES["harmful"].items()}
CATEGORY_PHRASES = _lists(_TABLES["category_phrases"])
ITEM_OBJECTS: dict[str, Drawable] = {
    **HARMLESS,
    **{name: noun for group in HARMFUL.values() for name, noun in group.items()},
}
ITEMS: tuple[str, ...] = (NO_ITEM, *ITEM_OBJECTS)
ITEM_CATEGORY: dict[str, str] = {
    NO_ITEM: NO_ITEM,
    **dict.fromkeys(HARMLESS, "harmless"),
    **{name: category for category, group in HARMFUL.items() for name in group},
}
ITEM_CATEGORIES: tuple[str, ...] = (NO_ITEM, "harmless", *HARMFUL)

PLAIN_SETTING = "plain"
SETTING_PHRASES = _lists(_TABLES["setting_phrases"])
SETTINGS: tuple[str, ...] = (PLAIN_SETTING, *SETTING_PHRASES)
STYLE_PHRASES = _lists(_TABLES["style_phrases"])
STYLES: tuple[str, ...] = tuple(STYLE_PHRASES)
# Styles and subjects whose art hides what its name says.
HIDDEN_FACES = frozenset((style, name) for style, names in _TABLES["hidden_faces"].items() for name in names)


def styles_of(subject: str) -> tuple[str, ...]:
    """The styles whose art of this subject shows all that its name says."""
    return tuple(style for style in STYLES if (style, subject) not in HIDDEN_FACES)


def subject_codes(subject: str, gender: str | None, tone_code: str | None) -> str:
    """The code point sequence of a subject's art, in lower case hexadecimal joined by hyphens."""
    if subject in NON_PEOPLE:
        return NON_PEOPLE[subject].code
    adult = {"female": "1f469", "male": "1f468"}[gender or "female"]
    if subject == PERSON:
        return f"{adult}-{tone_code}"
    if subject in JOINED_OCCUPATIONS:
        return f"{adult}-{tone_code}-200d-{JOINED_OCCUPATIONS[subject].code}"
    sign = {"female": "2640", "male": "2642"}[gender or "female"]
    return f"{(SIGNED_OCCUPATIONS | FANTASY)[subject].code}-{tone_code}-200d-{sign}-fe0f"


def naming(attribute: str, label: str) -> tuple[str, ...]:
    """The label and all phrases that name it: of an item, its category's as well; of a category, its items'."""
    found = [label, *(("skinned", "skin tone") if attribute == "tone" else ())]
    drawn = {**JOINED_OCCUPATIONS, **SIGNED_OCCUPATIONS, **FANTASY, **NON_PEOPLE, **ITEM_OBJECTS}
    category = ITEM_CATEGORY.get(label, label)
    items = [name for name, of in ITEM_CATEGORY.items() if of == label]
    for name in dict.fromkeys((label, *items)):
        found += [name, *(drawn[name].phrases if name in drawn else ())]
    for table in (SETTING_PHRASES, STYLE_PHRASES, CATEGORY_PHRASES):
        found += table.get(label, ())
    return tuple(dict.fromkeys((*found, category, *CATEGORY_PHRASES.get(category, ()))))
