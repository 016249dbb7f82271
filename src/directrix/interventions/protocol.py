"""Interventions: whatever changes a pipeline's images for a while and leaves no trace.

Steering and every rival method are interventions, so that code that draws or measures need not know which is which.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from directrix.deprecation import old_attributes
from directrix.errors import DirectrixError

if TYPE_CHECKING:
    from PIL import Image


@runtime_checkable
class Intervention(Protocol):
    """What every intervention offers."""

    @property
    def name(self) -> str:
        """A short name for tables."""
        ...

    @property
    def config(self) -> Mapping[str, Any]:
        """All settings, as JSON values: two interventions with equal settings draw equal images."""
        ...

    def applied(self, pipeline: Any) -> AbstractContextManager[Any]:
        """A context within which the pipeline's images are changed; it takes a pipeline or a `SteerableModel`."""
        ...


def select(intervention: Intervention, images: Sequence[int], total: int) -> Intervention:
    """The intervention for some images of a run.

    One whose settings differ from image to image has a method `select(images, total)`; any other is returned
    as it is.

    Args:
        images: positions of the images in the run.
        total: number of images in the run.
    """
    chooser = getattr(intervention, "select", None)
    return intervention if chooser is None else chooser(images, total)


def found(intervention: Intervention) -> list[dict[str, Any]]:
    """What an intervention that looks at images found of each image that it was last applied to; empty for none.

    Such a one has a method `found()`, and `restore(found)` to take over what an earlier run found.
    """
    finder = getattr(intervention, "found", None)
    return [] if finder is None else finder()


def next_turn(intervention: Intervention) -> Intervention | None:
    """What acts where images are drawn again that an intervention found to be not yet what it is for; None where none
    ever is. Such a one has methods `next_turn()`, and `forming()`, which images those are of the ones that it was last
    applied to; it may have `look(images)`, to see them first."""
    maker = getattr(intervention, "next_turn", None)
    return None if maker is None else maker()


def forming(intervention: Intervention) -> list[bool]:
    """Of each image whether it is to be drawn again; empty where none ever is. See `next_turn`."""
    finder = getattr(intervention, "forming", None)
    return [] if finder is None else finder()


def look(intervention: Intervention, images: Sequence[Image.Image | None], last: bool = False) -> list[bool]:
    """Shows an intervention the images that were drawn under it, None for those that nobody may see.

    Its `forming` may go by them. Returns of each whether it takes the place of the drawing before, as each does where
    `last` says so; nothing where the intervention does not mind.
    """
    looker = getattr(intervention, "look", None)
    return [] if looker is None else looker(images, last)


def restore(intervention: Intervention, found: Sequence[Mapping[str, Any]]) -> None:
    """Gives an intervention what an earlier run found of each of its images; see `found`."""
    taker = getattr(intervention, "restore", None)
    if taker is not None:
        taker(found)


def in_order(intervention: Intervention) -> bool:
    """Whether what it does to an image depends on what it found of those before; see `found`."""
    parts = getattr(intervention, "_parts", None)
    return any(map(in_order, parts)) if isinstance(parts, tuple) else hasattr(intervention, "restore")


@old_attributes(told="rewritten")
@dataclass(frozen=True)
class Plan:
    """What a planner decided for one run.

    Args:
        intervention: does it; strengths per image count all images of the run, those of the first prompt first.
        assigned: for each image, the category that it was given of each attribute; empty for none at all.
        rewritten: for each prompt, the one that the model is given; empty where all are given as they are.
        unmet: for each prompt, what it asks for and no direction can do; empty for nothing.
        gates: for each prompt, by attribute, the "rule" that decided whether it is "steered", and the "word" of the
            prompt; empty where no policy decided.
    """

    intervention: Intervention
    assigned: tuple[Mapping[str, str], ...] = ()
    rewritten: tuple[str, ...] = ()
    unmet: tuple[tuple[str, ...], ...] = ()
    gates: tuple[Mapping[str, Mapping[str, Any]], ...] = ()


@runtime_checkable
class Planner(Intervention, Protocol):
    """An intervention that depends on the prompts. `generate` calls `plan` once a run, and applies the plan's."""

    def plan(self, prompts: Sequence[str], images_per_prompt: int, seed: int) -> Plan:
        """What to do to each image of these prompts; the same arguments give the same plan."""
        ...


def planned(
    interventions: Sequence[Intervention], prompts: Sequence[str], images_per_prompt: int, seed: int
) -> tuple[tuple[Intervention, ...], Plan]:
    """The interventions with each planner replaced by what it decided, and the plan of all together.

    A planner reads the prompts as the ones before it rewrote them.

    Raises:
        DirectrixError: two planners assign the same attribute of an image.
    """
    rewritten = tuple(prompts)
    plans: list[Plan] = []
    for each in interventions:
        plan = getattr(each, "plan", None)
        plans.append(Plan(each) if plan is None else plan(rewritten, images_per_prompt, seed))
        rewritten = plans[-1].rewritten or rewritten
    parts = tuple(plan.intervention for plan in plans)
    unmet = [plan.unmet for plan in plans if plan.unmet]
    gates = [plan.gates for plan in plans if plan.gates]
    together = Plan(
        compose(*parts),
        _assigned([plan.assigned for plan in plans if plan.assigned]),
        rewritten if rewritten != tuple(prompts) else (),
        tuple(tuple(dict.fromkeys(sum(each, ()))) for each in zip(*unmet, strict=True)),
        tuple({name: what for one in each for name, what in one.items()} for each in zip(*gates, strict=True)),
    )
    return parts, together


class _Composed:
    def __init__(self, parts: Sequence[Intervention]) -> None:
        self._parts = tuple(parts)

    @property
    def name(self) -> str:
        return " + ".join(part.name for part in self._parts) or "none"

    @property
    def config(self) -> Mapping[str, Any]:
        return {"method": "composed", "parts": [dict(part.config) for part in self._parts]}

    @contextmanager
    def applied(self, pipeline: Any) -> Iterator[Any]:
        with ExitStack() as stack:
            for part in self._parts:
                stack.enter_context(part.applied(pipeline))
            yield pipeline

    def select(self, images: Sequence[int], total: int) -> Intervention:
        return _Composed([select(part, images, total) for part in self._parts])

    def found(self) -> list[dict[str, Any]]:
        each = [listed for listed in map(found, self._parts) if listed]
        return [{name: what for one in image for name, what in one.items()} for image in zip(*each, strict=True)]

    def look(self, images: Sequence[Image.Image | None], last: bool = False) -> list[bool]:
        # What one draws again for its own sake stands, whatever another sees in it.
        last = last or sum(bool(forming(part)) for part in self._parts) > 1
        votes = [each for each in (look(part, images, last) for part in self._parts) if each]
        return [any(image) for image in zip(*votes, strict=True)]

    def forming(self) -> list[bool]:
        return [any(image) for image in zip(*(listed for listed in map(forming, self._parts) if listed), strict=True)]

    def next_turn(self) -> Intervention | None:
        again = [next_turn(part) for part in self._parts]
        if not any(again):
            return None
        return _Composed([new or part for new, part in zip(again, self._parts, strict=True)])

    def restore(self, found: Sequence[Mapping[str, Any]]) -> None:
        for part in self._parts:
            restore(part, found)

    def plan(self, prompts: Sequence[str], images_per_prompt: int, seed: int) -> Plan:
        return planned(self._parts, prompts, images_per_prompt, seed)[1]


def _assigned(parts: Sequence[Sequence[Mapping[str, str]]]) -> tuple[Mapping[str, str], ...]:
    images: list[Mapping[str, str]] = []
    for of_one in zip(*parts, strict=True):
        image: dict[str, str] = {}
        for each in of_one:
            twice = sorted(image.keys() & each.keys())
            if twice:
                raise DirectrixError(
                    f"Two interventions give the same image a category of '{twice[0]}'.",
                    "one for each attribute.",
                    "leave one out, or put both into one policy, which lets its `fair` part decide.",
                )
            image |= each
        images.append(image)
    return tuple(images)


def compose(*interventions: Intervention) -> Intervention:
    """Several interventions at once, entered in order. None at all changes nothing."""
    return interventions[0] if len(interventions) == 1 else _Composed(interventions)
