"""The memory that a piece of work takes at its peak, counted from what torch's allocator gives and takes back.

On a GPU torch keeps that count. On a CPU its profiler notes every block; the sum over time is the same on every run,
which resident memory is not: that depends on what earlier work left behind and on when it is looked at. Buffers that
oneDNN and BLAS take for themselves are not in it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


def peak_bytes(work: Callable[[], object], device: torch.device) -> int:
    """Bytes that the work holds at its peak, beyond what was held before it."""
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
    held = peak = 0
    for _, size in blocks:
        held += size
        peak = max(peak, held)
    return peak
