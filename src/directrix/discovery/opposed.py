"""What stands in a value's way, pushed away from in the unconditional branch of guidance.

    added to the unconditional branch:  SHARE * direction of the value that the neutral prompt leads to
                                        -SHARE * its own direction, where it is that value itself

Guidance leads away from what its unconditional branch shows (Ho and Salimans 2022, equation 6), as from a negative
prompt. More of a direction in the conditional branch loses subjects before it reaches as far. The unconditional branch
knows of no subject, so what is added there costs little of it.

The value that the neutral prompt leads to is the one along whose words it predicts most:

    <f(y-) - mean of f of all values, d> / |d|^2,    with f and d as in `discovery.word_reach`

An attribute of two values needs none of this: each direction leads away from the other already. Nor does one of which
the neutral prompt leads to no value. This is a rule by trial, see docs/methods.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from directrix.concept import Concept
    from directrix.directions.part import Part
    from directrix.discovery.first_step import FirstStep

# How much of a direction is added to the unconditional branch.
SHARE = 0.3
# Images whose first step is looked at.
STATES = 2
# Values from which on it is done, and how far the neutral prompt leads to one at least. On the embedded models, that is
# .4 for light skin, and what leads nowhere measures up to .13.
VALUES, LEAST = 3, 0.2


def opposed(
    first: FirstStep, values: Mapping[Concept, Sequence[Part]]
) -> dict[Concept, tuple[list[Part], dict[str, float]]]:
    """The parts that each value gets in the unconditional branch, and how much of which value's direction they are.

    values: of one attribute, or other concepts that were contrasted, each with what it adds to the conditional branch.
    """
    affine = any(each.projection is not None for parts in values.values() for each in parts)
    none: dict[Concept, tuple[list[Part], dict[str, float]]] = {each: ([], {}) for each in values}
    if len(values) < VALUES or affine:
        return none
    standing = {each: first.standing(each, [other for other in values if other is not each], STATES) for each in values}
    most = max(standing, key=standing.__getitem__)
    if not standing[most] >= LEAST:
        return none
    shares = {each: -SHARE if each is most else SHARE for each in values}
    return {
        each: (
            [replace(part, tensor=share * part.tensor, branch="unconditional") for part in values[most]],
            {most.name: share},
        )
        for each, share in shares.items()
    }
