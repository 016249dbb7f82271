"""The directions of an attribute, such as gender: as they should be made, unless there is a reason not to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from directrix.concept import ATTRIBUTE_SETS, AttributeSet
from directrix.discovery import DEFAULT_METHOD, discover

if TYPE_CHECKING:
    from directrix.directions.direction import Direction


def discover_attribute(
    pipeline: Any,
    attribute: AttributeSet,
    method: str = DEFAULT_METHOD,
    *,
    subjects: Sequence[str] | None = None,
    contrast: bool | None = None,
    preserve: Sequence[AttributeSet] | None = None,
    **settings: Any,
) -> list[Direction]:
    """Finds the directions of all values of an attribute in one run.

    Each is learned on several subjects beside "a person", of two each becomes what the other is not, and the other
    attributes that are known are left alone.

    Args:
        subjects: noun phrases such as "a judge"; None for those of the model's card.
        contrast: take out what all values share; None to do so where there are two. Of three or more the middle one
            is no opposite of the others.
        preserve: attributes that must not change; None for all the others in ``ATTRIBUTE_SETS``.
        settings: see ``discover``.

    Returns one Direction for each of the attribute's concepts, in order. Raises what ``discover`` raises.
    """
    from directrix.models import facts

    among = facts(pipeline).subjects if subjects is None else tuple(subjects)
    others = [each for each in ATTRIBUTE_SETS.values() if each.name != attribute.name] if preserve is None else preserve
    return discover(
        pipeline,
        attribute.among(among).concepts,
        method,
        contrast=len(attribute.concepts) == 2 if contrast is None else contrast,
        preserve=[each.among(among) for each in others],
        **settings,
    )
