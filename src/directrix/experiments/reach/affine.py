"""Adding, projecting and setting: what becomes of prompts that say nothing, another value, or the very value asked for.

Each way has the direction as its own method finds and calibrates it, at strength 1. All prompts are test prompts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from directrix.directions.direction import Direction
from directrix.directions.target_label import TargetLabel
from directrix.discovery import AT_INPUTS
from directrix.discovery.attribute import discover_attribute
from directrix.discovery.checkpoint import Checkpoint
from directrix.errors import NoEffectError
from directrix.experiments.cache import cached
from directrix.experiments.cost.measure import counted
from directrix.experiments.methods.controls import random_like, reversed_of
from directrix.experiments.methods.default_directions import GROUPS
from directrix.experiments.methods.tasks import TEST, photos, right_subjects, share, worded
from directrix.generation.generate import generate
from directrix.interventions.project_and_set import ProjectAndSet
from directrix.interventions.steering import Steering
from directrix.measurement.calibration.calibrate import calibrate
from directrix.measurement.reports.leakage import CATEGORIES
from directrix.models.steerable import SteerableModel
from directrix.progress import Progress, labelled, silent

if TYPE_CHECKING:
    from directrix.measurement.judges import Judge

# Of the images that are judged; discovery and calibration have others.
SEED = 500
# "a photo of a pilot"; of woman, "a photo of a male pilot"; "a photo of a female pilot".
KINDS = ("open", "another", "named")
# Which directions each way has: a method, and its options.
METHODS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "additive": (AT_INPUTS[0], {}),
    "affine": (AT_INPUTS[1], {}),
    "affine, norm kept": (AT_INPUTS[1], {"keep_norm": True}),
}


def affine(
    pipeline: Any,
    judges: Mapping[str, Judge],
    folder: Path,
    *,
    images_per_prompt: int = 2,
    num_inference_steps: int | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Measure one model; returns what `results/affine.json` holds of it.

    By kind of prompt and way, over all concepts: each judge's "effect", "subject" and "leak" (the share of images whose
    label of another attribute is not the unsteered image's), and "psnr" to the unsteered images.

    Args:
        judges: by the name that figures have for them; the first one calibrates.
        folder: keeps directions and all that was seen, so that a stopped run goes on. MismatchError where it is of
            another model or other settings.
        images_per_prompt: of each test occupation, of each concept, kind of prompt and way.
        num_inference_steps: None for the model's own.
    """
    model = SteerableModel.of(pipeline)
    steps = num_inference_steps or model.facts.num_inference_steps
    identity, names = model.identity, list(judges)
    asked = {"model": identity.fingerprint, "judges": names, "images": images_per_prompt, "steps": steps}
    Checkpoint(folder, asked).begin()
    found = _Comparison(pipeline, judges, folder, images_per_prompt, steps, progress).figures()
    pictures = {"occupations": len(TEST), "each": images_per_prompt, "steps": steps}
    return {"model": identity.name, "judges": names, "split": "test", "pictures": pictures, **found}


@dataclass(frozen=True)
class _Comparison:
    """What is compared, on one model."""

    pipeline: Any
    judges: Mapping[str, Judge]
    folder: Path
    images: int
    steps: int
    progress: Progress

    def figures(self) -> dict[str, Any]:
        """Of each way and concept what finding its direction took, and of each kind of prompt and way what it does."""
        costs: dict[str, dict[str, Any]] = {way: {} for way in METHODS}
        seen: dict[str, dict[str, list[Any]]] = {kind: {} for kind in KINDS}
        for attribute, group in GROUPS.items():
            for way in METHODS:
                costs[way] |= cached(self.folder / f"found-{way}-{attribute}.json", self._find, attribute, way)
            with self.progress(len(group.concepts) * len(KINDS), f"Comparing {attribute}") as bar:
                for place, concept in enumerate(group.concepts):
                    for kind in KINDS:
                        note = self.folder / f"{kind}-{concept.name}.json"
                        for way, each in cached(note, self._seen, attribute, place, kind).items():
                            seen[kind].setdefault(way, []).append(each)
                        bar.advance(1)
        kinds = {kind: {way: self._pooled(each) for way, each in ways.items()} for kind, ways in seen.items()}
        return {"found": costs, "kinds": kinds}

    def _find(self, attribute: str, way: str) -> dict[str, Any]:
        """By concept: the evaluations that its direction took, whether its effect was seen, and the shrinkage."""
        method, options = METHODS[way]
        directions = discover_attribute(self.pipeline, GROUPS[attribute], method, **options)
        found = {}
        for direction, label in zip(directions, CATEGORIES[attribute], strict=True):
            bars = labelled(self.progress, f"{way}, {direction.name}: ")
            settings: Any = {"target_label": TargetLabel(attribute, label), "progress": bars}
            effect = True
            with counted(self.pipeline) as drawn:
                try:
                    direction = calibrate(self.pipeline, direction, next(iter(self.judges.values())), **settings)
                except NoEffectError:
                    effect = False
            direction.save(self._file(way, direction.name))
            shrinkage = direction.recipe.get("shrinkage_used")
            found[direction.name] = {"evaluations": drawn.count, "effect_seen": effect, "shrinkage": shrinkage}
        return found

    def _file(self, way: str, name: str) -> Path:
        return self.folder / f"{way}-{name}.safetensors"

    def _ways(self, attribute: str, place: int) -> dict[str, Any]:
        """What is compared for one concept, by name; nothing for the unsteered images."""
        names = [concept.name for concept in GROUPS[attribute].concepts]
        own = {way: Direction.load(self._file(way, names[place])) for way in METHODS}
        group = {name: {Direction.load(self._file("additive", name)): 1.0} for name in names}
        assigned = [{attribute: names[place]}] * (len(TEST) * self.images)
        return {
            "unsteered": (),
            **{way: Steering({each: 1.0}) for way, each in own.items()},
            "project and set": ProjectAndSet({attribute: group}, assigned),
            "random": Steering({random_like(own["affine, norm kept"]): 1.0}),
            "wrong sign": Steering({reversed_of(own["affine, norm kept"]): 1.0}),
        }

    def _seen(self, attribute: str, place: int, kind: str) -> dict[str, Any]:
        """By way and judge, for each image: whether it shows the concept, its subject and another attribute."""
        names = [concept.name for concept in GROUPS[attribute].concepts]
        said = {"named": names[place], "another": names[place - 1]}
        prompts = photos() if kind == "open" else worded(GROUPS[attribute], said[kind])
        label = TargetLabel(attribute, CATEGORIES[attribute][place])
        others = [each for each in CATEGORIES if each != attribute]
        sampling: Any = {"seed": SEED, "num_inference_steps": self.steps, "batch_size": 8}
        found: dict[str, Any] = {}
        before: Any = None
        for way, intervention in self._ways(attribute, place).items():
            records = generate(self.pipeline, prompts, self.images, interventions=intervention, **sampling)
            images = [each.image for each in records]
            verdicts = {name: judge.label(images) for name, judge in self.judges.items()}
            before = before or (images, verdicts)
            found[way] = {
                name: {
                    "effect": [label.shown(each) for each in after],
                    "subject": right_subjects(after),
                    "leak": [
                        any(new[other].label != old[other].label for other in others)
                        for old, new in zip(before[1][name], after, strict=True)
                    ],
                }
                for name, after in verdicts.items()
            }
            found[way]["error"] = squared_error(before[0], images)
        return found

    def _pooled(self, seen: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Over all concepts, with intervals over occupations."""
        error = fmean(each["error"] for each in seen)
        return {
            "psnr": round(float(10 * np.log10(255**2 / error)), 2) if error else None,
            **{
                judge: {
                    figure: share(*(each[judge][figure] for each in seen)) for figure in ("effect", "subject", "leak")
                }
                for judge in self.judges
            },
        }


def squared_error(before: Sequence[Any], after: Sequence[Any]) -> float:
    """The mean over all pairs of images of 8 bits."""
    pairs = (tuple(np.asarray(each, np.float64) for each in pair) for pair in zip(before, after, strict=True))
    return fmean(float(((one - other) ** 2).mean()) for one, other in pairs)
