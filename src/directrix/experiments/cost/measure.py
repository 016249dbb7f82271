"""What a piece of work costs: seconds, memory at its peak, evaluations of the denoiser, and a gradient in those."""

from __future__ import annotations

import ctypes
import gc
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psutil
import torch
from torch import Tensor

from directrix.discovery.environment import frozen
from directrix.discovery.frozen_denoiser import FrozenDenoiser
from directrix.models import activations
from directrix.models.steerable import SteerableModel

MEGABYTE = 2**20
# How often memory is looked at; a peak that is shorter goes unseen.
INTERVAL = 0.02


@dataclass
class Cost:
    """Of the work within ``measured()``; memory_mb is what was added to what the process took before, at the peak."""

    seconds: float = 0.0
    memory_mb: float = 0.0


@contextmanager
def measured() -> Iterator[Cost]:
    """Measures the work within: on a GPU its memory, else the process's resident memory."""
    cost = Cost()
    _give_back()
    process, stop = psutil.Process(), threading.Event()
    resident = [process.memory_info().rss]
    on_gpu = torch.cuda.is_available()
    taken = 0
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
        taken = torch.cuda.memory_allocated()

    def watch() -> None:
        while not stop.wait(INTERVAL):
            resident.append(process.memory_info().rss)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    started = time.perf_counter()
    try:
        yield cost
    finally:
        if on_gpu:
            torch.cuda.synchronize()
        cost.seconds = time.perf_counter() - started
        stop.set()
        watcher.join()
        resident.append(process.memory_info().rss)
        used = torch.cuda.max_memory_allocated() - taken if on_gpu else max(resident) - resident[0]
        cost.memory_mb = used / MEGABYTE


def _give_back() -> None:
    """Return what earlier work freed to the system, where it can be asked for; later work would seem to need less."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


@dataclass
class Evaluations:
    """Of the denoiser within ``counted()``: one for each state of a batch, so two where guidance has two branches."""

    count: int = 0


@contextmanager
def counted(pipeline: Any) -> Iterator[Evaluations]:
    """Counts the denoiser's evaluations within."""
    found = Evaluations()

    def see(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        states = next(each for each in (*args, *kwargs.values()) if isinstance(each, Tensor) and each.ndim > 1)
        found.count += len(states)

    with activations.before_call(SteerableModel.of(pipeline), see):
        yield found


def cost_of_gradient(pipeline: Any, batch: int = 8, repeats: int = 7) -> float:
    """How many plain evaluations of the denoiser one evaluation with its gradient takes as long as.

    The median of ``repeats`` ratios, each of two passes one after the other, so that a machine that slows down slows
    both. The gradient is that of a vector added at the site: it goes through the layers behind the site only.
    """
    model = SteerableModel.of(pipeline)
    channels, height, width = model.facts.latent_shape
    with frozen(model):
        denoiser = FrozenDenoiser(model, model.find_site())
        states = torch.randn(batch, channels, height, width, generator=torch.Generator().manual_seed(0))
        timesteps = torch.full((batch,), 500)
        embedding = denoiser.encode(["a person"]).expand(batch, -1, -1)
        vector = torch.zeros_like(denoiser.site_output(states, timesteps, embedding)[:1])

        def plain() -> None:
            denoiser.predict(states, timesteps, embedding)

        def with_gradient() -> None:
            discovery_step(denoiser, states, timesteps, embedding, vector)

        plain()
        with_gradient()
        return round(statistics.median(seconds(with_gradient) / seconds(plain) for _ in range(repeats)), 3)


def discovery_step(denoiser: FrozenDenoiser, states: Tensor, timesteps: Tensor, prompt: Any, vector: Tensor) -> None:
    """What a gradient method does: a forward with the vector added at the site, and the gradient of a loss by it."""
    asked = vector.clone().requires_grad_()
    loss = denoiser.steered(states, timesteps, prompt, asked).square().mean()
    torch.autograd.grad(loss, asked)


def seconds(work: Callable[[], object], device: torch.device | None = None) -> float:
    """Seconds that the work takes on a device; None for the GPU if there is one."""
    on_gpu = torch.cuda.is_available() if device is None else device.type == "cuda"
    if on_gpu:
        torch.cuda.synchronize(device)
    started = time.perf_counter()
    work()
    if on_gpu:
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def peak_bytes(work: Callable[[], object], device: torch.device) -> int:
    """Bytes that the work takes at its peak beyond what was taken before, counted from torch's allocator.

    On a CPU torch's profiler notes every block; the sum over time is the same on every run, which resident memory is
    not: that depends on what earlier work left behind and on when it is looked at. Buffers that oneDNN and BLAS take
    for themselves are not in it.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        work()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        work()
    # Not in torch's type hints.
    results: Any = profile.profiler.kineto_results  # pyright: ignore
    blocks = sorted((event.start_ns(), event.nbytes()) for event in results.events() if event.name() == "[memory]")
    now = peak = 0
    for _, size in blocks:
        now += size
        peak = max(peak, now)
    return peak


def spread(values: Sequence[float], middle: Callable[[Sequence[float]], float]) -> dict[str, float | int]:
    """The middle of a few values, and from the least to the largest of them: too few for an interval of chance."""
    found = {"value": middle(values), "low": min(values), "high": max(values)}
    return {**{key: round(value, 4) for key, value in found.items()}, "n": len(values)}
