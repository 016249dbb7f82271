"""What of a direction can be compared with what a prompt says: its parts in the conditional branch of guidance.

A prompt says nothing of the unconditional branch. What acts there is no candidate, and tells nothing of an image.
"""

from __future__ import annotations

from collections.abc import Iterable

from directrix.directions.collection import Effect
from directrix.directions.direction import Direction
from directrix.directions.part import Part
from directrix.errors import MismatchError, StrengthError
from directrix.models.identity import Site


def compared(direction: Direction) -> list[Part]:
    """The parts that can be."""
    return [part for part in direction.parts if part.is_conditional]


def compared_at(direction: Direction) -> Site:
    """The one site where it can be; MismatchError where there are several."""
    return direction.with_(parts=compared(direction)).site


def sites_of(effects: Iterable[Effect], several: bool, instead: str) -> tuple[Site, ...]:
    """The sites where these directions can be compared, in order.

    several: whether they may be several, at each of which it is decided anew. instead: what errors advise.

    Raises:
        StrengthError: a direction with weights by step, an affine one, or one of the unconditional branch alone.
        MismatchError: several sites, whose activations are not known at the same time.
    """
    by_direction = {each: compared(each) for effect in effects for each in effect}
    parts = [part for own in by_direction.values() for part in own]
    if any(part.weights is not None for part in parts):
        raise StrengthError(
            "A direction has weights by step, which cannot be compared with what a prompt says.",
            "directions without weights.",
            f"{instead}.",
        )
    if any(part.projection is not None for part in parts):
        raise StrengthError(
            "A direction is affine: it takes out itself what a prompt says.",
            "directions that only add.",
            f"{instead}, or discover it anew with method='embedding'.",
        )
    alone = next((each for each, own in by_direction.items() if not own), None)
    if alone is not None:
        raise StrengthError(
            f"The direction '{alone.name}' acts on the unconditional branch alone, of which no prompt tells.",
            "a direction with a part in the conditional branch.",
            f"{instead}.",
        )
    found = tuple(dict.fromkeys(part.site for part in parts))
    if len(found) > 1 and not several:
        raise MismatchError(
            f"The directions are at several sites: {', '.join(sorted(each.name for each in found))}.",
            "one site, where they can be compared.",
            f"{instead}.",
        )
    return found
