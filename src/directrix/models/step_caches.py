"""Caches of diffusers that skip work of a step: what a direction adds counts once, and only while its window is open.

A cache of whole blocks (FirstBlockCache, MagCache, SeaCache) goes on with what the skipped blocks added the last time,
a direction at one of them included. So nothing is added at a skipped block, but for the last one, whose hooks run after
the cache has looked. Where a window opens or closes, what was stored before is of another model, and is forgotten.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


def skipped(block: nn.Module) -> bool:
    """Whether a cache passed over the block in the present call, with its last effect stored."""
    for hook in _hooks(block):
        if getattr(hook, "is_tail", False):
            continue
        for state in _states(hook):
            if getattr(state, "should_compute", getattr(state, "gate_should_compute", True)) is False:
                return True
    return False


def forget(network: nn.Module) -> None:
    """Makes the network's caches compute their next call anew."""
    for module in network.modules():
        for hook in _hooks(module):
            managed = list(_managers(hook))
            for manager in managed:
                for state in manager._state_cache.values():
                    # MagCache's ratios are counted by step, and the steps go on.
                    step = getattr(state, "step_index", None)
                    state.reset()
                    if step is not None:
                        state.step_index = step
            if not managed and getattr(hook, "_is_stateful", False):
                hook.reset_state(module)


def is_cached(network: Any) -> bool:
    """Whether a cache is switched on."""
    return bool(getattr(network, "is_cache_enabled", False))


def _hooks(module: Any) -> Iterator[Any]:
    registry = vars(module).get("_diffusers_hook")
    yield from tuple(registry.hooks.values()) if registry is not None else ()


def _managers(hook: Any) -> Iterator[Any]:
    yield from (each for each in vars(hook).values() if hasattr(each, "_state_cache"))


def _states(hook: Any) -> Iterator[Any]:
    """What a hook remembers of the branch that runs now."""
    for manager in _managers(hook):
        context = getattr(manager, "_context", None) or getattr(manager, "_current_context", None)
        state = manager._state_cache.get(getattr(context, "name", context))
        if state is not None:
            yield state
