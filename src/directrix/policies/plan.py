"""From what each prompt is to get to one plan for all images of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn, TypedDict

from directrix.directions.collection import Effect
from directrix.directions.direction import Direction
from directrix.errors import DirectrixError
from directrix.interventions.feedback_control import FeedbackSteering
from directrix.interventions.project_and_set import ProjectAndSet
from directrix.interventions.protocol import Intervention, Plan, compose
from directrix.interventions.steering import Steering
from directrix.policies.quotas import Quotas, Target

if TYPE_CHECKING:
    from directrix.interventions.probe import Probe
    from directrix.policies.safe import Safe

# The category of the images that are left as they are.
LEAVE = "leave"


class Window(TypedDict, total=False):
    """The half of guidance and the steps that are steered, as `Steering` takes them."""

    branch: str
    start: float
    stop: float


@dataclass(frozen=True)
class Balance:
    """An attribute, its target, and what each category does to an image.

    replace: whether what the prompt says of it is taken out first (`replaced`); None for wherever that can be known.
    gauge: holds its categories (`held`).
    """

    target: Target
    effects: Mapping[str, Effect]
    window: Window = field(default_factory=Window)
    replace: bool | None = None
    probe: Probe | None = None


@dataclass(frozen=True)
class Request:
    """What one prompt is to get.

    Args:
        told: what the model is told.
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


def replaces(attributes: Iterable[Mapping[str, Effect]], replace: bool | None, window: Window) -> bool:
    """Whether what prompts say of these attributes is taken out: as asked for, or by itself where that can be done."""
    if replace is not None:
        return replace
    sites = {direction.site for categories in attributes for effect in categories.values() for direction in effect}
    return len(sites) < 2 and window.get("branch", "conditional") == "conditional"


class _Group:
    """What is balanced in one way, and the category that each image of the run is given."""

    def __init__(self, window: Window, replace: bool | None, total: int) -> None:
        self._window = window
        self._replace = replace
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
        if replaces(self._attributes.values(), self._replace, self._window):
            return ProjectAndSet(self._attributes, self._assigned, **self._window, insist=bool(self._replace))
        strengths: dict[Direction, list[float]] = {}
        for image, given in enumerate(self._assigned):
            for attribute, category in given.items():
                for direction, strength in self._attributes[attribute].get(category, {}).items():
                    strengths.setdefault(direction, [0.0] * len(self._assigned))[image] += strength
        return PerImage(strengths, **self._window)


def realise(
    requests: Sequence[Request], prompts: Sequence[str], images: int, seed: int, safe: Safe | None = None
) -> Plan:
    """The plan that gives each prompt's images what was requested.

    Args:
        requests: one a prompt.
        prompts: as the user wrote them.
        images: images of each prompt.
        seed: of the run; decides which image gets what, within the quotas.
        safe: holds the directions of the categories that are kept out.
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
                key = (*sorted(balance.window.items()), balance.replace)
                group = groups.setdefault(key, _Group(balance.window, balance.replace, len(requests) * images))
                group.add(len(assigned), balance, image[balance.target.attribute])
            assigned.append(image)
    parts: list[Intervention] = []
    absent = [request.absent for request in requests for _ in range(images)]
    if safe is not None and any(absent):
        # First, so that it sees the activations before anything else is added to them.
        parts.append(safe.over(absent))
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
