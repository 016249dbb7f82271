"""Caches of diffusers that skip work of a step: what a direction adds counts once, and only while it is to act.

A cache's hooks replace the `forward` of a module, and a direction is added outside of it. So what a cache stores of the
module itself (an attention, or a block that TaylorSeer predicts) never holds the direction, which is added each time.
A cache of the whole stack of blocks (FirstBlockCache, MagCache, SeaCache) goes on with what all blocks but the first
added the last time, a direction at one of them included. So nothing is added at a skipped block, but for the last one:
a direction there comes after all that is stored.

What was stored under other directions, or outside their window of steps, is of another model, and is forgotten.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


def skipped(block: nn.Module) -> bool:
    """Whether a cache passed over the block in the present call, with what the block added the last time."""
    hooks = tuple(_hooks(block))
    if any(getattr(hook, "is_tail", False) for hook in hooks):
        return False
    return any(_passed_over(state) for hook in hooks for state in _states(hook))


def leaves_out_unconditional(network: nn.Module) -> bool:
    """Whether FasterCache runs the conditional half of the network's present batch alone, and guesses the other."""
    for hook in _hooks(network):
        state, period = getattr(hook, "state", None), getattr(hook, "unconditional_batch_skip_range", 0)
        if period and state is not None and not hook.is_guidance_distilled and state.iteration % period:
            low, high = hook.unconditional_batch_timestep_skip_range
            return bool(low < hook.current_timestep_callback() < high)
    return False


def forget(network: nn.Module) -> None:
    """Makes the network's caches compute their next call anew."""
    for module in network.modules():
        for hook in _hooks(module):
            for manager in _managers(hook):
                for name, state in tuple(manager._state_cache.items()):
                    if hasattr(state, "previous_residual"):
                        # MagCache counts the steps by its state, and they go on.
                        state.previous_residual = None
                    else:
                        del manager._state_cache[name]
            state = getattr(hook, "state", None)
            if getattr(hook, "_is_stateful", False) and hasattr(state, "reset"):
                hook.reset_state(module)
                if hasattr(hook, "weight_callback"):
                    # FasterCache computes an attention when its period is over, not when it has nothing stored.
                    hook.state.iteration = hook.block_skip_range


@contextmanager
def renewed(networks: Sequence[nn.Module]) -> Iterator[None]:
    """Within, the networks are another model than outside: their caches forget at both ends."""
    for network in networks:
        forget(network)
    try:
        yield
    finally:
        for network in networks:
            forget(network)


def known_as(plain: type, other: type) -> None:
    """Lets caches take a subclass for the class of blocks that they know."""
    if "transformer" not in plain.__module__ and plain.__module__ != "diffusers.models.attention":
        return
    try:
        from diffusers.hooks._helpers import TransformerBlockRegistry as Registry
    except ImportError:
        return
    with suppress(ValueError):
        Registry._registry[other] = Registry.get(plain)


def _passed_over(state: Any) -> bool:
    if hasattr(state, "skip_remaining"):
        return state.skip_remaining
    if getattr(state, "is_inactive", False):
        # TaylorSeer's lite mode predicts the network's answer, and gives zeros for its blocks.
        return state.current_step != state.last_update_step
    return getattr(state, "should_compute", True) is False


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
