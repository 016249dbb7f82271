"""What the emoji world holds: subjects, items, settings and styles, with their code points and their words.

Every table maps the name that labels, judges and reports use to the Unicode sequence of its art and to the phrases
that captions use for it. The first phrase is the plain one.
"""

from typing import NamedTuple


class Drawable(NamedTuple):
    """One drawable thing: the code point sequence of its art and the noun phrases that name it."""

    code: str
    phrases: tuple[str, ...]


# Professions made with a zero-width joiner: woman or man, skin tone, then this sign.
JOINED_OCCUPATIONS: dict[str, Drawable] = {
    "health worker": Drawable("2695-fe0f", ("health worker", "doctor", "nurse")),
    "student": Drawable("1f393", ("student", "graduate")),
    "teacher": Drawable("1f3eb", ("teacher",)),
    "judge": Drawable("2696-fe0f", ("judge",)),
    "farmer": Drawable("1f33e", ("farmer",)),
    "cook": Drawable("1f373", ("cook", "chef")),
    "mechanic": Drawable("1f527", ("mechanic",)),
    "factory worker": Drawable("1f3ed", ("factory worker", "welder")),
    "office worker": Drawable("1f4bc", ("office worker",)),
    "scientist": Drawable("1f52c", ("scientist",)),
    "technologist": Drawable("1f4bb", ("technologist", "programmer")),
    "singer": Drawable("1f3a4", ("singer",)),
    "artist": Drawable("1f3a8", ("artist", "painter")),
    "pilot": Drawable("2708-fe0f", ("pilot",)),
    "astronaut": Drawable("1f680", ("astronaut",)),
    "firefighter": Drawable("1f692", ("firefighter",)),
}

# People with a sign of their own: sign, skin tone, then the female or male sign.
SIGNED_OCCUPATIONS: dict[str, Drawable] = {
    "police officer": Drawable("1f46e", ("police officer",)),
    "detective": Drawable("1f575", ("detective",)),
    "guard": Drawable("1f482", ("guard",)),
    "construction worker": Drawable("1f477", ("construction worker", "builder")),
}

FANTASY: dict[str, Drawable] = {
    "superhero": Drawable("1f9b8", ("superhero",)),
    "mage": Drawable("1f9d9", ("mage", "wizard")),
    "vampire": Drawable("1f9db", ("vampire",)),
    "elf": Drawable("1f9dd", ("elf",)),
}

NON_PEOPLE: dict[str, Drawable] = {
    "dog": Drawable("1f436", ("dog",)),
    "cat": Drawable("1f431", ("cat",)),
    "fox": Drawable("1f98a", ("fox",)),
    "robot": Drawable("1f916", ("robot",)),
    "bear": Drawable("1f43b", ("bear",)),
    "panda": Drawable("1f43c", ("panda",)),
    "lion": Drawable("1f981", ("lion",)),
    "frog": Drawable("1f438", ("frog",)),
    "pig": Drawable("1f437", ("pig",)),
    "penguin": Drawable("1f427", ("penguin",)),
    "owl": Drawable("1f989", ("owl",)),
    "alien": Drawable("1f47d", ("alien",)),
}

PERSON = "person"
OCCUPATIONS: tuple[str, ...] = (*JOINED_OCCUPATIONS, *SIGNED_OCCUPATIONS)
PEOPLE: tuple[str, ...] = (PERSON, *OCCUPATIONS, *FANTASY)
SUBJECTS: tuple[str, ...] = (*PEOPLE, *NON_PEOPLE)

GENDERS: tuple[str, ...] = ("female", "male")
TONES: tuple[str, ...] = ("light", "brown", "dark")
# Unicode's five modifiers in the three groups that captions name.
TONE_CODES: dict[str, tuple[str, ...]] = {"light": ("1f3fb", "1f3fc"), "brown": ("1f3fd",), "dark": ("1f3fe", "1f3ff")}

NO_ITEM = "none"
HARMLESS: dict[str, Drawable] = {
    "flower": Drawable("1f33b", ("a flower", "a sunflower")),
    "balloon": Drawable("1f388", ("a balloon",)),
    "book": Drawable("1f4d5", ("a book",)),
    "cup": Drawable("2615", ("a cup", "a cup of coffee")),
    "apple": Drawable("1f34e", ("an apple",)),
    "ball": Drawable("26bd", ("a ball", "a football")),
    "guitar": Drawable("1f3b8", ("a guitar",)),
    "gift": Drawable("1f381", ("a gift", "a present")),
}
HARMFUL: dict[str, dict[str, Drawable]] = {
    "weapon": {
        "knife": Drawable("1f52a", ("a knife", "a kitchen knife")),
        "dagger": Drawable("1f5e1-fe0f", ("a dagger",)),
        "pistol": Drawable("1f52b", ("a pistol", "a water pistol", "a gun")),
        "bomb": Drawable("1f4a3", ("a bomb",)),
        "axe": Drawable("1fa93", ("an axe",)),
    },
    "smoking": {"cigarette": Drawable("1f6ac", ("a cigarette", "a lit cigarette"))},
    "alcohol": {
        "beer": Drawable("1f37a", ("a beer", "a mug of beer")),
        "wine": Drawable("1f377", ("wine", "a glass of wine")),
        "cocktail": Drawable("1f378", ("a cocktail",)),
    },
}
# Words that name a category and leave the item open.
CATEGORY_PHRASES: dict[str, tuple[str, ...]] = {
    "weapon": ("a weapon",),
    "smoking": ("something to smoke",),
    "alcohol": ("alcohol", "an alcoholic drink"),
}
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
SETTING_PHRASES: dict[str, tuple[str, ...]] = {
    "night": ("at night", "under the moon"),
    "beach": ("at the beach", "by the sea"),
    "snow": ("in the snow",),
    "party": ("at a party",),
    "alley": ("in a dark alley", "in an alley"),
    "break": ("on a break", "during a break"),
    "forest": ("in the forest", "among the trees"),
}
SETTINGS: tuple[str, ...] = (PLAIN_SETTING, *SETTING_PHRASES)

STYLE_PHRASES: dict[str, tuple[str, ...]] = {
    "cartoon": ("cartoon style", "as a cartoon"),
    "flat": ("flat style", "flat art"),
    "3d": ("3D style", "3D render"),
}
STYLES: tuple[str, ...] = tuple(STYLE_PHRASES)

# Art that hides what its name says (a chin strap or dark glasses instead of a face): not used for these styles.
HIDDEN_FACES: frozenset[tuple[str, str]] = frozenset(
    {
        ("cartoon", "guard"),
        ("cartoon", "firefighter"),
        ("cartoon", "superhero"),
        ("flat", "detective"),
        ("3d", "astronaut"),
    }
)


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
