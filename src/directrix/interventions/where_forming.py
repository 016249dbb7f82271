"""Keeping out only what is forming: a judge looks at each image on its way, and those without harm keep their bits.

All images are drawn unsteered until one step (`directrix.interventions.half_way`). There a judge sees what the denoiser
predicts. An image on which it is not sure that a category is absent is steered away from that, from the next step on.
What is in an image by then goes less surely than from the first step on: `generate` draws those images again, steered
from the start (`directrix.interventions.protocol.next_turn`), and the judge looks again. What is still forming
then is kept out with twice the strength, at last with three times. No image depends on others.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack

from directrix.directions.collection import Effect
from directrix.directions.direction import Direction
from directrix.errors import StrengthError
from directrix.interventions.drawn_again import Turn
from directrix.interventions.finite import beyond_range
from directrix.interventions.half_way import DealtSteering, HalfWay, largest
from directrix.interventions.preview import Preview
from directrix.interventions.reading import ABSENT, Reading
from directrix.interventions.steering import Settings, Steering, as_json
from directrix.models.denoiser_calls import Scope
from directrix.models.steerable import SteerableModel

if TYPE_CHECKING:
    from PIL import Image

# The step that is read, and how sure of absence a judge must be where nothing else is asked for. Of 60 development
# images on emoji, 1 of 40 harmless ones is changed so and none of 20 harmful ones missed; read at half of the steps, 3
# and 1.
READ_AT, SURE = 0.65, 0.6
# How often an image is drawn again at most.
MOST = 3


@dataclass
class _Found:
    """What was found of one category of an image.

    sure: see `WhereForming`. first, last: its likelihood when the image was drawn first, and last. times: in how many
    drawings it was forming.
    """

    sure: float
    first: Mapping[str, float]
    last: Mapping[str, float]
    times: int = 0

    @property
    def forming(self) -> bool:
        """Whether the last look was not sure that it is absent."""
        return self.last[ABSENT] < self.sure

    @property
    def factor(self) -> int:
        """The multiple of its strength that keeps it out."""
        return min(self.times, MOST)

    def json(self) -> dict[str, Any]:
        """As the manifest has it."""
        again: dict[str, Any] = {}
        if self.last is not self.first:
            again = {"times": self.factor, "after": self.last, "still": self.forming}
        return {"given": ABSENT, "likelihood": self.first, "steered": self.times > 0, **again}


def still_forming(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What may still be in an image, by what its row in a manifest has under "closed_loop"."""
    # Rows of before `sure` could be said have no "still".
    old = {name: each.get("after", {}).get(ABSENT, 1.0) < SURE for name, each in found.items()}
    return [name for name, each in found.items() if each.get("still", old[name])]


class WhereForming:
    """Keeps categories out of the images on which they are forming: an intervention like any other.

    Args:
        effects: what keeps each category out.
        previews: how each is read; their categories are `ABSENT` and `PRESENT`.
        absent: for each image of the run the categories that are kept out; None for all of them, in every image.
        sure: the likelihood of absence, above .5 and up to 1, from which on an image is left as it is.
        opposed: how much of what is added is taken from the unconditional branch of guidance; see `Safe`.
        branch, start, stop: as in `steer`; the step at `start` or `READ_AT`, whichever is later, is read, and the
            next ones are steered.
    """

    def __init__(
        self,
        effects: Mapping[str, Effect],
        previews: Mapping[str, Preview],
        absent: Sequence[frozenset[str]] | None = None,
        sure: float = SURE,
        opposed: float = 0.0,
        **window: Unpack[Settings],
    ) -> None:
        self._window, self._sure, self._opposed = window, sure, opposed
        self._start = max(window.get("start", 0.0), READ_AT)
        self._effects, self._previews, self._absent = effects, previews, absent
        # Their places in the run; of a call of the pipeline itself, what it has drawn last.
        self._images: Sequence[int] = range(len(absent or ()))
        # Of all images of the run: what is selected from it shares this.
        self._found: dict[int, dict[str, _Found]] = {}

    @property
    def name(self) -> str:
        """Such as "closed loop weapon"."""
        return "closed loop " + ", ".join(self._effects)

    @property
    def config(self) -> Mapping[str, Any]:
        """Settings as JSON values: of some images, what is kept out of these."""
        return {
            "method": "where forming",
            "sure": self._sure,
            "most": MOST,
            **({"opposed": self._opposed} if self._opposed else {}),
            "categories": {name: as_json(self._effects[name]) for name in self._on()},
            "previews": {name: self._previews[name].digest() for name in self._on()},
            **self._window,
            "start": self._start,
        }

    def select(self, images: Sequence[int], total: int) -> WhereForming:
        """The same for some images of a run of `total` images; StrengthError for another run."""
        other = copy(self)
        other._images = tuple(images)
        if self._absent is not None:
            if len(self._absent) != total:
                raise StrengthError(
                    f"What is kept out is known of {len(self._absent)} images, not of {total}.", "a plan of this run."
                )
            other._absent = [self._absent[image] for image in images]
        return other

    def found(self) -> list[dict[str, Any]]:
        """For each image that was drawn last, by category: the "likelihood" that was read and whether it was "steered".

        Where it was drawn again, what was read "after" that, how many "times" the strength it was, and whether it is
        "still" forming.
        """
        return [{name: each.json() for name, each in self._found.get(image, {}).items()} for image in self._images]

    def forming(self) -> list[bool]:
        """Of each image that was drawn last, whether any category was forming."""
        return [any(each.forming for each in self._found.get(image, {}).values()) for image in self._images]

    def look(self, images: Sequence[Image.Image | None], last: bool = False) -> list[bool]:
        """Nothing: these are looked at half-way, and what was drawn last stands."""
        return []

    def next_turn(self) -> Turn:
        """The same from the first step on, with what was found of each image."""
        return Turn(self)

    @property
    def most(self) -> int:
        """How often an image is drawn again at most."""
        return MOST

    @contextmanager
    def again(self, pipeline: Any) -> Iterator[Any]:
        """Steers images that are drawn again from the first step on, and looks at them."""
        model = SteerableModel.of(pipeline)
        if not self._on():
            yield model.pipeline
            return
        reader = self._reader(model, self.look_again)
        # Harm that a sensible strength leaves is worse than an image that breaks up.
        with beyond_range(), reader.opened(), ExitStack() as stack:
            for factor, window in self._sides():
                stack.enter_context(Steering(self.strengths(factor), **window).applied(pipeline))
            yield model.pipeline

    @contextmanager
    def applied(self, pipeline: Any) -> Iterator[Any]:
        """Steers the pipeline within the context; raises what `HalfWay` does."""
        model = SteerableModel.of(pipeline)
        on = self._on()
        if not on:
            yield model.pipeline
            return
        reader = self._reader(model, self.deal)
        most = largest(self._effects[name] for name in on)
        with reader.opened(), ExitStack() as stack:
            for factor, window in self._sides():
                steering = DealtSteering(most, reader, factor, **{**window, "start": self._start})
                stack.enter_context(steering.applied(pipeline))
            yield model.pipeline

    def deal(self, readings: Sequence[Reading]) -> dict[Direction, tuple[float, ...]]:
        """The strengths of each direction in each image, from what was read of each."""
        absent = self._absent or [frozenset(self._effects)] * len(readings)
        if len(absent) != len(readings):
            raise StrengthError(f"{len(absent)} images were planned; {len(readings)} are drawn.", "as many.")
        if len(self._images) != len(readings):
            self._images = range(len(readings))
        for image, categories, reading in zip(self._images, absent, readings, strict=True):
            self._found[image] = {
                name: _Found(self._sure, reading[name], reading[name], int(reading[name][ABSENT] < self._sure))
                for name in self._effects
                if name in categories
            }
        return self.strengths()

    def look_again(self, readings: Sequence[Reading]) -> Sequence[Reading]:
        """Takes over what was read of images that were drawn again."""
        for image, reading in zip(self._images, readings, strict=True):
            for name, found in self._found[image].items():
                found.last = reading[name]
                found.times += found.forming
        return readings

    def strengths(self, factor: float = 1.0) -> dict[Direction, tuple[float, ...]]:
        """The strengths of each direction in each of these images, by how often each category was forming.

        factor: of all strengths.
        """
        strengths: dict[Direction, list[float]] = defaultdict(lambda: [0.0] * len(self._images))
        for place, image in enumerate(self._images):
            for name, found in self._found.get(image, {}).items():
                for direction, strength in self._effects[name].items():
                    strengths[direction][place] += factor * found.factor * strength
        return {direction: tuple(each) for direction, each in strengths.items() if any(each)}

    def _sides(self) -> list[tuple[float, Settings]]:
        """The factor of the strengths in each branch of guidance that is steered, with the window."""
        against: Settings = {**self._window, "branch": "unconditional"}
        return [(1.0, self._window), *([(-self._opposed, against)] if self._opposed else [])]

    def _reader(self, model: SteerableModel, deal: Any) -> HalfWay:
        return HalfWay(Scope(model), {name: self._previews[name] for name in self._on()}, self._start, deal)

    def _on(self) -> list[str]:
        """The categories that are kept out of any image."""
        if self._absent is None:
            return list(self._effects)
        return [name for name in self._effects if any(name in each for each in self._absent)]
