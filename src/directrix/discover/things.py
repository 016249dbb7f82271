"""Directions of things that a picture may hold, such as a knife or a book: many of them in one run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from directrix.concept import Concept
from directrix.discover import DEFAULT_METHOD, discover
from directrix.errors import ConceptError

if TYPE_CHECKING:
    from directrix.direction import Direction

SUBJECT = "a person"
_ARTICLES = ("a", "an", "the", "some")


def thing_name(thing: str) -> str:
    """ "knife" for "a knife": what its direction is called."""
    first, _, rest = thing.strip().partition(" ")
    return rest.strip() if first.lower() in _ARTICLES else thing.strip()


def thing_concepts(things: Sequence[str], subjects: Sequence[str] = ()) -> list[Concept]:
    """A concept of each thing: a subject with it, against the subject alone.

    Args:
        things: noun phrases such as "a knife".
        subjects: noun phrases beside "a person".

    Raises:
        ConceptError: an empty phrase, or two things of one name.
    """
    names = [thing_name(thing) for thing in things]
    for name, thing in zip(names, things, strict=True):
        if not name:
            raise ConceptError(f"The thing {thing!r} is empty.", "a noun phrase.", '"a knife".')
        if names.count(name) > 1:
            raise ConceptError(
                f"Two of the things are called '{name}'.", "each thing once.", "leave one out."
            )
    neutral = list(dict.fromkeys((SUBJECT, *subjects)))
    return [
        Concept.of(name, [f"{subject} with {thing.strip()}" for subject in neutral], neutral)
        for name, thing in zip(names, things, strict=True)
    ]


def discover_things(
    pipeline: Any,
    things: Sequence[str],
    method: str = DEFAULT_METHOD,
    *,
    subjects: Sequence[str] | None = None,
    **settings: Any,
) -> list[Direction]:
    """Finds the direction of each thing, on several subjects; all share the subjects' trajectories.

    Args:
        things: noun phrases such as "a knife" or "wine"; a direction is called by its thing without the article.
        subjects: noun phrases such as "a judge"; None for those of the model's card.
        settings: see ``discover``.

    Returns one Direction for each thing, in order. Raises what ``discover`` and ``thing_concepts`` raise.
    """
    from directrix.models import facts

    among = facts(pipeline).subjects if subjects is None else tuple(subjects)
    return discover(pipeline, thing_concepts(things, among), method, **settings)
