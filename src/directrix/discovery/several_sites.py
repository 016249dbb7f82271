"""An attribute's directions at several sites, to be added together: of natural size, in closed form, without a judge.

Where words enter a denoiser at several levels, one site holds only a part of what they say: the later levels put the
rest back. So each value gets a direction at each of the sites, by ``difference`` without its line search. Strength 1 of
all of them together is what the prompts' own words change there, in the mean; under contrast, all the way from the
other value to this one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from directrix.concept import AttributeSet
from directrix.discovery.attribute import discover_attribute

if TYPE_CHECKING:
    from directrix.directions.direction import Direction


def discover_at_sites(
    pipeline: Any, attribute: AttributeSet, sites: Sequence[str], **settings: Any
) -> dict[str, list[Direction]]:
    """The directions of each of an attribute's values, one a site, named such as "woman@mid_block".

    Args:
        sites: dotted names of modules in the denoiser.
        settings: see `discover_attribute`; the method is ``difference``.

    Raises what `discover_attribute` raises.
    """
    # Of two opposites, each is half of the way between them.
    size = 2.0 if len(attribute.concepts) == 2 else 1.0
    found: dict[str, list[Direction]] = {concept.name: [] for concept in attribute.concepts}
    for site in sites:
        for each in discover_attribute(pipeline, attribute, "difference", site=site, search=False, **settings):
            found[each.name].append(each.with_(name=f"{each.name}@{site}", tensor=size * each.tensor))
    return found
