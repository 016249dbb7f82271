"""What an evaluation costs beyond drawing: the same images by the bare pipeline, and evaluated, in turn."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from directrix.experiments.cost.measure import spread
from directrix.measurement.benchmarks import Benchmark
from directrix.measurement.evaluation import evaluate
from directrix.models.steerable import SteerableModel
from directrix.progress import Progress, silent

if TYPE_CHECKING:
    from directrix.measurement.judges import Judge


def overhead(
    pipeline: Any,
    judge: Judge,
    benchmark: Benchmark,
    *,
    images: int = 10,
    batch_size: int = 16,
    repeats: int = 3,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Time the bare pipeline over a benchmark's prompts, and `evaluate` with one method, one after the other.

    The bare pipeline is called as anybody would, a batch of prompts at a time, and keeps nothing. `evaluate` also
    derives seeds, writes PNG files and a manifest, judges and measures.

    Returns "pictures", "batch_size", "threads", "bare_seconds" and "evaluate_seconds" (medians), and "ratio": the
    median over ``repeats``, from the least to the largest.
    """
    bare: list[float] = []
    whole: list[float] = []
    _bare(pipeline, benchmark.prompts[:1], 1, 1)
    with progress(repeats, "Timing") as bar:
        for _ in range(repeats):
            bare.append(_bare(pipeline, benchmark.prompts, images, batch_size))
            with tempfile.TemporaryDirectory() as folder:
                started = time.perf_counter()
                evaluate(pipeline, benchmark, {"none": ()}, [judge], images, 0, Path(folder), batch_size=batch_size)
                whole.append(time.perf_counter() - started)
            bar.advance(1)
    return {
        "benchmark": benchmark.name,
        "pictures": len(benchmark.rows) * images,
        "batch_size": batch_size,
        "threads": torch.get_num_threads(),
        "bare_seconds": round(statistics.median(bare), 2),
        "evaluate_seconds": round(statistics.median(whole), 2),
        "ratio": spread([one / other for one, other in zip(whole, bare, strict=True)], statistics.median),
    }


def _bare(pipeline: Any, prompts: list[str], images: int, batch_size: int) -> float:
    facts = SteerableModel.of(pipeline).facts
    settings = {"guidance_scale": facts.guidance_scale, "num_inference_steps": facts.num_inference_steps}
    listed = [prompt for prompt in prompts for _ in range(images)]
    started = time.perf_counter()
    for first in range(0, len(listed), batch_size):
        part = listed[first : first + batch_size]
        generators = [torch.Generator().manual_seed(first + place) for place in range(len(part))]
        pipeline(prompt=part, **settings, generator=generators)
    return time.perf_counter() - started
