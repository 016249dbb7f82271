"""Directions of objects that an image may show, such as a knife or a book: many of them in one run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from directrix.concept import Concept
from directrix.deprecation import renamed
from directrix.discovery import discover
from directrix.discovery.settings import regrouped
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
    """A concept of each object: a subject with it, against the subject alone.

    Args:
        objects: noun phrases such as "a knife".
        subjects: noun phrases beside "a person".

    Raises:
        ConceptError: an empty phrase, or two objects of one name.
    """
    names = [object_name(noun) for noun in objects]
    for name, noun in zip(names, objects, strict=True):
        if not name:
            raise ConceptError(f"The object {noun!r} is empty.", "a noun phrase.", '"a knife".')
        if names.count(name) > 1:
            raise ConceptError(f"Two of the objects are called '{name}'.", "each object once.", "leave one out.")
    neutral = list(dict.fromkeys((SUBJECT, *subjects)))
    return [
        Concept.of(name, [f"{subject} with {noun.strip()}" for subject in neutral], neutral)
        for name, noun in zip(names, objects, strict=True)
    ]


@renamed(things="objects")
@regrouped
def discover_objects(
    pipeline: Any,
    objects: Sequence[str],
    method: str | None = None,
    *,
    subjects: Sequence[str] | None = None,
    **settings: Any,
) -> list[Direction]:
    """Finds the direction of each object, on several subjects; all share the subjects' trajectories.

    Args:
        objects: noun phrases such as "a knife" or "wine"; a direction is called by its object without the article.
        subjects: noun phrases such as "a judge"; None for those of the model's card.
        settings: see ``discover``.

    Returns one Direction for each object, in order. Raises what ``discover`` and ``object_concepts`` raise.
    """
    from directrix.models.steerable import SteerableModel

    model = SteerableModel.of(pipeline)
    among = model.facts.subjects if subjects is None else tuple(subjects)
    return discover(model, object_concepts(objects, among), method, **settings)
