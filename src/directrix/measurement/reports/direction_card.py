"""The card of a direction: how good it is, as figures.

The same seeds are drawn at rising strengths, and a judge looks. *Effect* is the share of images that show the target
label; *subject retained* the share with the subject that the same seed has unsteered; *distance* how far the pixels are
from it; *leakage* how much the share of every label of every other attribute changes at strength 1.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from PIL.Image import Image

from directrix import __version__
from directrix.directions.calibrated_on import calibrated_on
from directrix.directions.card import FORMAT, markdown, sentence, stored
from directrix.directions.direction import Direction
from directrix.directions.target_label import TargetLabel
from directrix.errors import DirectrixError
from directrix.generation.generate import generate
from directrix.interventions.compatibility import check_model
from directrix.interventions.steering import Steering
from directrix.measurement.calibration.dose_response import SUBJECT, DoseResponse
from directrix.measurement.calibration.target import calibration_prompts, concept_of, find_target_label
from directrix.measurement.judges import Judge
from directrix.measurement.metrics import Interval
from directrix.measurement.reports.direction_card_image import Strip
from directrix.measurement.reports.leakage import leakage, never_falls
from directrix.models.steerable import SteerableModel
from directrix.progress import Progress, silent

__all__ = ["Strip", "leakage", "markdown", "measure", "never_falls", "sentence", "stored", "strip"]

STRENGTHS = (-1.5, -1.0, -0.5, 0.0, 0.25, 0.5, 0.75, 1.0, 1.5)
# Of the images that are shown, and of how many prompts.
SHOWN = (-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5)
SHOWN_PROMPTS = 4
# What the card says elsewhere, or what is too long for it.
_NOT_RECIPE = ("command", "denoiser_evaluations", "loss", "seconds")


def measure(
    pipeline: Any,
    direction: Direction,
    judge: Judge,
    *,
    target_label: TargetLabel | None = None,
    prompts: Sequence[str] | None = None,
    images_per_prompt: int = 4,
    strengths: Sequence[float] = STRENGTHS,
    num_inference_steps: int | None = None,
    seed: int = 2000,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Measure a direction on images of the same seeds at every strength; return its card, JSON values only.

    Args:
        target_label: what the judge is to see; None for what the direction was calibrated with, else what
            ``find_target_label`` finds.
        prompts: None for ``calibration_prompts`` of the direction's concept.
        strengths: 0 and 1 are always among them.
        num_inference_steps: None for the model's own.
        seed: calibration has another, so that the card is no echo of it.

    The card's figures are intervals {"value", "low", "high", "n"}:
        strengths: by rising strength, "effect" and "subject_retained" in [0, 1]; "distance", the mean over images of
            the root mean square difference of pixels in [0, 1]; "shares" in [0, 1] of every label, by attribute.
            "subject_retained" is None where the judge knows no subjects, and where the target label is one.
        leakage: by attribute and label, the change in [-1, 1] of its share at strength 1; see ``leakage``.
        monotone: see ``never_falls``.
        cost: seconds, evaluations of the denoiser and peak memory in MB of the discovery; None where not recorded.

    Raises:
        MismatchError: a direction of another model; raised before anything is drawn.
        ConceptError: the direction does not say what it was discovered with, and that is needed.
        NoEffectError: no target label is given or found.
        DirectrixError: the judge does not know the target label's attribute.
    """
    model = SteerableModel.of(pipeline)
    check_model(model, [direction])
    steps = num_inference_steps or model.facts.num_inference_steps
    rising = sorted({0.0, 1.0, *map(float, strengths)})
    prompts = list(prompts or calibration_prompts(model, concept_of(direction)))
    effects = []
    rows: list[dict[str, Any]] = []
    leaked: dict[str, dict[str, Interval]] = {}
    with progress(len(rising) + 1, f"Measuring {direction.name}") as bar:
        target_label = target_label or calibrated_on(direction)
        if target_label is None:
            # Chosen on other seeds than it is then measured on.
            concept = concept_of(direction)
            target_label = find_target_label(model, concept, judge, num_inference_steps=steps, seed=seed + 1)[0]
        dose_response = DoseResponse(model, judge, prompts, images_per_prompt, num_inference_steps=steps, seed=seed)
        if target_label.attribute not in dose_response.plain[0]:
            raise DirectrixError(
                f"The judge '{judge.name}' does not know the attribute '{target_label.attribute}' of the target "
                f"label '{target_label}'.",
                f"one of {', '.join(dose_response.plain[0])}.",
                "the judge that the direction was calibrated with, or measure(..., target_label=TargetLabel(...)).",
            )
        plain = dose_response.images
        bar.advance(1)
        for strength in rising:
            step = dose_response.step(direction, target_label, strength)
            effects.append(step.effect)
            # Unsteered images are not drawn a second time.
            distance = _distance(plain, plain if strength == 0 else dose_response.images)
            row = {**step.as_dict(), "distance": round(distance, 4)}
            if SUBJECT not in dose_response.plain[0] or target_label.attribute == SUBJECT:
                row["subject_retained"] = None
            rows.append(row)
            if strength == 1:
                leaked = leakage(dose_response.plain, step.verdicts, target_label.attribute)
            bar.advance(1)
    recipe = direction.recipe
    card = {
        "format": FORMAT,
        "directrix": __version__,
        "name": direction.name,
        "digest": direction.digest(),
        "model": asdict(direction.model),
        **direction.header.place,
        "sensible": asdict(direction.strengths),
        "judge": judge.name,
        "target_label": asdict(target_label),
        **dose_response.facts,
        "strengths": rows,
        "monotone": never_falls(effects),
        "leakage": {name: {label: each.as_dict() for label, each in row.items()} for name, row in leaked.items()},
        "cost": {
            **{key: recipe.get(key) for key in ("seconds", "denoiser_evaluations")},
            "memory_mb": direction.provenance.get("memory_mb"),
        },
        "recipe": {key: value for key, value in recipe.items() if key not in _NOT_RECIPE},
        "command": recipe.get("command"),
    }
    # The same values, whether it was just measured or read from a file.
    return json.loads(json.dumps(card))


def strip(pipeline: Any, direction: Direction, card: Mapping[str, Any], *, progress: Progress = silent) -> Strip:
    """The first image of up to four of the card's prompts at seven strengths, with the card's seeds and steps."""
    prompts = card["prompts"][:SHOWN_PROMPTS]
    settings = {"num_inference_steps": card["num_inference_steps"], "seed": card["seed"]}
    columns = []
    with progress(len(SHOWN), "Drawing the strip") as bar:
        for strength in SHOWN:
            records = generate(pipeline, prompts, interventions=Steering({direction: strength}), **settings)
            columns.append([record.image for record in records])
            bar.advance(1)
    return Strip(SHOWN, list(zip(prompts, zip(*columns, strict=True), strict=True)))


def _distance(before: Sequence[Image], after: Sequence[Image]) -> float:
    """Mean over images of the root mean square difference of their pixels, which are in [0, 1]."""

    sides = (
        [np.asarray(image.convert("RGB"), dtype=np.float64) / 255 for image in images] for images in (before, after)
    )
    squares = [np.mean((a - b) ** 2) for a, b in zip(*sides, strict=True)]
    return float(np.mean(np.sqrt(squares)))
