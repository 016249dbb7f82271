"""Fair generation in one call: images whose attributes meet targets, such as as many women as men."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from directrix.deprecation import renamed
from directrix.directions.collection import Directions
from directrix.generation.generate import generate
from directrix.generation.manifest import Record
from directrix.interventions.protocol import Intervention
from directrix.policies.balance import Categories, ProbeFiles
from directrix.policies.fair import Fair


@renamed(replace="project_and_set", hold="feedback")
def fair(
    pipeline: Any,
    prompts: str | Sequence[str],
    attributes: Mapping[str, str | Mapping[str | None, float]],
    images: int = 1,
    *,
    directions: Directions,
    sets: Mapping[str, Categories] | None = None,
    strengths: Mapping[str, float] | None = None,
    project_and_set: bool | None = None,
    feedback: ProbeFiles = (),
    interventions: Sequence[Intervention] | Intervention = (),
    **settings: Any,
) -> list[Record]:
    """Draws pictures whose attributes meet the targets, and returns a record for each.

    Args:
        pipeline, prompts: as in `generate`.
        attributes, directions, sets, strengths, project_and_set, feedback: as in `Fair`.
        images: pictures of each prompt.
        interventions: further ones, applied after this one.
        settings: whatever else `generate` takes.
    """
    others = (interventions,) if isinstance(interventions, Intervention) else tuple(interventions)
    planner = Fair(
        attributes, directions, sets=sets, strengths=strengths, project_and_set=project_and_set, feedback=feedback
    )
    return generate(pipeline, prompts, images, interventions=(planner, *others), **settings)
