"""What a discovery's calls change of a pipeline beside its networks' flags, and how it is put back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn

# With each call accelerate puts other hooks in the place of those that move weights.
_MOVING = re.compile(r"_all_hooks|_offload.*")


@contextmanager
def restored(pipeline: Any) -> Iterator[None]:
    """Within, the pipeline is called at will; afterwards its attributes, its schedulers and torch's own generators are
    what they were, and its weights are where they wait between calls."""
    parts = [pipeline, *(each for each in pipeline.components.values() if hasattr(each, "set_timesteps"))]
    found = [
        {name: list(value) if type(value) is list else value for name, value in vars(each).items()} for each in parts
    ]
    device = pipeline.device
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        if hasattr(pipeline, "maybe_free_model_hooks"):
            # Calls that were ended early did not come so far.
            pipeline.maybe_free_model_hooks()
        for part, values in zip(parts, found, strict=True):
            now = vars(part)
            for name in [each for each in now if not _MOVING.fullmatch(each)]:
                del now[name]
            now.update((name, value) for name, value in values.items() if name not in now)


@contextmanager
def without_cache(network: Any) -> Iterator[None]:
    """Within, the network computes every block: states that follow one another here belong to no one run."""
    config = getattr(network, "_cache_config", None)
    if config is None:
        yield
        return
    network.disable_cache()
    try:
        yield
    finally:
        network.enable_cache(config)


def lasting_weights(network: nn.Module) -> Any:
    """Within, the backward pass finds the weights that the forward pass used.

    Layerwise casting and group offloading exchange a parameter's values once its layer ran; autograd's graph would
    find those that wait there.
    """
    if not any(hasattr(module, "_diffusers_hook") for module in network.modules()):
        return nullcontext()
    return torch.autograd.graph.saved_tensors_hooks(torch.Tensor.detach, torch.Tensor.detach)
