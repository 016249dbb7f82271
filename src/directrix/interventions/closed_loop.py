"""A closed loop for groups of images: read where each is going, keep those that serve the quota, steer the others.

All images are drawn unsteered until one step. There a probe of each attribute (`directrix.interventions.probe`) reads
the denoiser's activations, with no further pass, and gives how likely the image is on its way to each category. By
these the quota's rows are dealt out so that as many images as can be fit theirs anyway (`interventions.tally`). An
image that reads as its row says keeps its very bits. Only the others are steered, from the next step on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from copy import copy
from typing import TYPE_CHECKING, Any

from directrix.directions.collection import Effect
from directrix.directions.direction import Direction
from directrix.directions.strength import expand
from directrix.errors import MismatchError, StrengthError
from directrix.interventions.probe import Probe
from directrix.interventions.steering import Settings, Steering, as_json
from directrix.interventions.tally import Reading, Tally
from directrix.models import activations
from directrix.models.denoiser_calls import DenoiserCall, Scope
from directrix.models.fingerprint import fits
from directrix.models.steerable import SteerableModel

if TYPE_CHECKING:
    from torch import Tensor

# The first step at this share of them or later is read; until it all images are as they are.
READ_AT = 0.5


class ClosedLoop:
    """Reads images while they are drawn, and steers those that the quota asks for: an intervention like any other.

    Args:
        attributes: for each attribute what each category does; a category without an effect leaves the image.
        tally: the groups, and their quotas.
        probes: one of each attribute.
        branch, start, stop: as in `steer`; the step at `start` or `READ_AT`, whichever is later, is read, and the
            next ones are steered.

    Raises:
        MismatchError: an attribute without a probe, or a probe of other categories.
    """

    def __init__(
        self,
        attributes: Mapping[str, Mapping[str, Effect]],
        tally: Tally,
        branch: str = "conditional",
        start: float = 0.0,
        stop: float = 1.0,
        *,
        probes: Mapping[str, Probe],
    ) -> None:
        self._settings: Settings = {"branch": branch, "start": max(start, READ_AT), "stop": stop}
        Steering({}, **self._settings)
        self._attributes, self._tally, self._probes = attributes, tally, probes
        self._images: Sequence[int] = range(len(tally.rows))
        for attribute, effects in attributes.items():
            if attribute not in probes:
                raise MismatchError(
                    f"No probe reads '{attribute}'.",
                    "a probe of each attribute that is balanced in a closed loop.",
                    f'directrix fit-probe --closed-loop --attribute "{attribute}" ...',
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

    @contextmanager
    def applied(self, pipeline: Any) -> Iterator[Any]:
        """Steers the pipeline within the context.

        Raises:
            MismatchError: a probe or a direction of another model, or images of another size.
            StrengthError: (while drawing) images of another number than was planned, or nothing to read.
        """
        model = SteerableModel.of(pipeline)
        for attribute, probe in self._probes.items():
            if not fits(probe.model.fingerprint, model.denoiser):
                raise MismatchError(
                    f"The probe of '{attribute}' belongs to the model '{probe.model.name}'.",
                    "a probe that was fitted with this very model.",
                    "fit it anew: directrix fit-probe.",
                )
        reader = _Reader(self, Scope(model))
        with ExitStack() as stack:
            if any(self._tally.rows[image] for image in self._images):
                stack.enter_context(reader.opened())
                steering = _Dealt(self._effects(), reader, **self._settings)
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
        strengths: dict[Direction, list[float]] = defaultdict(lambda: [0.0] * len(readings))
        for place in places:
            if self._steered(self._images[place]):
                for attribute, category in self._tally.dealt[self._images[place]].items():
                    for direction, strength in self._attributes[attribute].get(category, {}).items():
                        strengths[direction][place] += strength
        return {direction: tuple(each) for direction, each in strengths.items()}

    def _steered(self, image: int) -> bool:
        """Whether an image reads otherwise than the row that it was dealt."""
        read = self._tally.readings.get(image, {})
        row = self._tally.dealt.get(image, {})
        return any(max(read[name], key=read[name].__getitem__) != row[name] for name in row if self._acts(name, row))

    def _acts(self, attribute: str, row: Mapping[str, str]) -> bool:
        return row[attribute] in self._attributes[attribute]

    def _effects(self) -> dict[Direction, float]:
        """All directions that may act, at the largest of their strengths."""
        largest: dict[Direction, float] = {}
        for effects in self._attributes.values():
            for effect in effects.values():
                for direction, strength in effect.items():
                    largest[direction] = max(strength, largest.get(direction, strength), key=abs)
        return largest

    def probes(self) -> Mapping[str, Probe]:
        """By attribute."""
        return {name: self._probes[name] for name in self._attributes}


class _Reader:
    """Reads one step of each call of the pipeline, and remembers what was dealt."""

    def __init__(self, loop: ClosedLoop, scope: Scope) -> None:
        self._loop, self._scope = loop, scope
        self._probes = loop.probes()
        self._begin = loop.config["start"]

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Within, it reads."""
        with ExitStack() as stack:
            stack.enter_context(self._scope.opened())
            for attribute, probe in self._probes.items():
                see = self._seeing(attribute, probe)
                stack.enter_context(activations.read(self._scope.model, probe.site, see, self._scope))
            yield

    def strengths(self) -> Mapping[Direction, tuple[float, ...]] | None:
        """What was dealt in the pipeline's present call; None before that."""
        return self._scope.recall("dealt", lambda: None)

    def _seeing(self, attribute: str, probe: Probe) -> Any:
        def see(h: Tensor) -> None:
            call = self._scope.now()
            if call is None or self.strengths() is not None:
                return
            if not self._scope.recall("begun", lambda: False):
                self._scope.remember("begun", True)
                self._scope.at_end(self._check)
            if call.step.fraction < self._begin:
                return
            rows = branch_rows(h, call, probe.branch)
            shares = None if rows is None else probe.shares(rows, float(call.step.timestep))
            if rows is None:
                return
            if shares is None:
                raise StrengthError(
                    f"The probe of '{attribute}' reads no step near {float(call.step.timestep):g}.",
                    "steps such as it was fitted at.",
                    "more steps, or a probe fitted with as many.",
                )
            known = self._scope.recall("read", dict)
            known[attribute] = [
                {name: round(value, 4) for name, value in zip(probe.categories, each, strict=True)}
                for each in shares.tolist()
            ]
            if len(known) == len(self._probes):
                readings = [dict(zip(known, each, strict=True)) for each in zip(*known.values(), strict=True)]
                self._scope.remember("dealt", self._loop.deal(readings))

        return see

    def _check(self) -> None:
        if self.strengths() is None:
            raise StrengthError(
                f"No step of these images is at {self._begin:g} of all steps or later, so nothing was read.",
                "two steps or more.",
                "more steps, or a policy without closed_loop.",
            )


def branch_rows(h: Tensor, call: DenoiserCall, branch: str) -> Tensor | None:
    """The rows of a branch of guidance, "conditional" or "unconditional"; None in a call that holds others.

    Raises:
        StrengthError: the unconditional branch without guidance.
    """
    guided, layout = call.layout
    parts = layout.split("-") if guided else ["conditional"]
    if branch in parts:
        return h.split(h.shape[0] // len(parts))[parts.index(branch)]
    if guided:
        return None
    raise StrengthError(f"Without guidance there is no {branch} branch to read.", "a guidance scale above 1.")


class _Dealt(Steering):
    """Steering whose strengths are known once the images were read."""

    def __init__(self, directions: Mapping[Direction, float], reader: _Reader, **settings: Any) -> None:
        super().__init__(directions, **settings)
        self._reader = reader

    def key(self) -> Any:
        """What the strengths of the present call are."""
        dealt = self._reader.strengths()
        return None if dealt is None else tuple(dealt.items())

    def rows(self, direction: Direction, batch: int, guided: bool, layout: str) -> Tensor | None:
        """See `Steering.rows`."""
        dealt = self._reader.strengths() or {}
        return expand(dealt.get(direction, 0.0), batch, guided, self.branch, layout)
