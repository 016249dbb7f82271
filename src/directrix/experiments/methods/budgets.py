"""What more images or steps buy: one concept found by each method at rising cost, and its effect as it was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from directrix.directions.target_label import TargetLabel
from directrix.discovery import discover
from directrix.discovery.settings import grouped
from directrix.experiments.cache import cached
from directrix.measurement.calibration.dose_response import DoseResponse
from directrix.measurement.metrics import bootstrap, pooled_mean
from directrix.progress import Progress, labelled, silent

if TYPE_CHECKING:
    from directrix.concept import Concept

# At rising cost; the method's defaults are among them.
BUDGETS: Mapping[str, Sequence[Mapping[str, int]]] = {
    "reconstruction": ({"images": 50, "steps": 125}, {"images": 200, "steps": 500}, {"images": 1000, "steps": 2500}),
    "distillation": ({"images": 10, "steps": 20}, {"images": 20, "steps": 60}, {"images": 50, "steps": 150}),
    "trajectory": ({"images": 2, "steps": 5}, {"images": 8, "steps": 20}, {"images": 16, "steps": 60}),
    "difference": ({"images": 1}, {"images": 2}, {"images": 4}, {"images": 8}),
}


def total(evaluations: Mapping[str, int], gradient_cost: float) -> float:
    """Evaluations of the denoiser in all; one with a gradient counts as ``gradient_cost`` without."""
    plain = evaluations["collecting"] + evaluations["forward"]
    return plain + gradient_cost * evaluations["forward_backward"]


def budgets(
    pipeline: Any,
    concept: Concept,
    target_label: TargetLabel,
    dose_response: DoseResponse,
    folder: Path,
    *,
    methods: Mapping[str, Sequence[Mapping[str, int]]] = BUDGETS,
    gradient_cost: float,
    progress: Progress = silent,
) -> dict[str, list[dict[str, Any]]]:
    """By method, a row for each budget: its settings, "evaluations", and "effect" at strength 1, not calibrated.

    trial: the pictures that are steered; the interval is a bootstrap over its prompts. folder: keeps every row.
    """

    def row(method: str, settings: Mapping[str, int]) -> dict[str, Any]:
        bars = labelled(progress, f"{method}, {settings}: ")
        direction = discover(pipeline, concept, method, seed=0, progress=bars, **grouped(settings))
        shown = [target_label.shown(verdict) for verdict in dose_response.verdicts(direction, 1.0)]
        each = len(shown) // len(dose_response.prompts)
        clusters = {prompt: shown[i * each : (i + 1) * each] for i, prompt in enumerate(dose_response.prompts)}
        return {
            **settings,
            "evaluations": total(direction.recipe["denoiser_evaluations"], gradient_cost),
            "effect": bootstrap(clusters, pooled_mean).as_dict(),
        }

    return {
        method: [
            cached(folder / f"budget-{method}-{index}.json", partial(row, method, settings))
            for index, settings in enumerate(rows)
        ]
        for method, rows in methods.items()
    }
