"""What a direction moves of another attribute, measured without a judge, and taken out again.

    leakage to a value = sum <f(c) - f, d> / sum |d|^2,    d = f(y+) - mean of f(y+) of the attribute's other values

with f as in `discovery.word_reach`, over the first step of several images. Text embeddings that are orthogonal are not
so any more once the denoiser has read them. So a direction of which the vectors of another attribute were taken out may
still lead to one of its values, as what it was learned from goes together with that in the model. Of the direction of
the value that it leads to most, some is taken away.

How much that is no linear rule says, so the leakage is measured with `TRIED` of it, and what lies between is taken from
a line. Of what leads to 0 there, `TAKEN` is taken: for other subjects all of it is too much. On emoji-sd3 "woman" shows
light skin in .14 more of 400 images of the development occupations than unsteered ones do, and all of it leaves .00; of
160 images of subjects of which the card names none, in .14 more, and all of it leaves -.08, half of it .03 (the mean of
two judges). On emoji dark skin shows women in .18 more of 200 images, and all of it leaves -.01. Effect and subject
stay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from directrix.concept import Concept
    from directrix.directions.part import Part
    from directrix.discovery.first_step import FirstStep

# What the noise of so few images can make of nothing is left alone.
LEAST = 0.12
# Shares of the other direction with which it is measured again; the last is the most that is taken away.
TRIED = (0.2, 0.4)
# Of the share that leads to no leakage.
TAKEN = 2 / 3

# A value of an attribute, and its parts as `embedding` finds them.
Values = Mapping["Concept", Sequence["Part"]]


def corrected(first: FirstStep, parts: Sequence[Part], values: Values) -> tuple[list[Part], dict[str, float]]:
    """The parts without what leaks to an attribute, and how much of which value's direction was taken away.

    values: of the attribute, two or more; where there are fewer, or a part does more than add, nothing is.
    """
    plain = all(each.projection is None for each in (*parts, *(part for one in values.values() for part in one)))
    if len(values) < 2 or not plain:
        return list(parts), {}
    others = {concept: [each for each in values if each is not concept] for concept in values}
    moved = first.movement(next(iter(values)), parts)
    leaked = {concept: first.share(concept, others[concept], moved) for concept in values}
    most = max(leaked, key=leaked.__getitem__)
    if not leaked[most] > LEAST:
        return list(parts), {}
    away = contrasted(values[most], [values[each] for each in others[most]])
    found = [(0.0, leaked[most])]
    for share in TRIED:
        if found[-1][1] > 0:
            found.append((share, first.along(most, others[most], less(parts, away, share))))
    share = TAKEN * _zero(found)
    return (less(parts, away, share), {most.name: round(share, 3)}) if share else (list(parts), {})


def contrasted(parts: Sequence[Part], others: Sequence[Sequence[Part]]) -> list[Part]:
    """A value's parts less the mean of those of the others, site by site."""
    mean = [sum(each.tensor for each in those) / len(those) for those in zip(*others, strict=True)]
    return [each.with_tensor(each.tensor - other) for each, other in zip(parts, mean, strict=True)]


def less(parts: Sequence[Part], away: Sequence[Part], share: float) -> list[Part]:
    """The parts without a share of others at the same sites."""
    return [each.with_tensor(each.tensor - share * other.tensor) for each, other in zip(parts, away, strict=True)]


def _zero(found: Sequence[tuple[float, float]]) -> float:
    """Where leakages by share, all but the last above 0, come to 0; else the share of the least of them."""
    (before, high), (after, low) = found[-2:]
    return min(found, key=lambda each: each[1])[0] if low > 0 else before + (after - before) * high / (high - low)
