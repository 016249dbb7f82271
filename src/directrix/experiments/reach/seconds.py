"""How much longer drawing takes with a direction, and with a closed loop: ratios of pairs in one run.

A closed loop draws some images again, so it has a ratio for finished images, and one for the denoiser's evaluations.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from directrix.experiments.cost.measure import counted
from directrix.experiments.methods.tasks import photos
from directrix.generation.generate import generate
from directrix.interventions.protocol import Intervention
from directrix.measurement.metrics import median

SEED = 500
# Images of a draw, and draws of each way; their order changes from turn to turn.
IMAGES, TURNS = 8, 7


def ratios(pipeline: Any, ways: Mapping[str, Intervention], steps: int) -> dict[str, Any]:
    """For each way of drawing, the median of its seconds over those of unsteered drawing beside it.

    "an_evaluation" has the same over the denoiser's evaluations, and "evaluations" how many times as many there are.
    """
    everything: dict[str, Any] = {"plain": (), **ways}

    def seconds(interventions: Any) -> float:
        started = time.perf_counter()
        generate(
            pipeline,
            photos()[0],
            IMAGES,
            interventions=interventions,
            seed=SEED,
            num_inference_steps=steps,
            batch_size=IMAGES,
        )
        return time.perf_counter() - started

    evaluations = {}
    for name, way in everything.items():
        with counted(pipeline) as those:
            seconds(way)
        evaluations[name] = those.count
    found: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(TURNS):
        names = list(everything)
        order = names if turn % 2 else names[::-1]
        took = {name: seconds(everything[name]) for name in order}
        for name in ways:
            found[name].append(took[name] / took["plain"])
    figures: dict[str, Any] = {}
    for name, each in found.items():
        more = evaluations[name] / evaluations["plain"]
        figures[name] = {
            **median(each).as_dict(),
            "evaluations": round(more, 4),
            "an_evaluation": median([one / more for one in each]).as_dict(),
        }
    return figures
