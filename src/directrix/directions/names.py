"""Which of several names is meant: people write "light" for "light-skinned" and "tone" for "skin tone"."""

from __future__ import annotations

from collections.abc import Iterable

from directrix.errors import PolicyError, suggestion

_SYNONYMS = {"female": "woman", "male": "man"}
_ARTICLES = ("a ", "an ", "the ", "no ", "without ", "anti ")


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
    """The one name that is meant.

    Args:
        name: as it was written.
        names: the known ones.
        kind: what they are names of, for the error.

    Raises:
        PolicyError: none or several are meant; it names the nearest.
    """
    known = list(names)
    found = matches(name, known)
    if len(found) == 1:
        return found[0]
    if found:
        raise PolicyError(
            f"The {kind} '{name}' may be {' or '.join(repr(each) for each in found)}.",
            "a name that fits one only.",
            "write it in full.",
        )
    raise PolicyError(f"There is no {kind} '{name}'.", f"the name of a {kind}.", suggestion(str(name), known))
