"""A closed loop for groups of images: read where each is going, keep those that serve the quota, steer the others.

All images are drawn unsteered until one step. There each attribute is read (`interventions.half_way`): by a probe of
the denoiser's activations, or by a judge that looks at what the denoiser predicts. Either says how likely the image is
on its way to each category. By that the quota's rows are dealt out so that as many images as can be fit theirs anyway
(`interventions.tally`). An image that reads as its row says keeps its very bits. Only the others are steered, from the
next step on. What an image shows by then changes less surely than from the first step on: `generate` draws those
images again, steered from the start (`directrix.interventions.protocol.from_the_start`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from copy import copy
from typing import Any

from directrix.directions.collection import Effect
from directrix.directions.direction import Direction
from directrix.errors import MismatchError, StrengthError
from directrix.interventions.half_way import READ_AT, DealtSteering, HalfWay, largest
from directrix.interventions.preview import Preview
from directrix.interventions.probe import Probe
from directrix.interventions.steering import Settings, Steering, as_json
from directrix.interventions.tally import Reading, Tally
from directrix.models.denoiser_calls import Scope
from directrix.models.steerable import SteerableModel


class ClosedLoop:
    """Reads images while they are drawn, and steers those that the quota asks for: an intervention like any other.

    Args:
        attributes: for each attribute what each category does; a category without an effect leaves the image.
        tally: the groups, and their quotas.
        probes: what reads each attribute: a probe, or a preview.
        branch, start, stop: as in `steer`; the step at `start` or `READ_AT`, whichever is later, is read, and the
            next ones are steered.

    Raises:
        MismatchError: an attribute that nothing reads, or a probe of other categories.
    """

    def __init__(
        self,
        attributes: Mapping[str, Mapping[str, Effect]],
        tally: Tally,
        branch: str = "conditional",
        start: float = 0.0,
        stop: float = 1.0,
        *,
        probes: Mapping[str, Probe | Preview],
    ) -> None:
        self._window: Settings = {"branch": branch, "start": start, "stop": stop}
        self._start = max(start, READ_AT)
        self._settings: Settings = {"branch": branch, "start": self._start, "stop": stop}
        Steering({}, **self._settings)
        self._attributes, self._tally, self._probes = attributes, tally, probes
        self._images: Sequence[int] = range(len(tally.rows))
        for attribute, effects in attributes.items():
            if attribute not in probes:
                raise MismatchError(
                    f"No probe reads '{attribute}'.",
                    "a probe of each attribute that is balanced in a closed loop, or a judge.",
                    f'directrix fit-probe --closed-loop --attribute "{attribute}" ..., or closed_loop: judge.',
                )
            lacking = [name for name in effects if name not in probes[attribute].categories]
            if lacking:
                raise MismatchError(
                    f"The probe of '{attribute}' does not read {', '.join(lacking)}.",
                    "a probe of all categories that are balanced.",
                    "fit it anew, with the directions of all of them.",
                )

    @property
    def name(self) -> str:
        """Such as "closed loop gender"."""
        return "closed loop " + ", ".join(self._attributes)

    @property
    def config(self) -> Mapping[str, Any]:
        """Settings as JSON values: of one image, those of its group."""
        quotas = self._tally.quotas(self._images)
        return {
            "method": "closed loop",
            **self._settings,
            "attributes": {
                attribute: {name: as_json(effect) for name, effect in effects.items()}
                for attribute, effects in self._attributes.items()
                if any(attribute in row for quota in quotas for row, _ in quota)
            },
            "probes": {name: self._probes[name].digest() for name in self._attributes},
            "quotas": quotas,
        }

    def select(self, images: Sequence[int], total: int) -> ClosedLoop:
        """The same for some images of a run of `total` images, with one tally; StrengthError for another run."""
        if len(self._tally.rows) != total:
            raise StrengthError(
                f"The quota is of {len(self._tally.rows)} images, not of {total}.", "a plan of this run."
            )
        other = copy(self)
        other._images = tuple(images)
        return other

    def restore(self, found: Sequence[Mapping[str, Any]]) -> None:
        """Takes over what an earlier run found of these images; see `found`."""
        for image, each in zip(self._images, found, strict=True):
            if each:
                self._tally.dealt[image] = {name: what["given"] for name, what in each.items()}
                self._tally.readings[image] = {name: what["likelihood"] for name, what in each.items()}

    def found(self) -> list[dict[str, Any]]:
        """For each of these images, by attribute: the category "given", the "likelihood" that was read of each, and
        whether it was "steered"; empty for an image that is left."""
        found = []
        for image in self._images:
            row = self._tally.dealt.get(image, {})
            steered = self._steered(image)
            read = self._tally.readings.get(image, {})
            found.append({name: {"given": row[name], "likelihood": read[name], "steered": steered} for name in row})
        return found

    def forming(self) -> list[bool]:
        """Of each of these images whether it is steered."""
        return [self._steered(image) for image in self._images]

    def from_the_start(self) -> _Dealt:
        """What was dealt, from the first step on."""
        return _Dealt(self)

    @contextmanager
    def applied(self, pipeline: Any) -> Iterator[Any]:
        """Steers the pipeline within the context.

        Raises:
            MismatchError: a probe or a direction of another model, or images of another size.
            StrengthError: (while drawing) images of another number than was planned, or nothing to read.
        """
        model = SteerableModel.of(pipeline)
        reader = HalfWay(Scope(model), self._readers(), self._start, self.deal)
        with ExitStack() as stack:
            if any(self._tally.rows[image] for image in self._images):
                stack.enter_context(reader.opened())
                steering = DealtSteering(largest(self._effects()), reader, **self._settings)
                stack.enter_context(steering.applied(pipeline))
            yield model.pipeline

    def deal(self, readings: Sequence[Reading]) -> dict[Direction, tuple[float, ...]]:
        """The strengths of each direction in each image, from what was read of each."""
        if len(readings) != len(self._images):
            raise StrengthError(
                f"The quota is of {len(self._images)} images; {len(readings)} are drawn.",
                "as many images as were planned.",
            )
        places = [place for place, image in enumerate(self._images) if self._tally.rows[image]]
        self._tally.deal([self._images[place] for place in places], [readings[place] for place in places])
        return self._strengths()

    def _strengths(self) -> dict[Direction, tuple[float, ...]]:
        """The strengths of each direction in each of these images, by what they were dealt."""
        strengths: dict[Direction, list[float]] = defaultdict(lambda: [0.0] * len(self._images))
        for place, image in enumerate(self._images):
            if self._steered(image):
                for attribute, category in self._tally.dealt[image].items():
                    for direction, strength in self._attributes[attribute].get(category, {}).items():
                        strengths[direction][place] += strength
        return {direction: tuple(each) for direction, each in strengths.items()}

    def _steered(self, image: int) -> bool:
        """Whether an image reads otherwise than the row that it was dealt."""
        read = self._tally.readings.get(image, {})
        row = self._tally.dealt.get(image, {})
        return any(not shown(row[name], read[name]) for name in row if self._acts(name, row))

    def _acts(self, attribute: str, row: Mapping[str, str]) -> bool:
        return row[attribute] in self._attributes[attribute]

    def _effects(self) -> Iterator[Effect]:
        return (effect for effects in self._attributes.values() for effect in effects.values())

    def _readers(self) -> Mapping[str, Probe | Preview]:
        return {name: self._probes[name] for name in self._attributes}


def shown(category: str, likelihood: Mapping[str, float]) -> bool:
    """Whether an image reads as a category: as no other, and not as something else than all of them."""
    likeliest = max(likelihood, key=likelihood.__getitem__)
    return likeliest == category and likelihood[category] >= round(1 / len(likelihood), 4)


class _Dealt:
    """Steering of images by what a closed loop has dealt them."""

    def __init__(self, loop: ClosedLoop) -> None:
        self._loop = loop

    @property
    def name(self) -> str:
        return self._loop.name

    @property
    def config(self) -> Mapping[str, Any]:
        return self._loop.config

    def select(self, images: Sequence[int], total: int) -> Steering:
        loop = self._loop.select(images, total)
        return Steering(loop._strengths(), **loop._window)

    def applied(self, pipeline: Any) -> AbstractContextManager[Any]:
        return self.select(range(len(self._loop._images)), len(self._loop._images)).applied(pipeline)
