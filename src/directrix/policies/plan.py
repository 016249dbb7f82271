"""From what each prompt is to get to one plan for all images of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from directrix.directions.collection import Effect
from directrix.directions.direction import Direction
from directrix.errors import DirectrixError
from directrix.interventions.feedback_control import FeedbackSteering
from directrix.interventions.project_and_set import ProjectAndSet
from directrix.interventions.protocol import Intervention, Plan, compose
from directrix.interventions.steering import Steering
from directrix.policies.balance import Balance, Window, projects
from directrix.policies.quotas import Quotas

if TYPE_CHECKING:
    from directrix.interventions.probe import Probe


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


class PerImage(Steering):
    """Steering whose settings for one image name the directions that this image gets, and no others."""

    def select(self, images: Sequence[int], total: int) -> Steering:
        """The steering of some images; see `Steering.select`."""
        whole = super().select(images, total)
        retained = {each: strength for each, strength in whole.strengths.items() if strength != 0}
        return Steering(retained, self.branch, self.start, self.stop, guided=self.guided)


class _Group:
    """What is balanced in one way, and the category that each image of the run is given."""

    def __init__(self, window: Window, project_and_set: bool | None, total: int) -> None:
        self._window = window
        self._project_and_set = project_and_set
        self._attributes: dict[str, Mapping[str, Effect]] = {}
        self._probes: dict[str, Probe] = {}
        self._assigned: list[dict[str, str]] = [{} for _ in range(total)]

    def add(self, image: int, balance: Balance, category: str) -> None:
        """Notes what an image is given of an attribute."""
        self._attributes[balance.target.attribute] = balance.effects
        if balance.probe is not None:
            self._probes[balance.target.attribute] = balance.probe
        self._assigned[image][balance.target.attribute] = category

    def intervention(self) -> Intervention:
        """What gives the images their categories."""
        if self._probes:
            return FeedbackSteering(self._attributes, self._assigned, **self._window, probes=self._probes)
        if projects(self._attributes.values(), self._project_and_set, self._window):
            return ProjectAndSet(self._attributes, self._assigned, **self._window, insist=bool(self._project_and_set))
        strengths: dict[Direction, list[float]] = {}
        for image, given in enumerate(self._assigned):
            for attribute, category in given.items():
                for direction, strength in self._attributes[attribute].get(category, {}).items():
                    strengths.setdefault(direction, [0.0] * len(self._assigned))[image] += strength
        return PerImage(strengths, **self._window)


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
    assigned: list[Mapping[str, str]] = []
    groups: dict[tuple[Any, ...], _Group] = {}
    for index, request in enumerate(requests):
        given = quotas.assign(index, [each.target for each in request.balances])
        for categories in given:
            names = [each.target.attribute for each in request.balances]
            image = dict(zip(names, categories, strict=True))
            for balance in request.balances:
                key = (*sorted(balance.window.items()), balance.project_and_set)
                group = groups.setdefault(key, _Group(balance.window, balance.project_and_set, len(requests) * images))
                group.add(len(assigned), balance, image[balance.target.attribute])
            assigned.append(image)
    parts: list[Intervention] = []
    absent = [request.absent for request in requests for _ in range(images)]
    if keep_out is not None and any(absent):
        # First, so that it sees the activations before anything else is added to them.
        parts.append(keep_out(absent))
    parts += [group.intervention() for group in groups.values()]
    rewritten = tuple(request.rewritten for request in requests)
    unmet = tuple(request.unmet for request in requests)
    return Plan(
        compose(*parts),
        tuple(assigned) if any(assigned) else (),
        rewritten if rewritten != tuple(prompts) else (),
        unmet if any(unmet) else (),
    )


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
