"""Fair generation in one call: images whose attributes meet targets, such as as many women as men."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from directrix.directions.collection import Directions
from directrix.generation.generate import Sampling, generate
from directrix.generation.record import Records
from directrix.interventions.protocol import Intervention
from directrix.policies.balance import Balancing
from directrix.policies.fair import Fair
from directrix.policies.gates.gate import Gate

# Arguments of `Fair`; the last two are their names in version 0.1, of which `Fair` warns.
_OF_FAIR = (*Balancing.__annotations__, "gate", "replace", "hold")


class FairSampling(Sampling, Balancing, total=False):
    """How images are balanced and drawn; see `Fair` and `generate`."""

    gate: Gate | Mapping[str, Any] | bool | None


def fair(
    pipeline: Any,
    prompts: str | Sequence[str],
    attributes: Mapping[str, str | Mapping[str | None, float]],
    images: int = 1,
    *,
    directions: Directions,
    **settings: Unpack[FairSampling],
) -> Records:
    """Draws images whose attributes meet the targets, and returns a record for each.

    Args:
        pipeline, prompts: as in `generate`.
        attributes, directions, sets, strengths, project_and_set, feedback, closed_loop, gate: as in
            `Fair`.
        images: images of each prompt.
        settings: whatever else `generate` takes; its interventions are applied after this one.
    """
    given: dict[str, Any] = dict(settings)
    planner = Fair(attributes, directions, **{name: given.pop(name) for name in _OF_FAIR if name in given})
    others = given.pop("interventions", ())
    others = (others,) if isinstance(others, Intervention) else tuple(others)
    return generate(pipeline, prompts, images, interventions=(planner, *others), **given)
