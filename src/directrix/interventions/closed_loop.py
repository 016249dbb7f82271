"""A closed loop for groups of images: read where each is going, keep those that serve the quota, steer the others.

All images are drawn unsteered until one step. There each attribute is read (`interventions.half_way`): by a probe of
the denoiser's activations, or by a judge that looks at what the denoiser predicts. Either says how likely the image is
on its way to each category. By that the quota's rows are dealt out so that as many images as can be fit theirs anyway
(`interventions.tally`). An image that reads as its row says is left. The others are steered from the next step on.

That may be too late for what an image shows by then, and a reading may be wrong. So a judge looks at the images again
once they are finished. Those that are what they were dealt stand, and of them what was left has its very bits. The
others are drawn again, steered from an earlier step on (`interventions.turns`), and the best drawing stands.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from copy import copy
from typing import TYPE_CHECKING, Any

from directrix.directions.collection import Effect
from directrix.directions.direction import Direction
from directrix.errors import MismatchError, StrengthError
from directrix.interventions.drawn_again import Turn
from directrix.interventions.finite import beyond_range
from directrix.interventions.half_way import READ_AT, DealtSteering, HalfWay, largest
from directrix.interventions.preview import Preview, seen_of
from directrix.interventions.probe import Probe
from directrix.interventions.reading import Reading, shown
from directrix.interventions.steering import Settings, Steering, as_json
from directrix.interventions.tally import Tally, likelihood
from directrix.interventions.turns import LOOKED_AT, UNSEEN, distinct
from directrix.models.denoiser_calls import Scope
from directrix.models.steerable import SteerableModel

if TYPE_CHECKING:
    from PIL import Image

# How sure of what it shows a judge must be of an image that was steered, or it is drawn again.
SURE = 0.7


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
        self._looks = all(isinstance(probes.get(each), Preview) for each in attributes)
        self._all_turns = LOOKED_AT if self._looks else UNSEEN
        # Of images of the run what the judge sees of the drawing that stands, whether that is the first one, and in how
        # many it was something else than it was dealt; and the steps of a drawing. What is selected shares these.
        self._stands: dict[int, Reading] = {}
        self._first: set[int] = set()
        self._lacked: Counter[int] = Counter()
        self._forming: set[int] = set()
        self._steps: list[int] = []
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
            "turns": self._all_turns,
            "named": sorted(
                {name for image in self._images for name in self._tally.named(image)} & {*self._attributes}
            ),
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
        whether it was "steered"; empty for an image that is left.

        Where a judge has looked at one that was steered, or is not what it was dealt, the likelihood "after" that.
        """
        found = []
        for image in self._images:
            row, read = self._tally.dealt.get(image, {}), self._tally.readings.get(image, {})
            needed = self._ever_lacking(image)
            # Of one that ended wrong and none the better for steering, the first drawing stands.
            steered = bool(self._lacking(image)) if image in self._first else needed
            after = self._stands.get(image, {}) if needed else {}
            found.append(
                {
                    name: {"given": row[name], "likelihood": read[name], "steered": steered}
                    | ({"after": after[name]} if name in after else {})
                    for name in row
                }
            )
        return found

    def look(self, images: Sequence[Image.Image | None], last: bool = False) -> list[bool]:
        """Takes over what a judge sees of these images once they are finished, None for one that nobody may see.

        last: whether each takes the place of the drawing before, whatever it shows; else of one that it shows no less
        than. Returns whether it does. Where probes read, nobody looks, and it does.
        """
        dealt = [place for place, image in enumerate(self._images) if image in self._tally.dealt]
        seen = {place: each for place in dealt if (each := images[place]) is not None}
        previews = {name: each for name, each in self._readers().items() if isinstance(each, Preview)}
        readings = dict(zip(seen, seen_of(previews, list(seen.values())), strict=True)) if self._looks else {}
        taken = []
        for place, image in enumerate(self._images):
            reading, before = readings.get(place), self._stands.get(image)
            taken.append(
                last or not before or (reading is not None and self._fit(image, reading) >= self._fit(image, before))
            )
            if reading is not None and taken[-1]:
                self._stands[image] = reading
                (self._first.discard if before else self._first.add)(image)
            # What is left of the turns is stronger: not for an image that shows what it should, only less surely.
            least = SURE if self._ever_lacking(image) and self._lacked[image] + 1 < self.most else 0.0
            self._forming.discard(image)
            if reading is not None and self._lacking(image, self._stands[image], least):
                self._forming.add(image)
                self._lacked[image] += 1
        return taken

    def forming(self) -> list[bool]:
        """Of each of these images whether it is not what it was dealt: by a look at it finished, or as it was read."""
        return [image in self._forming if self._looks else bool(self._lacking(image)) for image in self._images]

    def next_turn(self) -> Turn:
        """What was dealt, from an early step on."""
        return Turn(self)

    @property
    def turns(self) -> list[tuple[float, float, float]]:
        """Those that begin within the window, each at a step of its own."""
        return distinct(self._all_turns, self._window.get("start", 0.0), self._steps[-1] if self._steps else None)

    @property
    def most(self) -> int:
        """How many turns there are."""
        return len(self.turns)

    @contextmanager
    def again(self, pipeline: Any) -> Iterator[Any]:
        """Steers images that are drawn again, each as its own turn is."""
        turn = {image: min(max(self._lacked[image], 1), self.most) - 1 for image in self._images}
        with beyond_range(), ExitStack() as stack:
            for number, (start, factor, of_named) in enumerate(self.turns):
                acting = [
                    self._acting(image) if turn[image] == number and self._ever_lacking(image) else []
                    for image in self._images
                ]
                if any(acting):
                    strengths = self._strengths(acting, factor, of_named)
                    steering = Steering(strengths, **{**self._window, "start": start})
                    stack.enter_context(steering.applied(pipeline))
            yield pipeline

    @contextmanager
    def applied(self, pipeline: Any) -> Iterator[Any]:
        """Steers the pipeline within the context.

        Raises:
            MismatchError: a probe or a direction of another model, or images of another size.
            StrengthError: (while drawing) images of another number than was planned, or nothing to read.
        """
        model = SteerableModel.of(pipeline)
        scope = Scope(model)

        def deal(readings: Sequence[Reading]) -> dict[Direction, tuple[float, ...]]:
            call = scope.now()
            self._steps[:] = [] if call is None else [call.step.count]
            return self.deal(readings)

        reader = HalfWay(scope, self._readers(), self._start, deal)
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
        for image in self._images:
            self._stands.pop(image, None)
            self._lacked.pop(image, None)
            self._first.discard(image)
            self._forming.discard(image)
        return self._strengths([self._lacking(image) and self._acting(image) for image in self._images])

    def _strengths(
        self, lacking: Sequence[Sequence[str]], factor: float = 1.0, of_named: float = 1.0
    ) -> dict[Direction, tuple[float, ...]]:
        """The strengths of each direction in each of these images, for the attributes that each lacks.

        of_named: the factor of a category that the image's prompt names, where a judge saw that it lacks it.
        """
        strengths: dict[Direction, list[float]] = defaultdict(lambda: [0.0] * len(self._images))
        for place, (image, attributes) in enumerate(zip(self._images, lacking, strict=True)):
            said = {*self._tally.named(image)} & {*self._lacking(image, self._stands.get(image))}
            for attribute in attributes:
                effect = self._attributes[attribute][self._tally.dealt[image][attribute]]
                for direction, strength in effect.items():
                    strengths[direction][place] += (of_named if attribute in said else factor) * strength
        return {direction: tuple(each) for direction, each in strengths.items()}

    def _lacking(self, image: int, seen: Reading | None = None, least: float = 0.0) -> list[str]:
        """The attributes in which an image shows something else than it was dealt; as it was read on its way.

        least: how likely it must be what it was dealt.
        """
        seen = seen or self._tally.readings.get(image, {})
        row = self._tally.dealt.get(image, {})
        return [
            name for name in self._acting(image) if not shown(row[name], seen[name]) or seen[name][row[name]] < least
        ]

    def _ever_lacking(self, image: int) -> bool:
        """Whether that is so of any, as it was read on its way, or else finished."""
        return self._lacked[image] > 0 or bool(self._lacking(image))

    def _fit(self, image: int, seen: Reading) -> float:
        """How likely an image that is seen so is what it was dealt."""
        row = self._tally.dealt[image]
        return likelihood({name: row[name] for name in self._acting(image)}, seen)

    def _acting(self, image: int) -> list[str]:
        """The attributes in which something acts on an image."""
        row = self._tally.dealt.get(image, {})
        return [name for name in row if row[name] in self._attributes[name]]

    def _effects(self) -> Iterator[Effect]:
        return (effect for effects in self._attributes.values() for effect in effects.values())

    def _readers(self) -> Mapping[str, Probe | Preview]:
        return {name: self._probes[name] for name in self._attributes}
