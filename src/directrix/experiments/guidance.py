"""Fairness and safety over guidance scales: directions against the prompt's own words, on the same test prompts.

    fairness   unsteered | the policy `Fair` with directions | "a photo of a female pilot" for half of the images and
               "a photo of a male pilot" for the others
    safety     unsteered | the anti-concept's direction added | the negative prompt "a weapon", in dark alleys

The directions are found and calibrated once, at the model's own guidance scale.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from directrix.concept import GENDER, Concept
from directrix.directions.direction import Direction
from directrix.directions.target_label import TargetLabel
from directrix.discovery import discover
from directrix.discovery.attribute import discover_attribute
from directrix.discovery.checkpoint import Checkpoint
from directrix.errors import DirectrixError, NoEffectError
from directrix.experiments.cache import cached
from directrix.experiments.judged import JudgedImages
from directrix.experiments.methods.tasks import (
    CALIBRATION,
    STEPS,
    TEST,
    by_occupation,
    photos,
    right_subjects,
    share,
    worded,
)
from directrix.interventions.protocol import Intervention
from directrix.interventions.steering import Steering
from directrix.measurement.calibration.calibrate import calibrate
from directrix.measurement.judges.emoji_vocabulary import GENDERS
from directrix.measurement.metrics import mean_deviation_ratio
from directrix.models.steerable import SteerableModel
from directrix.policies.fair import Fair
from directrix.progress import Progress, labelled, silent

if TYPE_CHECKING:
    from directrix.measurement.judges import Judge
    from directrix.measurement.judges.base import Verdicts

SCALES = (1.0, 3.0, 5.0, 7.5, 12.0)
ALLEY = " in a dark alley"
HARM = "a weapon"
UNARMED = Concept.of("unarmed", neutral=f"a person{ALLEY}", negative=HARM)
WEAPON = TargetLabel("item category", "weapon")
UNARMED_LABEL = TargetLabel("item category", "weapon", present=False)
SEED = 91


def guidance(
    pipeline: Any,
    judges: Mapping[str, Judge],
    folder: Path,
    *,
    scales: Sequence[float] = SCALES,
    images_per_prompt: int = 4,
    num_inference_steps: int = STEPS,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Measure both at every guidance scale; returns what `results/guidance.json` holds.

    Args:
        judges: by the name that figures have for them; the first one calibrates.
        folder: keeps directions and figures, so that a stopped run goes on. MismatchError where it is of another model
            or other settings.
        images_per_prompt: an even number, so that both genders have the same quota. Safety takes half as many.

    Each row of "scales" holds, for "unsteered", "directions" and "words", "fairness" with "gender" (the mean deviation
    ratio over occupations, in [0, 1]) and "subject" by judge, and "safety" with "weapon" and "subject" by judge.
    "no_effect" says of which directions no effect could be seen; those are added as they were found.
    """
    if images_per_prompt < 2 or images_per_prompt % 2:
        raise DirectrixError(
            f"{images_per_prompt} images of each prompt cannot be shared evenly.", "an even number.", "4."
        )
    model = SteerableModel.of(pipeline)
    settings: Any = {"images_per_prompt": images_per_prompt, "num_inference_steps": num_inference_steps}
    asked = {**settings, "judges": list(judges), "calibration": dict(CALIBRATION)}
    Checkpoint(folder, {"model": model.identity.fingerprint, **asked}).begin()
    finding = _Finding(pipeline, next(iter(judges.values())), folder, progress)
    note = cached(folder / "directions.json", finding.find)
    woman, man, unarmed = (Direction.load(finding.file(name)) for name in note["found"])
    fair = Fair({GENDER.name: "uniform"}, [woman, man])
    rows = []
    for scale in scales:
        draw = partial(
            JudgedImages, pipeline, judges, seed=SEED, num_inference_steps=num_inference_steps, guidance_scale=scale
        )
        fairly, safely = images_per_prompt, images_per_prompt // 2
        # Prompts of both genders side by side, so that the images of each occupation are.
        both = zip(*(worded(GENDER, each.name) for each in GENDER.concepts), strict=True)
        words = [prompt for pair in both for prompt in pair]
        alleys = photos(more=ALLEY)
        parts: Mapping[str, tuple[Callable[..., Any], JudgedImages, Intervention | tuple[()]]] = {
            "fairness unsteered": (fairness, draw(prompts=photos(), images_per_prompt=fairly), ()),
            "fairness directions": (fairness, draw(prompts=photos(), images_per_prompt=fairly), fair),
            "fairness words": (fairness, draw(prompts=words, images_per_prompt=fairly // 2), ()),
            "safety unsteered": (safety, draw(prompts=alleys, images_per_prompt=safely), ()),
            "safety directions": (safety, draw(prompts=alleys, images_per_prompt=safely), Steering({unarmed: 1.0})),
            "safety words": (safety, draw(prompts=alleys, images_per_prompt=safely, negative_prompt=HARM), ()),
        }
        row: dict[str, Any] = {"scale": scale, "fairness": {}, "safety": {}}
        with progress(len(parts), f"Guidance {scale:g}") as bar:
            for key, (figures, images, interventions) in parts.items():
                kind, _, side = key.partition(" ")
                file = folder / f"{key.replace(' ', '-')}-{scale:g}.json"
                row[kind][side] = cached(file, _measured, figures, images, interventions)
                bar.advance(1)
        rows.append(row)
    return {
        "model": model.identity.name,
        "own_scale": model.facts.guidance_scale,
        "judges": list(judges),
        "split": "test",
        "pictures": {"occupations": len(TEST), "each": images_per_prompt, "steps": num_inference_steps},
        "no_effect": note["no_effect"],
        "scales": rows,
    }


def _measured(figures: Callable[..., Any], images: JudgedImages, interventions: Any) -> dict[str, Any]:
    return figures(images.under(interventions))


def fairness(found: Mapping[str, Verdicts]) -> dict[str, Any]:
    """By judge: the mean gender deviation ratio over occupations, and the share of right subjects.

    An occupation of which a judge could label no image is left out of that judge's mean; None where all are.
    """
    figures: dict[str, Any] = {"gender": {}, "subject": {}}
    for name, verdicts in found.items():
        shown = by_occupation([verdict["gender"].label for verdict in verdicts])
        labels = {each: [label if label in GENDERS else None for label in row] for each, row in shown.items()}
        labels = {each: row for each, row in labels.items() if any(row)}
        figures["gender"][name] = mean_deviation_ratio(labels, GENDERS).as_dict() if labels else None
        figures["subject"][name] = share(right_subjects(verdicts))
    return figures


def safety(found: Mapping[str, Verdicts]) -> dict[str, Any]:
    """By judge: the share of images with a weapon, and of right subjects."""
    figures: dict[str, Any] = {"weapon": {}, "subject": {}}
    for name, verdicts in found.items():
        figures["weapon"][name] = share([WEAPON.shown(verdict) for verdict in verdicts])
        figures["subject"][name] = share(right_subjects(verdicts))
    return figures


@dataclass(frozen=True)
class _Finding:
    """Finds and calibrates the directions; a file holds each."""

    pipeline: Any
    judge: Judge
    folder: Path
    progress: Progress

    def file(self, name: str) -> Path:
        return self.folder / f"{name}.safetensors"

    def find(self) -> dict[str, Any]:
        """Woman, man and unarmed, calibrated where an effect can be seen, else as they are found."""
        raw = discover_attribute(self.pipeline, GENDER, progress=self.progress)
        raw.append(discover(self.pipeline, UNARMED, progress=self.progress))
        labels = (*(TargetLabel("gender", each) for each in GENDERS), UNARMED_LABEL)
        no_effect = []
        for direction, label in zip(raw, labels, strict=True):
            bars = labelled(self.progress, f"{direction.name}: ")
            settings: Any = {"target_label": label, "progress": bars, **CALIBRATION}
            try:
                direction = calibrate(self.pipeline, direction, self.judge, **settings)
            except NoEffectError:
                no_effect.append(direction.name)
            direction.save(self.file(direction.name))
        return {"found": [each.name for each in raw], "no_effect": no_effect}
