"""From what each prompt is to get to one plan for all images of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from directrix.directions.direction import Direction
from directrix.errors import DirectrixError
from directrix.interventions.feedback_control import FeedbackSteering
from directrix.interventions.project_and_set import ProjectAndSet
from directrix.interventions.protocol import Intervention, Plan, compose
from directrix.interventions.steering import PerImage
from directrix.policies.balance import Balance, projects
from directrix.policies.quotas import Quotas


@dataclass(frozen=True)
class Request:
    """What one prompt is to get.

    Args:
        rewritten: the prompt that the model is given.
        balances: attributes whose categories are spread over its images.
        absent: categories of harm that are kept out of its images.
        unmet: what it asks for and no direction can do.
    """

    rewritten: str
    balances: tuple[Balance, ...] = ()
    absent: frozenset[str] = frozenset()
    unmet: tuple[str, ...] = ()


def realise(
    requests: Sequence[Request],
    prompts: Sequence[str],
    images: int,
    seed: int,
    keep_out: Callable[[Sequence[frozenset[str]]], Intervention] | None = None,
) -> Plan:
    """The plan that gives each prompt's images what was requested.

    Args:
        requests: one a prompt.
        prompts: as the user wrote them.
        images: images of each prompt.
        seed: of the run; decides which image gets what, within the quotas.
        keep_out: the intervention that keeps categories out image by image, such as `Safe.over`.
    """
    quotas = Quotas(images, seed)
    total = len(requests) * images
    assigned: list[Mapping[str, str]] = []
    # By the way of balancing: the attributes, and the category of each that an image is given.
    groups: dict[tuple[Any, ...], tuple[dict[str, Balance], list[dict[str, str]]]] = {}
    for index, request in enumerate(requests):
        balances = {each.target.attribute: each for each in request.balances}
        for categories in quotas.assign(index, [each.target for each in request.balances]):
            image = dict(zip(balances, categories, strict=True))
            for attribute, balance in balances.items():
                key = (*sorted(balance.window.items()), balance.project_and_set)
                if key not in groups:
                    groups[key] = ({}, [{} for _ in range(total)])
                attributes, given = groups[key]
                attributes[attribute] = balance
                given[len(assigned)][attribute] = image[attribute]
            assigned.append(image)
    parts: list[Intervention] = []
    absent = [request.absent for request in requests for _ in range(images)]
    if keep_out is not None and any(absent):
        # First, so that it sees the activations before anything else is added to them.
        parts.append(keep_out(absent))
    parts += [_balanced(*group) for group in groups.values()]
    rewritten = tuple(request.rewritten for request in requests)
    unmet = tuple(request.unmet for request in requests)
    return Plan(
        compose(*parts),
        tuple(assigned) if any(assigned) else (),
        rewritten if rewritten != tuple(prompts) else (),
        unmet if any(unmet) else (),
    )


def _balanced(balances: Mapping[str, Balance], assigned: Sequence[Mapping[str, str]]) -> Intervention:
    """What gives the images their categories of attributes that are balanced in one way."""
    one = next(iter(balances.values()))
    effects = {name: each.effects for name, each in balances.items()}
    probes = {name: each.probe for name, each in balances.items() if each.probe is not None}
    if probes:
        return FeedbackSteering(effects, assigned, **one.window, probes=probes)
    if projects(effects.values(), one.project_and_set, one.window):
        return ProjectAndSet(effects, assigned, **one.window, insist=bool(one.project_and_set))
    strengths: dict[Direction, list[float]] = {}
    for image, given in enumerate(assigned):
        for attribute, category in given.items():
            for direction, strength in effects[attribute].get(category, {}).items():
                strengths.setdefault(direction, [0.0] * len(assigned))[image] += strength
    return PerImage(strengths, **one.window)


def unplanned(name: str) -> NoReturn:
    """Says that an intervention cannot be applied before it has seen the prompts.

    Raises:
        DirectrixError: always.
    """
    raise DirectrixError(
        f"What '{name}' does depends on the prompts, which are not known here.",
        "its plan for these prompts.",
        "generate(..., interventions=...), or .plan(prompts, images_per_prompt, seed).intervention.",
    )
