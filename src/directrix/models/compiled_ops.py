"""Operators that torch.compile does not look into: what is done at a module is looked up each time they run.

A compiled graph holds such an operator with the number of a port (``_hooks``). So another strength, another direction
or another window of steps is no new graph, and a graph that outlives its hooks does nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from torch import Tensor


class Port(Protocol):
    """What the operators ask."""

    def edited(self, kind: str, value: Tensor) -> Tensor | None:
        """The value after all edits of a kind; None where none of them changed it."""
        ...

    def show(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Shows a call's arguments to whoever wants to see them."""
        ...


PORTS: WeakValueDictionary[int, Port] = WeakValueDictionary()


@cache
def edit(kind: str) -> Callable[[Tensor, int], Tensor]:
    """The operator that passes a tensor through a port's edits of one kind, with the gradient of an addition."""

    def run(value: Tensor, number: int) -> Tensor:
        port = PORTS.get(number)
        edited = None if port is None else port.edited(kind, value)
        return value if edited is None else edited

    return _operator(f"edit_{kind}", "(Tensor value, int number) -> Tensor", run)


@cache
def show() -> Callable[..., Tensor]:
    """The operator that shows the denoiser's arguments, as far as anybody looks at them, and gives the state back.

    The compiler drops what nobody uses, so its result takes the state's place.
    """

    def run(state: Tensor, timestep: Tensor | None, mask: Tensor | None, partial: bool, number: int) -> Tensor:
        port = PORTS.get(number)
        if port is not None:
            seen = {"sample": state, "hidden_states": state, "timestep": timestep}
            port.show((), {**seen, "encoder_attention_mask": mask, "skip_layers": [] if partial else None})
        return state

    schema = "(Tensor state, Tensor? timestep, Tensor? mask, bool partial, int number) -> Tensor"
    return _operator("before_call", schema, run)


def _operator(name: str, schema: str, run: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Makes an operator of a function that gives a tensor like its first; the first's gradient is the result's."""
    import torch

    # Recorded CUDA graphs would replay what the function did when they were recorded.
    unsafe = getattr(torch.Tag, "cudagraph_unsafe", None)
    tags: dict[str, Any] = {} if unsafe is None else {"tags": (unsafe,)}

    @torch.library.custom_op(f"directrix::{name}", mutates_args=(), schema=schema, **tags)
    def operator(value: Tensor, *rest: Any) -> Tensor:
        # An operator must give a tensor of its own, laid out as it promised.
        return torch.empty_like(value).copy_(run(value, *rest))

    others = schema.split("->")[0].count(",")
    operator.register_fake(lambda value, *rest: torch.empty_like(value))
    operator.register_autograd(lambda _context, gradient: (gradient, *[None] * others))
    return getattr(torch.ops.directrix, name).default
