"""Gradient checkpointing beside hooks.

A checkpointed part of a network is run again during the backward pass. By then the hooks of the forward pass are gone,
and without them it would be another function: so the second run opens again what was open in the first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from directrix.models import hooks


@contextmanager
def with_hooks(network: Any) -> Iterator[None]:
    """Within: parts of the network that are checkpointed are run again with the hooks that they were run with."""
    changed = []
    try:
        for module in network.modules():
            checkpoint = getattr(module, "_gradient_checkpointing_func", None)
            if checkpoint is not None and getattr(module, "gradient_checkpointing", False):
                changed.append((module, checkpoint))
                module._gradient_checkpointing_func = _remembering(checkpoint)
        yield
    finally:
        for module, checkpoint in changed:
            module._gradient_checkpointing_func = checkpoint


def _remembering(checkpoint: Callable[..., Any]) -> Callable[..., Any]:
    def call(part: Callable[..., Any], *args: Any) -> Any:
        reopened = hooks.retained()
        runs = 0

        def run(*args: Any) -> Any:
            nonlocal runs
            runs += 1
            if runs == 1:
                return part(*args)
            with reopened():
                return part(*args)

        return checkpoint(run, *args)

    return call
