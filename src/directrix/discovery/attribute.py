"""The directions of an attribute, such as gender: as they should be made, unless there is a reason not to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from directrix.concept import ATTRIBUTE_SETS, AttributeSet
from directrix.discovery import AT_INPUTS, Orthogonalization, default_method, discover
from directrix.discovery.settings import regrouped

if TYPE_CHECKING:
    from directrix.directions.direction import Direction


@regrouped
def discover_attribute(
    pipeline: Any,
    attribute: AttributeSet,
    method: str | None = None,
    *,
    subjects: Sequence[str] | None = None,
    orthogonalization: Orthogonalization | None = None,
    **settings: Any,
) -> list[Direction]:
    """Finds the directions of all values of an attribute in one run.

    Each is learned on several subjects beside "a person", of two each becomes what the other is not, and the other
    attributes that are known are left alone.

    Args:
        subjects: noun phrases such as "a judge"; None for those of the model's card.
        orthogonalization: where its `contrast` is None, there is contrast between two values, not between more: of
            three the middle one is no opposite of the others (``embedding`` and ``affine`` contrast any number). Where
            its `preserve` is None, all other attributes in ``ATTRIBUTE_SETS`` are preserved.
        settings: see ``discover``.

    Returns one Direction for each of the attribute's concepts, in order. Raises what ``discover`` raises.
    """
    from directrix.models.steerable import SteerableModel

    model = SteerableModel.of(pipeline)
    among = model.facts.subjects if subjects is None else tuple(subjects)
    form = orthogonalization or Orthogonalization()
    several = len(attribute.concepts) > 1
    method = method or default_method(orthogonalization=form, **settings)
    if form.contrast is None:
        # In text embeddings a middle value differs from the others as they do from each other.
        form = replace(form, contrast=len(attribute.concepts) == 2 or (method in AT_INPUTS and several))
    preserve = form.preserve
    if preserve is None:
        preserve = [each for each in ATTRIBUTE_SETS.values() if each.name != attribute.name]
    listed = [preserve] if isinstance(preserve, AttributeSet) or not isinstance(preserve, Sequence) else preserve
    preserved = [each.among(among) if isinstance(each, AttributeSet) else each for each in listed]
    form = replace(form, preserve=preserved)
    return discover(model, attribute.among(among).concepts, method, orthogonalization=form, **settings)
