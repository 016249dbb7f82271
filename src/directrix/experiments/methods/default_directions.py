"""What can be trusted in the default method's directions: woman and man, and the three skin tones.

Each is found and calibrated as a user's would be, on development prompts. Then each goes through the generalisation
test.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from directrix.concept import GENDER, SKIN_TONE, AttributeSet
from directrix.directions.direction import Direction
from directrix.directions.target_label import TargetLabel
from directrix.discovery.attribute import discover_attribute
from directrix.errors import NoEffectError
from directrix.experiments.cache import cached
from directrix.experiments.cost.measure import measured
from directrix.experiments.methods.generalisation import GeneralisationTest
from directrix.experiments.methods.tasks import CALIBRATION, STEPS
from directrix.measurement.calibration.calibrate import calibrate
from directrix.measurement.reports.leakage import CATEGORIES
from directrix.progress import Progress, labelled, silent

if TYPE_CHECKING:
    from directrix.measurement.judges import Judge

GROUPS: Mapping[str, AttributeSet] = {"gender": GENDER, "tone": SKIN_TONE}


def directions(
    pipeline: Any,
    judges: Mapping[str, Judge],
    folder: Path,
    *,
    images_per_prompt: int = 2,
    num_inference_steps: int = STEPS,
    seed: int = 0,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Find, calibrate and test them; ``folder`` keeps the directions and every part of the figures.

    judges: by name; the first one calibrates. images_per_prompt: of each test occupation at each strength, and of each
    subject that is no person. num_inference_steps: of these images.

    Returns by concept: "effect" over the test occupations, "least", the occupation with the least, "subject_accuracy"
    and "subject_unsteered", "leakage" by label of the other attribute, "non_people" (the share that retain their
    subject, of those that show it unsteered), "strengths" and "monotone" (see ``never_falls``), the other judges'
    figures under "judges", and the same under "project_and_set", and where nothing is steered and the prompt says it
    under "prompted"; or "no_effect", where no effect can be seen. Then "cosine" of woman and man, "seconds" of the
    discovery of each group, and "seconds_calibrating" of each concept.
    """
    finding = _Finding(pipeline, next(iter(judges.values())), folder, seed, progress)
    test = GeneralisationTest(pipeline, judges, images_per_prompt, seed, num_inference_steps)
    concepts: dict[str, Any] = {}
    found: dict[str, Any] = {"concepts": concepts, "seconds": {}, "seconds_calibrating": {}}
    for attribute, group in GROUPS.items():
        note = cached(folder / f"calibrated-{attribute}.json", finding.calibrate, attribute)
        found["seconds"][group.name] = note["seconds"]
        found |= {"cosine": note["cosine"]} if "cosine" in note else {}
        labels = dict(zip([each.name for each in group.concepts], CATEGORIES[attribute], strict=True))
        reached = {name: each for name, each in note["concepts"].items() if "no_effect" not in each}
        found["seconds_calibrating"] |= {name: each["seconds"] for name, each in reached.items()}
        concepts |= note["concepts"]
        own = {Direction.load(finding.file(name)): TargetLabel(attribute, labels[name]) for name in reached}
        for direction, label in own.items():
            name = direction.name
            parts = {
                "added": partial(test.added, direction, label, labelled(progress, f"{name}: ")),
                "project_and_set": partial(test.project_and_set, direction, own),
                "prompted": partial(test.prompted, group, name, label),
            }
            notes = {key: cached(folder / f"{key}-{name}.json", part) for key, part in parts.items()}
            concepts[name] = {**notes.pop("added"), **notes}
    return found


@dataclass(frozen=True)
class _Finding:
    """Finds and calibrates; a file holds each direction."""

    pipeline: Any
    judge: Judge
    folder: Path
    seed: int
    progress: Progress

    def file(self, name: str) -> Path:
        return self.folder / f"default-{name}.safetensors"

    def calibrate(self, attribute: str) -> dict[str, Any]:
        """All values of an attribute, and the seconds that each takes to calibrate."""
        with measured() as cost:
            raw = discover_attribute(self.pipeline, GROUPS[attribute], seed=self.seed, progress=self.progress)
        found: dict[str, Any] = {"seconds": round(cost.seconds, 2), "concepts": {}}
        if len(raw) == 2:
            found["cosine"] = round(raw[0].cosine(raw[1]), 4)
        for direction, label in zip(raw, CATEGORIES[attribute], strict=True):
            bars = labelled(self.progress, f"{direction.name}: ")
            settings: Any = {"target_label": TargetLabel(attribute, label), "progress": bars, **CALIBRATION}
            try:
                with measured() as cost:
                    direction = calibrate(self.pipeline, direction, self.judge, **settings)
            except NoEffectError as error:
                found["concepts"][direction.name] = {"no_effect": str(error)}
                continue
            found["concepts"][direction.name] = {"seconds": round(cost.seconds, 2)}
            direction.save(self.file(direction.name))
        return found
