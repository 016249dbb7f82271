"""From what each prompt is to get to one plan for all images of a run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from directrix.directions.collection import Effect
from directrix.directions.direction import Direction
from directrix.errors import DirectrixError
from directrix.interventions.closed_loop import ClosedLoop
from directrix.interventions.feedback_control import FeedbackSteering
from directrix.interventions.probe import Probe
from directrix.interventions.project_and_set import ProjectAndSet
from directrix.interventions.protocol import Intervention, Plan, compose
from directrix.interventions.steering import PerImage, Settings
from directrix.interventions.tally import Tally
from directrix.policies.balance import Balance, projects
from directrix.policies.gates.gate import Decision
from directrix.policies.quotas import Quotas


@dataclass(frozen=True)
class Request:
    """What one prompt is to get.

    Args:
        rewritten: the prompt that the model is given.
        balances: attributes whose categories are spread over its images.
        absent: categories of harm that are kept out of its images.
        unmet: what it asks for and no direction can do.
        gates: which rule decided about each attribute, balanced or left.
    """

    rewritten: str
    balances: tuple[Balance, ...] = ()
    absent: frozenset[str] = frozenset()
    unmet: tuple[str, ...] = ()
    gates: Mapping[str, Decision] = field(default_factory=dict)


class RequestPlanner:
    """A planner (see `directrix.interventions.protocol`) that says what each prompt is to get."""

    @property
    def name(self) -> str:
        """What tables call it."""
        raise NotImplementedError

    def request(self, prompt: str) -> Request:
        """What one prompt is to get."""
        raise NotImplementedError

    def keep_out(self, absent: Sequence[frozenset[str]]) -> Intervention:
        """The intervention that keeps categories of harm out image by image."""
        raise NotImplementedError

    def applied(self, pipeline: Any) -> AbstractContextManager[Any]:
        """Raises DirectrixError: without prompts there is nothing to apply."""
        raise DirectrixError(
            f"What '{self.name}' does depends on the prompts, which are not known here.",
            "its plan for these prompts.",
            "generate(..., interventions=...), or .plan(prompts, images_per_prompt, seed).intervention.",
        )

    def plan(self, prompts: Sequence[str], images_per_prompt: int, seed: int) -> Plan:
        """Which image gets which directions, and which prompt the model is given.

        The seed, the run's, decides which image gets what, within the quotas.
        """
        requests = [self.request(each) for each in prompts]
        absent = [request.absent for request in requests for _ in range(images_per_prompt)]
        quotas = Quotas(images_per_prompt, seed)
        assigned: list[Mapping[str, str]] = []
        # By the way of balancing: the attributes, and the category of each that an image is given.
        ways: dict[Any, tuple[dict[str, Balance], list[Mapping[str, str]]]]
        ways = defaultdict(lambda: ({}, [{}] * len(absent)))
        # Images that are given the same share one object, however many they are.
        same: dict[tuple[tuple[str, str], ...], Mapping[str, str]] = {}
        for index, request in enumerate(requests):
            for categories in quotas.assign(index, [each.target for each in request.balances]):
                image: dict[str, str] = {}
                by_way: dict[Any, dict[str, str]] = defaultdict(dict)
                for balance, category in zip(request.balances, categories, strict=True):
                    way = (*sorted(balance.window.items()), balance.project_and_set, balance.closed_loop)
                    ways[way][0][balance.target.attribute] = balance
                    by_way[way][balance.target.attribute] = category
                    if not balance.closed_loop:
                        image[balance.target.attribute] = category
                for way, own in by_way.items():
                    ways[way][1][len(assigned)] = same.setdefault(tuple(own.items()), own)
                assigned.append(same.setdefault(tuple(image.items()), image))
        # First what is kept out, so that it sees the activations before anything else is added to them.
        parts = [self.keep_out(absent)] if any(absent) else []
        named = {
            index: [each.target.attribute for each in request.balances if each.named]
            for index, request in enumerate(requests)
        }
        parts += [_balanced(*way, named, images_per_prompt) for way in ways.values()]
        rewritten = tuple(request.rewritten for request in requests)
        unmet = tuple(request.unmet for request in requests)
        gates = tuple({name: dict(vars(each)) for name, each in request.gates.items()} for request in requests)
        return Plan(
            compose(*parts),
            tuple(assigned) if any(assigned) else (),
            rewritten if rewritten != tuple(prompts) else (),
            unmet if any(unmet) else (),
            gates if any(gates) else (),
        )


def _balanced(
    balances: Mapping[str, Balance],
    assigned: Sequence[Mapping[str, str]],
    named: Mapping[int, Sequence[str]],
    images_per_prompt: int,
) -> Intervention:
    """What gives the images their categories of attributes that are balanced in one way.

    named: by prompt, the attributes whose category it names itself.
    """
    one = next(iter(balances.values()))
    effects = {name: each.effects for name, each in balances.items()}
    readers = {name: each.probe for name, each in balances.items() if each.probe is not None}
    if one.closed_loop:
        # Within a prompt, what is assigned is only how often each combination comes.
        tally = Tally([place // images_per_prompt for place in range(len(assigned))], assigned, named)
        return ClosedLoop(effects, tally, **one.window, probes=readers)
    probes = {name: each for name, each in readers.items() if isinstance(each, Probe)}
    if probes:
        return FeedbackSteering(effects, assigned, **one.window, probes=probes)
    if projects(effects.values(), one.project_and_set, one.window):
        return ProjectAndSet(effects, assigned, **one.window, insist=bool(one.project_and_set))
    given = [total(effects[name].get(category, {}) for name, category in image.items()) for image in assigned]
    return per_image(given, one.window)


def total(effects: Iterable[Effect]) -> Effect:
    """Several effects at once: the sum of each direction's strengths."""
    summed: dict[Direction, float] = {}
    for effect in effects:
        for direction, strength in effect.items():
            summed[direction] = summed.get(direction, 0.0) + strength
    return summed


def per_image(effects: Sequence[Effect], window: Settings, order: Iterable[Direction] = ()) -> PerImage:
    """Steering with an effect for each image of a run. The directions are added in the order given, which shows in the
    last bits; others follow in the order of the images."""
    directions = dict.fromkeys((*order, *(each for effect in effects for each in effect)))
    return PerImage({each: [effect.get(each, 0.0) for effect in effects] for each in directions}, **window)
