"""What many images cost beside drawing them: planning, files and manifest, judging, measuring, a page, going on.

Images are eight pixels wide and made at once from the noise that each image has for itself, so that all time is the
library's own. Directions are random, of the model's own shape: nothing is steered by them.
"""

from __future__ import annotations

import inspect
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import Image

from directrix.concept import ATTRIBUTE_SETS
from directrix.directions.direction import Direction
from directrix.errors import DirectrixError
from directrix.experiments.cost.measure import Cost, measured
from directrix.measurement.benchmarks import Benchmark, Row
from directrix.measurement.evaluation.run import evaluate
from directrix.measurement.judges.base import Verdict
from directrix.measurement.reports.page import report
from directrix.models.steerable import SteerableModel
from directrix.policies.fair import Fair
from directrix.progress import Progress, labelled, silent

SIDE = 8  # pixels
IMAGES = 10  # of each prompt


def scale(pipeline: Any, rows: Sequence[int], *, progress: Progress = silent) -> dict[str, Any]:
    """Measures runs of so many images, a multiple of `IMAGES` each, fairly over genders and skin tones.

    pipeline: of it, everything but its images is used; it is left as it was.

    Returns "images_per_prompt", and "rows": for each number of them {stage: {"seconds", "memory_mb"}}, "page_bytes" of
    the index and the number of "pages". The stages are "plan", "evaluate" (drawing, judging and measuring, with the
    seconds of each), "again" (the same, where all is there) and "report". Memory is what was added at the peak.

    Raises:
        DirectrixError: a number that is no such multiple.
    """
    for each in rows:
        if each < IMAGES or each % IMAGES:
            raise DirectrixError(f"{each} rows were asked for.", f"a multiple of {IMAGES}.", "10000.")
    model = SteerableModel.of(pipeline)
    with _instant(pipeline):
        found = {str(each): _measured(model, each, labelled(progress, f"{each:,} rows: ")) for each in rows}
    return {"images_per_prompt": IMAGES, "rows": found}


def _measured(model: SteerableModel, rows: int, progress: Progress) -> dict[str, Any]:
    prompts = [f"a judge, number {place}" for place in range(rows // IMAGES)]
    fair = Fair({name: "uniform" for name in ATTRIBUTE_SETS}, _directions(model))
    folder = Path(tempfile.mkdtemp(prefix="directrix-scale-"))
    try:
        with measured() as plan:
            fair.plan(prompts, IMAGES, 0)
        with measured() as whole:
            summary = _evaluated(model, prompts, fair, folder, progress)
        with measured() as again:
            _evaluated(model, prompts, fair, folder, progress)
        with measured() as page:
            index = report(folder)
        pages = sorted(folder.glob("*.html"))
        return {
            "plan": _cost(plan),
            "evaluate": _cost(whole) | {"stages": summary["provenance"]["seconds"]},
            "again": _cost(again),
            "report": _cost(page),
            "page_bytes": Path(index).stat().st_size,
            "pages": len(pages),
        }
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _evaluated(
    model: SteerableModel, prompts: Sequence[str], fair: Fair, folder: Path, progress: Progress
) -> dict[str, Any]:
    benchmark = Benchmark(
        name="scale",
        version="1",
        licence="CC0-1.0",
        description="Many prompts.",
        rows=tuple(Row(prompt, prompt) for prompt in prompts),
        measures=("fairness",),
        targets={"gender": {"female": 0.5, "male": 0.5}},
        images=IMAGES,
    )
    return evaluate(model, benchmark, {"fair": fair}, [_Judge()], IMAGES, 0, folder, batch_size=50, progress=progress)


def _cost(cost: Cost) -> dict[str, Any]:
    return {"seconds": round(cost.seconds, 4), "memory_mb": round(cost.memory_mb, 1)}


def _directions(model: SteerableModel) -> list[Direction]:
    site = model.find_site()
    names = [concept.name for each in ATTRIBUTE_SETS.values() for concept in each.concepts]
    tensors = torch.randn(len(names), site.channels, generator=torch.Generator().manual_seed(0))
    return [Direction(name, tensor, site, model.identity) for name, tensor in zip(names, tensors, strict=True)]


class _Judge:
    """Says at once what an image shows: whether its first number is even."""

    name = "scale"

    @property
    def config(self) -> dict[str, Any]:
        return {"name": self.name}

    def label(self, images: Sequence[Image.Image]) -> list[Mapping[str, Verdict]]:
        even = [np.asarray(image)[0, 0, 0] % 2 == 0 for image in images]
        return [{"gender": Verdict("female" if each else "male", 1.0)} for each in even]


class _instant(AbstractContextManager[None]):
    """Within, the pipeline gives an image from each generator, without running a network."""

    def __init__(self, pipeline: Any) -> None:
        self._pipeline, self._class = pipeline, type(pipeline)

        def call(self: Any, prompt: Sequence[str], generator: Sequence[torch.Generator], **_: Any) -> Any:
            noise = (torch.randint(256, (SIDE, SIDE, 3), generator=each, dtype=torch.uint8) for each in generator)
            return SimpleNamespace(images=[Image.fromarray(each.numpy()) for each in noise])

        # The defaults of a pipeline are read from its signature.
        call.__signature__ = inspect.signature(self._class.__call__)  # pyright: ignore[reportFunctionMemberAccess]
        self._instant = type(self._class.__name__, (self._class,), {"__call__": call})

    def __enter__(self) -> None:
        self._pipeline.__class__ = self._instant

    def __exit__(self, *_: object) -> None:
        self._pipeline.__class__ = self._class
