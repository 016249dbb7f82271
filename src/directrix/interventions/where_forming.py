"""Keeping out only what is forming: a judge looks at each image on its way, and those without harm keep their bits.

All images are drawn unsteered until one step (`directrix.interventions.half_way`). There a judge sees what the denoiser
predicts. An image on which it is not sure that a category is absent is steered away from that, from the next step on.
What is in an image by then goes less surely than from the first step on: `generate` draws those images again, steered
from the start (`directrix.interventions.protocol.from_the_start`). No image depends on others.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from typing import Any, Unpack

from directrix.directions.collection import Effect
from directrix.directions.direction import Direction
from directrix.errors import StrengthError
from directrix.interventions.half_way import DealtSteering, HalfWay, largest
from directrix.interventions.preview import Preview
from directrix.interventions.steering import Settings, Steering, as_json
from directrix.interventions.tally import Reading
from directrix.models.denoiser_calls import Scope
from directrix.models.steerable import SteerableModel

# Of a preview's two categories.
ABSENT, PRESENT = "absent", "present"
# The step that is read, and the likelihood of absence from which on an image is left as it is. Of 60 development images
# on emoji, 1 of 40 harmless ones is changed so and none of 20 harmful ones missed; read at half of the steps, 3 and 1.
READ_AT, SURE = 0.65, 0.6


class WhereForming:
    """Keeps categories out of the images on which they are forming: an intervention like any other.

    Args:
        effects: what keeps each category out.
        previews: how each is read; their categories are `ABSENT` and `PRESENT`.
        absent: for each image of the run the categories that are kept out; None for all of them, in every image.
        branch, start, stop: as in `steer`; the step at `start` or `READ_AT`, whichever is later, is read, and the
            next ones are steered.
    """

    def __init__(
        self,
        effects: Mapping[str, Effect],
        previews: Mapping[str, Preview],
        absent: Sequence[frozenset[str]] | None = None,
        **window: Unpack[Settings],
    ) -> None:
        self._window = window
        self._start = max(window.get("start", 0.0), READ_AT)
        self._settings: Settings = {**window, "start": self._start}
        self._effects, self._previews, self._absent = effects, previews, absent
        self._found: list[dict[str, Any]] = []

    @property
    def name(self) -> str:
        """Such as "closed loop weapon"."""
        return "closed loop " + ", ".join(self._effects)

    @property
    def config(self) -> Mapping[str, Any]:
        """Settings as JSON values: of some images, what is kept out of these."""
        return {
            "method": "where forming",
            "sure": SURE,
            "categories": {name: as_json(self._effects[name]) for name in self._on()},
            "previews": {name: self._previews[name].digest() for name in self._on()},
            **self._settings,
        }

    def select(self, images: Sequence[int], total: int) -> WhereForming:
        """The same for some images of a run of `total` images; StrengthError for another run."""
        other = copy(self)
        other._found = []
        if self._absent is not None:
            if len(self._absent) != total:
                raise StrengthError(
                    f"What is kept out is known of {len(self._absent)} images, not of {total}.", "a plan of this run."
                )
            other._absent = [self._absent[image] for image in images]
        return other

    def found(self) -> list[dict[str, Any]]:
        """For each image that was drawn last, by category, the "likelihood" that was read and whether it was
        "steered"."""
        return self._found or [{} for _ in self._absent or ()]

    def forming(self) -> list[bool]:
        """Of each image that was drawn last, whether any category was forming."""
        return [any(each["steered"] for each in image.values()) for image in self._found]

    def from_the_start(self) -> Steering:
        """The same for every image, seen or not, from the first step on."""
        absent = self._absent or []
        return Steering(
            {
                direction: [
                    sum(self._effects[name].get(direction, 0.0) for name in self._effects if name in each)
                    for each in absent
                ]
                for direction in largest(self._effects[name] for name in self._on())
            },
            **self._window,
        )

    @contextmanager
    def applied(self, pipeline: Any) -> Iterator[Any]:
        """Steers the pipeline within the context; raises what `HalfWay` does."""
        model = SteerableModel.of(pipeline)
        on = self._on()
        if not on:
            yield model.pipeline
            return
        reader = HalfWay(Scope(model), {name: self._previews[name] for name in on}, self._start, self.deal)
        steering = DealtSteering(largest(self._effects[name] for name in on), reader, **self._settings)
        with reader.opened(), steering.applied(pipeline):
            yield model.pipeline

    def deal(self, readings: Sequence[Reading]) -> dict[Direction, tuple[float, ...]]:
        """The strengths of each direction in each image, from what was read of each."""
        absent = self._absent or [frozenset(self._effects)] * len(readings)
        if len(absent) != len(readings):
            raise StrengthError(f"{len(absent)} images were planned; {len(readings)} are drawn.", "as many.")
        strengths: dict[Direction, list[float]] = defaultdict(lambda: [0.0] * len(readings))
        self._found = []
        for place, (categories, reading) in enumerate(zip(absent, readings, strict=True)):
            self._found.append({})
            for name in (each for each in self._effects if each in categories):
                forming = reading[name][ABSENT] < SURE
                self._found[-1][name] = {"given": ABSENT, "likelihood": reading[name], "steered": forming}
                for direction, strength in self._effects[name].items() if forming else ():
                    strengths[direction][place] += strength
        return {direction: tuple(each) for direction, each in strengths.items()}

    def _on(self) -> list[str]:
        """The categories that are kept out of any image."""
        if self._absent is None:
            return list(self._effects)
        return [name for name in self._effects if any(name in each for each in self._absent)]
