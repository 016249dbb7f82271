"""Directions of things that a picture may hold, such as a knife or a book: many of them in one run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from directrix.concept import Concept
from directrix.discovery import DEFAULT_METHOD, discover
from directrix.errors import ConceptError

if TYPE_CHECKING:
    from directrix.directions.direction import Direction

SUBJECT = "a person"
_ARTICLES = ("a", "an", "the", "some")


def object_name(noun: str) -> str:
    """ "knife" for "a knife": what its direction is called."""
    first, _, rest = noun.strip().partition(" ")
    return rest.strip() if first.lower() in _ARTICLES else noun.strip()


def object_concepts(objects: Sequence[str], subjects: Sequence[str] = ()) -> list[Concept]:
    """A concept of each thing: a subject with it, against the subject alone.

    Args:
        things: noun phrases such as "a knife".
        subjects: noun phrases beside "a person".

    Raises:
        ConceptError: an empty phrase, or two things of one name.
    """
    names = [object_name(noun) for noun in objects]
    for name, noun in zip(names, objects, strict=True):
        if not name:
            raise ConceptError(f"The thing {noun!r} is empty.", "a noun phrase.", '"a knife".')
        if names.count(name) > 1:
            raise ConceptError(f"Two of the things are called '{name}'.", "each thing once.", "leave one out.")
    neutral = list(dict.fromkeys((SUBJECT, *subjects)))
    return [
        Concept.of(name, [f"{subject} with {noun.strip()}" for subject in neutral], neutral)
        for name, noun in zip(names, objects, strict=True)
    ]


def discover_objects(
    pipeline: Any,
    objects: Sequence[str],
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
    return discover(pipeline, object_concepts(objects, among), method, **settings)
