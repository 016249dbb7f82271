"""How much longer drawing takes with a direction, and with a closed loop: ratios of pairs in one run."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from directrix.experiments.methods.tasks import photos
from directrix.generation.generate import generate
from directrix.interventions.protocol import Intervention
from directrix.measurement.metrics import median

SEED = 500
# Images of a draw, and draws of each way; their order changes from turn to turn.
IMAGES, TURNS = 8, 7


def ratios(pipeline: Any, ways: Mapping[str, Intervention], steps: int) -> dict[str, Any]:
    """For each way of drawing, the median of its seconds over those of unsteered drawing beside it."""
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

    for way in everything.values():
        seconds(way)
    found: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(TURNS):
        names = list(everything)
        order = names if turn % 2 else names[::-1]
        took = {name: seconds(everything[name]) for name in order}
        for name in ways:
            found[name].append(took[name] / took["plain"])
    return {name: median(each).as_dict() for name, each in found.items()}
