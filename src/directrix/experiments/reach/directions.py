"""What each default direction shows and leaves alone, beside its controls, and what finding it costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from directrix.directions.direction import Direction
from directrix.directions.target_label import TargetLabel
from directrix.discovery import INSIDE
from directrix.discovery.attribute import discover_attribute
from directrix.errors import NoEffectError
from directrix.experiments.cache import cached
from directrix.experiments.cost.measure import counted, measured
from directrix.experiments.methods.controls import random_like, reversed_of
from directrix.experiments.methods.default_directions import GROUPS
from directrix.experiments.methods.generalisation import GeneralisationTest
from directrix.measurement.calibration.calibrate import calibrate
from directrix.measurement.reports.leakage import CATEGORIES
from directrix.progress import Progress, labelled

if TYPE_CHECKING:
    from directrix.measurement.judges import Judge

# Of the images that are judged; discovery and calibration have others.
SEED = 300


@dataclass(frozen=True)
class Reaching:
    """Finds, calibrates and tests; ``folder`` keeps each direction and every part of the figures."""

    pipeline: Any
    judges: Mapping[str, Judge]
    folder: Path
    steps: int
    progress: Progress

    def directions(self) -> list[Direction]:
        """The default directions of all attributes, calibrated."""
        self._costs()
        return [Direction.load(self._file(name)) for name in self._labels()]

    def figures(self, images_per_prompt: int, images_of_controls: int) -> dict[str, Any]:
        """By concept: "cost", "effect" and the like (see `GeneralisationTest`), "non_people", and "controls"."""
        test, controls = (
            GeneralisationTest(self.pipeline, self.judges, each, SEED, self.steps)
            for each in (images_per_prompt, images_of_controls)
        )
        found, costs = {}, self._costs()
        for group in GROUPS.values():
            for concept in group.concepts:
                name, label = concept.name, self._labels()[concept.name]
                direction, before = Direction.load(self._file(name)), Direction.load(self._file(name, INSIDE))
                parts = {
                    "default": partial(test.at_one, direction, label),
                    "non_people": partial(controls.non_people, direction),
                    "random": partial(controls.at_one, random_like(direction), label),
                    "reversed": partial(controls.at_one, reversed_of(direction), label),
                    INSIDE: partial(controls.at_one, before, label),
                    # As many as of the direction: what words leak is what a leak is compared with.
                    "words": partial(test.prompted, group, name, label),
                }
                with self.progress(len(parts), f"Testing {name}") as bar:
                    notes = {}
                    for key, part in parts.items():
                        notes[key] = cached(self.folder / f"{key}-{name}.json", part)
                        bar.advance(1)
                own = {**notes.pop("default"), "non_people": notes.pop("non_people"), "cost": costs[name]}
                found[name] = {**own, "controls": notes}
        return found

    def _costs(self) -> dict[str, Any]:
        """What finding and calibrating each direction took; they are in the folder then."""
        found = {}
        for attribute in GROUPS:
            found |= cached(self.folder / f"found-{attribute}.json", self._find, attribute)
        return found

    def _labels(self) -> dict[str, TargetLabel]:
        return {
            concept.name: TargetLabel(attribute, label)
            for attribute, group in GROUPS.items()
            for concept, label in zip(group.concepts, CATEGORIES[attribute], strict=True)
        }

    def _file(self, name: str, method: str = "default") -> Path:
        return self.folder / f"{method}-{name}.safetensors"

    def _find(self, attribute: str) -> dict[str, Any]:
        """All values of an attribute by the default, calibrated, and by the previous default as found; their costs."""
        with measured() as finding:
            directions = discover_attribute(self.pipeline, GROUPS[attribute], progress=self.progress)
        for each in discover_attribute(self.pipeline, GROUPS[attribute], INSIDE, progress=self.progress):
            each.save(self._file(each.name, INSIDE))
        judge, n = next(iter(self.judges.values())), len(directions)
        costs: dict[str, Any] = {}
        for direction in directions:
            settings: Any = {"target_label": self._labels()[direction.name]}
            settings["progress"] = labelled(self.progress, f"{direction.name}: ")
            effect = True
            with measured() as calibrating, counted(self.pipeline) as drawn:
                try:
                    direction = calibrate(self.pipeline, direction, judge, **settings)
                except NoEffectError:
                    effect = False
            direction.save(self._file(direction.name))
            # Of a run that several directions share; a call that is stopped before the denoiser is none.
            found = sum(direction.recipe["denoiser_evaluations"].values()) / n
            costs[direction.name] = {
                "evaluations": found + drawn.count,
                "seconds": round(finding.seconds / n + calibrating.seconds, 2),
                "effect_seen": effect,
            }
        return costs
