"""The artist: draws what jobs ask for, with one model in memory and the unsteered images of late remembered.

Its methods run in the queue's one thread. Only `names` and `directions` are for others too.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from directrix.directions.collection import Catalogue
from directrix.errors import DirectrixError
from directrix.models import embedded
from directrix.progress import Task
from directrix.studio.jobs import TURN, Job
from directrix.studio.recipe import Recipe
from directrix.studio.shelf import Shelf

if TYPE_CHECKING:
    from PIL.Image import Image

    from directrix.directions.direction import Direction
    from directrix.generation.record import Record
    from directrix.interventions.protocol import Intervention
    from directrix.models.steerable import SteerableModel

REMEMBERED = 64  # recipes whose unsteered images are at hand
STRIP = (0.0, 0.25, 0.5, 0.75, 1.0)  # fractions of the greatest sensible strength


@dataclass(frozen=True)
class Pairs:
    """Images of the same seeds, unsteered and steered."""

    recipe: Recipe
    plain: tuple[Image, ...]
    steered: tuple[Image, ...]


@dataclass(frozen=True)
class Strip:
    """One image of a recipe at rising strengths of one direction."""

    recipe: Recipe
    direction: str
    strengths: tuple[float, ...]
    images: tuple[Image, ...]


class Artist:
    """Draws with the models that the page offers.

    Args:
        models: their names; one is in memory at a time.
        folder: of directions; None for the starter directions of the embedded models.
        own: the studio's own folder, for what visitors find and measure.

    Raises:
        DirectionFileError: the folder holds no directions.
    """

    def __init__(
        self,
        models: tuple[str, ...] = tuple(embedded.MODELS),
        folder: Path | None = None,
        own: Path = Path("directrix-studio"),
    ) -> None:
        self.models, self.own = models, own
        self.shelf = Shelf(own / "directions")
        self._folder = folder
        self._loaded: tuple[str, SteerableModel] | None = None
        self._plain: OrderedDict[str, tuple[Image, ...]] = OrderedDict()
        self._catalogue = cache(self._read)

    @property
    def starters(self) -> bool:
        """Whether the directions are those of the package."""
        return self._folder is None

    def directions(self, model: str) -> Mapping[str, Direction]:
        """The directions of a model, by name: those that were given, then those that were found here."""
        return {**self.shelf.directions(model), **self.given(model)}

    def direction(self, model: str, name: str) -> Direction:
        """One of them. Raises DirectrixError where there is none of that name, or none any more."""
        found = self.directions(model).get(name)
        if found is None:
            raise DirectrixError(f"There is no direction '{name}' here.", "one of the list.", "reload the page.")
        return found

    def names(self, model: str) -> list[str]:
        """The names of `directions` in the order in which they are shown."""
        given = self.given(model)
        return [*given, *(name for name in self.shelf.directions(model) if name not in given)]

    def given(self, model: str) -> Mapping[str, Direction]:
        """Those that were given; none for a model of the user's own without a folder."""
        if self._folder is None and model not in embedded.MODELS:
            return {}
        return self._catalogue(model)

    def _read(self, model: str) -> Mapping[str, Direction]:
        found = Catalogue(embedded.directions_path(model) if self._folder is None else self._folder)
        known = [name for name in embedded.STARTERS if name in found.names]
        return {name: found.direction(name) for name in dict.fromkeys((*known, *found.names))}

    def load(self, name: str) -> SteerableModel:
        """The model; the one that was in memory is let go."""
        if self._loaded is None or self._loaded[0] != name:
            from directrix.models import load
            from directrix.models.steerable import SteerableModel

            self._loaded = None
            self._loaded = (name, SteerableModel.of(load(name)))
        return self._loaded[1]

    def pairs(self, job: Job, recipe: Recipe, unsaved: Mapping[str, Direction] | None = None) -> Pairs:
        """The images of a recipe beside the unsteered ones. Raises what `directrix.generate` raises, and Cancelled.

        unsaved: directions of the recipe that nobody saved, by name.
        """
        plain = self._unsteered(job, recipe)
        steered = self._draw(job, recipe, "Drawing steered images", unsaved) if recipe.strengths else plain
        return Pairs(recipe, plain, steered)

    def strip(self, job: Job, recipe: Recipe, name: str) -> Strip:
        """The recipe's first image at rising strengths of one of its directions, the others as they are."""
        most = self.direction(recipe.model, name).strengths.maximum
        strengths = tuple(round(most * each, 3) for each in STRIP)
        images = []
        for place, strength in enumerate(strengths):
            one = replace(recipe, images=1, strengths={**recipe.strengths, name: strength})
            images += self._draw(job, one, f"Drawing strength {place + 1} of {len(strengths)}")
        return Strip(recipe, name, strengths, tuple(images))

    def _unsteered(self, job: Job, recipe: Recipe) -> tuple[Image, ...]:
        plain = recipe.plain()
        key = plain.command()
        if key not in self._plain:
            self._plain[key] = self._draw(job, plain, "Drawing unsteered images")
            if len(self._plain) > REMEMBERED:
                self._plain.popitem(last=False)
        self._plain.move_to_end(key)
        return self._plain[key]

    def _draw(
        self, job: Job, recipe: Recipe, label: str, unsaved: Mapping[str, Direction] | None = None
    ) -> tuple[Image, ...]:
        from directrix.interventions.steering import Steering

        known = unsaved or {}
        strengths = {known.get(name) or self.direction(recipe.model, name): at for name, at in recipe.strengths.items()}
        steering = Steering(strengths) if strengths else ()
        records = self.rows(job, recipe.model, [recipe.prompt], recipe.images, recipe.seed, steering, label)
        return tuple(record.image for record in records)

    def rows(
        self,
        job: Job,
        model: str,
        prompts: Sequence[str],
        images: int,
        seed: int,
        interventions: Intervention | Sequence[Intervention],
        label: str,
        seen: Callable[[Sequence[Record]], None] | None = None,
    ) -> list[Record]:
        """What `directrix.generate` draws, with the job's progress. Raises what it raises, and Cancelled.

        seen: is told of all records that there are, after each batch.
        """
        from directrix.generation.generate import iterate

        with job.bar(len(prompts) * images, "Loading the model"):
            loaded = self.load(model)

        shown = label

        def progress(total: int, label: str) -> AbstractContextManager[Task]:
            return job.bar(total, shown)

        job.on_cancel = _interruption(loaded)
        records: list[Record] = []
        total = len(prompts) * images
        for record in iterate(loaded, prompts, images, seed=seed, interventions=interventions, progress=progress):
            records.append(record)
            if seen is not None and (len(records) % TURN == 0 or len(records) == total):
                job.check()
                seen(records)
        job.check()
        return records


def _interruption(model: SteerableModel) -> Callable[[], None]:
    """Ends the pipeline's call at its next step, in pipelines that know how."""

    def interrupt() -> None:
        model.pipeline._interrupt = True

    return interrupt
