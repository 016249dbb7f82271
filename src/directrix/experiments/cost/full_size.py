"""What discovery and steering cost on a denoiser of true size, beside a plain forward of the same run.

A discovery step is what the gradient methods do for one image: a forward with a vector added at the site, and the
gradient of a loss by that vector, which is the only thing that needs one. A steered step is a forward with a direction
added. All have batch 1 and no guidance, so each compares with one plain forward. What is done once for many steps
(freezing the model, recognising it, opening hooks) is done before the clock starts.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, NamedTuple

import torch

from directrix.directions.direction import Direction
from directrix.discovery.environment import frozen
from directrix.discovery.frozen_denoiser import FrozenDenoiser
from directrix.experiments.cost.architectures import STATE, Architecture, architecture, weight_bytes
from directrix.experiments.cost.measure import MEGABYTE, discovery_step, peak_bytes
from directrix.experiments.cost.measure import seconds as seconds_of
from directrix.interventions.steering import steer
from directrix.measurement.metrics import median
from directrix.models.steerable import SteerableModel
from directrix.progress import Progress, silent

TIMESTEP = 500
# A steered step costs so little that one pair of steps shows only the noise of a machine.
PAIRS = 5
PLAIN, STEERED, DISCOVERY, RECOMPUTED = "plain_step", "steered_step", "discovery_step", "checkpointed_step"


def full_size(
    name: str,
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float32,
    *,
    repeats: int = 3,
    strengths: int = 20,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Builds a denoiser with random weights and measures it.

    name: of an architecture (architectures.yaml). device: None for the GPU if there is one, else the CPU.
    repeats: of each step with a gradient, each after `PAIRS` pairs of a plain and a steered step, of which either
        comes first in turn; seconds are medians. strengths: how many of them a compiled denoiser
        is steered with, on small latents, while its graphs are counted; 0 to leave that out.

    Returns for each step "seconds", "memory_mb" (weights and all, at the peak) and "activations_mb" (the peak beyond
    the weights); "ratio" by the plain step, of seconds with the median's interval (`metrics.median`); "graphs" and
    "recompilations".

    Raises:
        ModelError: there is no such architecture, or no room for its weights.
    """
    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    chosen = architecture(name)
    pipeline = _Pipeline(chosen.network(where, dtype), where)
    works = _works(pipeline, chosen, where, dtype)
    with progress(2 * len(works) + repeats * (2 * PAIRS + len(works) - 2) + strengths, "Measuring") as bar:
        peaks: dict[str, int] = {}
        for step, work in works.items():
            with work.around():
                work.run()
                bar.advance(1)
                peaks[step] = peak_bytes(work.run, where)
                bar.advance(1)
        seconds: dict[str, list[float]] = {step: [] for step in works}
        for step in _turns(repeats):
            with works[step].around():
                seconds[step].append(seconds_of(works[step].run, where))
            bar.advance(1)
        counted = _graphs(pipeline, chosen, where, dtype, strengths, bar) if strengths else {}
    weights = weight_bytes(pipeline.network)
    return {
        "source": chosen.source,
        "device": torch.cuda.get_device_name(where) if where.type == "cuda" else "cpu",
        "dtype": str(dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "repeats": repeats,
        "weights_mb": round(weights / MEGABYTE, 1),
        **{
            step: {
                "seconds": round(statistics.median(seconds[step]), 4),
                "memory_mb": round((weights + peaks[step]) / MEGABYTE, 1),
                "activations_mb": round(peaks[step] / MEGABYTE, 1),
            }
            for step in works
        },
        "ratio": {step: _ratio(step, seconds, peaks, weights) for step in works if step != PLAIN},
        **counted,
    }


class _Work(NamedTuple):
    """One step's work, and what a run of many such steps holds open around them."""

    run: Callable[[], None]
    around: Callable[[], AbstractContextManager[Any]] = nullcontext


def _place_of(network: Any) -> str:
    """Where a diffusers pipeline has such a denoiser."""
    return "unet" if hasattr(network, "mid_block") else "transformer"


class _Pipeline:
    """As much of a pipeline as steering and discovery ask for."""

    def __init__(self, network: Any, device: torch.device) -> None:
        self.network = network
        self.components = {"denoiser": network}
        self.device = device
        setattr(self, _place_of(network), network)

    def __call__(self) -> None:
        """Takes nothing and draws nothing: only the denoiser is there."""


def _turns(repeats: int) -> Iterator[str]:
    """The steps in the order in which they are timed."""
    for _ in range(repeats):
        for pair in range(PAIRS):
            yield from (PLAIN, STEERED) if pair % 2 else (STEERED, PLAIN)
        yield from (DISCOVERY, RECOMPUTED)


def _works(pipeline: _Pipeline, chosen: Architecture, device: torch.device, dtype: torch.dtype) -> dict[str, _Work]:
    """The steps, in the order in which they take turns."""
    model = SteerableModel.of(pipeline)
    site = model.find_site()
    denoiser = FrozenDenoiser(model, site)
    state, prompt = chosen.state(device), chosen.conditioning(device, dtype)
    times = torch.full((1,), TIMESTEP, device=device)
    # What a whole pipeline would be asked for: the precision of its states and times.
    denoiser.first_inputs = {STATE: state.to(dtype), "timestep": times}
    size = (1, 1)
    if site.layout != "channels-last":
        height, width = chosen.inputs[STATE][-2:]
        size = model.spatial_size(site, height, width)
    vector = torch.full((1, site.channels, *size), 1e-3, device=device)
    direction = Direction("any", vector[0].flatten(1)[:, 0], site, model.identity)

    def plain() -> None:
        denoiser.predict(state, times, prompt)

    def discovery() -> None:
        discovery_step(denoiser, state, times, prompt, vector)

    @contextmanager
    def recomputing() -> Iterator[None]:
        pipeline.network.enable_gradient_checkpointing()
        try:
            with frozen(model):
                yield
        finally:
            pipeline.network.disable_gradient_checkpointing()

    return {
        PLAIN: _Work(plain),
        STEERED: _Work(plain, lambda: steer(pipeline, {direction: 1.0}, guided=False)),
        DISCOVERY: _Work(discovery, lambda: frozen(model)),
        RECOMPUTED: _Work(discovery, recomputing),
    }


def _graphs(
    pipeline: _Pipeline, chosen: Architecture, device: torch.device, dtype: torch.dtype, strengths: int, bar: Any
) -> dict[str, int]:
    """How many graphs a compiled denoiser has, how many the first steering adds, and how many more other strengths do.

    The first steering adds two: the denoiser's, and that of the hook on it, which torch runs outside of its graph.
    Their number does not depend on the size of the latents, so these are small.
    """
    small = chosen.smaller()
    state, prompt = small.state(device).to(dtype), small.conditioning(device, dtype)
    arguments = {**prompt.arguments(), "timestep": torch.full((1,), TIMESTEP, device=device)}
    model = SteerableModel.of(pipeline)
    site = model.find_site()
    direction = Direction("any", torch.full((site.channels,), 1e-3), site, model.identity)
    counts = [0]

    def backend(graph: Any, _inputs: Any) -> Any:
        counts[-1] += 1
        return graph.forward

    torch._dynamo.reset()
    try:
        # In the pipeline, as users have it: steering asks there whether the denoiser is compiled.
        network: Any = torch.compile(pipeline.network, backend=backend)
        setattr(pipeline, _place_of(pipeline.network), network)
        steps = [0.0, *(1 + place / strengths for place in range(strengths))]
        for place, strength in enumerate(steps):
            if place in (1, 2):
                counts.append(0)
            steering = steer(pipeline, {direction: strength}, guided=False) if place else nullcontext()
            with torch.no_grad(), steering:
                network(state, **arguments, return_dict=False)
            bar.advance(1 if place else 0)
    finally:
        setattr(pipeline, _place_of(pipeline.network), pipeline.network)
        torch._dynamo.reset()
    return {"graphs": counts[0], "graphs_steered": counts[1], "strengths": strengths, "recompilations": sum(counts[2:])}


def _ratio(step: str, seconds: Mapping[str, list[float]], peaks: Mapping[str, int], weights: int) -> dict[str, Any]:
    plain = seconds[PLAIN]
    if step != STEERED:
        # One for each repeat: the median of the plain steps that came just before.
        plain = [statistics.median(plain[place : place + PAIRS]) for place in range(0, len(plain), PAIRS)]
    times = [one / other for one, other in zip(seconds[step], plain, strict=True)]
    return {
        "seconds": median(times).as_dict(),
        "memory": round((weights + peaks[step]) / (weights + peaks[PLAIN]), 4),
        "activations": round(peaks[step] / peaks[PLAIN], 4),
    }
