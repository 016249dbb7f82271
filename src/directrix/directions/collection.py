"""The directions at hand, found by name, each with the strength it is to have.

Which of several names is meant: people write "light" for "light-skinned" and "tone" for "skin tone".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from directrix.directions.direction import Direction
from directrix.directions.strength import checked
from directrix.errors import DirectionFileError, PolicyError, suggestion
from directrix.reading.names import path_of

# What a category does: directions and their strengths.
Effect = Mapping[Direction, float]
Directions = Any  # Catalogue | Direction | path | iterable of these | mapping from names to them
_SYNONYMS = {"female": "woman", "male": "man"}
_ARTICLES = ("a ", "an ", "the ", "no ", "without ", "anti ")


class Catalogue:
    """Directions by name.

    Args:
        directions: a direction, a file or a folder of files; a list of such; or a mapping from names to
            directions or files, whose names then count.
        strengths: strengths by name, where they are not the direction's own default.

    Raises:
        DirectionFileError: a file or folder without directions.
        PolicyError: two directions of one name, or a strength for an unknown one.
        StrengthError: a strength that is not a number.
    """

    def __init__(self, directions: Directions, strengths: Mapping[str, float] | None = None) -> None:
        self._directions: dict[str, Direction] = {}
        if isinstance(directions, Mapping):
            for name, each in directions.items():
                listed = _listed(each)
                if len(listed) != 1:
                    raise PolicyError(f"'{name}' stands for {len(listed)} directions.", "one direction each.")
                self._add(listed[0] if listed[0].name == name else listed[0].with_(name=str(name)))
        else:
            for direction in _listed(directions):
                self._add(direction)
        self._strengths = {name: each.strengths.default for name, each in self._directions.items()}
        for name, strength in (strengths or {}).items():
            number = checked(strength)
            if isinstance(number, tuple):
                raise PolicyError(f"The strength of '{name}' is a list.", "one number.", "1.0.")
            self._strengths[find(name, self._directions, "direction")] = number

    @classmethod
    def of(cls, directions: Directions, strengths: Mapping[str, float] | None = None) -> Catalogue:
        """A catalogue as it is, or a new one."""
        if not isinstance(directions, Catalogue):
            return cls(directions, strengths)
        return cls(directions._directions, {**directions._strengths, **strengths}) if strengths else directions

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the directions, in the order given."""
        return tuple(self._directions)

    def direction(self, name: str) -> Direction:
        """The direction that is meant; PolicyError names the nearest where there is none."""
        return self._directions[find(name, self._directions, "direction")]

    def effect(self, what: str | Direction | Iterable[str] | Mapping[str, float]) -> Effect:
        """Directions and strengths from a name, several names, or names with strengths."""
        if isinstance(what, Direction):
            return {what: what.strengths.default}
        if isinstance(what, Mapping):
            numbers = {self.direction(name): checked(strength) for name, strength in what.items()}
            return {each: number for each, number in numbers.items() if isinstance(number, float)}
        if not isinstance(what, Iterable):
            raise PolicyError(
                f"{what!r} is no direction.", "a name, several names, or names with strengths.", "[woman]."
            )
        found = [self.direction(name).name for name in ([what] if isinstance(what, str) else what)]
        return {self._directions[name]: self._strengths[name] for name in found}

    def _add(self, direction: Direction) -> None:
        if direction.name in self._directions:
            raise PolicyError(
                f"Two directions are named '{direction.name}'.",
                "one of each name.",
                "leave one out, or name them in a mapping: {name: direction}.",
            )
        self._directions[direction.name] = direction


def keeps_out(direction: Direction) -> tuple[str, ...] | None:
    """What an anti-concept keeps out, in the words of its negative prompts.

    Empty for a concept that is drawn, None where the direction does not say how it was found.
    """
    concept = direction.recipe.get("concept")
    pairs = concept.get("pairs") if isinstance(concept, Mapping) else None
    if not pairs or not isinstance(pairs, list | tuple):
        return None
    negatives = (pair.get("negative") for pair in pairs if isinstance(pair, Mapping))
    return tuple(dict.fromkeys(plain(each) for each in negatives if each))


def plain(name: str) -> str:
    """Lower case, words parted by one space, without an article or a "no" before them."""
    text = " ".join(str(name).lower().replace("-", " ").replace("_", " ").split())
    for each in _ARTICLES:
        text = text.removeprefix(each)
    return text


def matches(name: str, names: Iterable[str]) -> list[str]:
    """The names that may be meant: the same one, else those that share all words of the shorter of the two."""
    known = list(names)
    wanted = plain(name)
    wanted = _SYNONYMS.get(wanted, wanted) if wanted not in map(plain, known) else wanted
    exact = [each for each in known if each == name] or [each for each in known if plain(each) == wanted]
    if exact or not wanted:
        return exact
    words = set(wanted.split())
    longer = [each for each in known if words < set(plain(each).split())]
    return longer or [each for each in known if set(plain(each).split()) < words]


def find(name: str, names: Iterable[str], kind: str) -> str:
    """The one name of the known ones that is meant; PolicyError says where none or several are, and names the nearest.

    kind: what they are names of, for the error.
    """
    known = list(names)
    found = matches(name, known)
    if len(found) == 1:
        return found[0]
    if found:
        happened = f"The {kind} '{name}' may be {' or '.join(map(repr, found))}."
        raise PolicyError(happened, "a name that fits one only.", "write it in full.")
    raise PolicyError(f"There is no {kind} '{name}'.", f"the name of a {kind}.", suggestion(str(name), known))


def _listed(directions: Directions) -> list[Direction]:
    if isinstance(directions, Direction):
        return [directions]
    if isinstance(directions, str | Path):
        path = path_of(directions, DirectionFileError)
        if not path.is_dir():
            return [Direction.from_pretrained(directions)]
        files = sorted(path.glob("*.safetensors"))
        if not files:
            raise DirectionFileError(
                f"The folder '{path}' holds no directions.", "files that `directrix discover` wrote.", "another folder."
            )
        return [Direction.load(file) for file in files]
    if not isinstance(directions, Iterable):
        raise PolicyError(
            f"The directions are of type {type(directions).__name__}.",
            "directions, their files or a folder.",
            'directions="directions/".',
        )
    return [direction for each in directions for direction in _listed(each)]
