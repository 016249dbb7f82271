"""Ports: the functions that a module's calls, inputs and outputs are passed through at present, and torch's hooks.

A compiled graph cannot hold such functions, as they come and go; it holds the number of their port.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from directrix.errors import SiteError

if TYPE_CHECKING:
    from torch import nn

CALL, INPUT, OUTPUT = "call", "input", "output"
# By number, and so in the order in which they were opened. A port lives as long as a hook of its module holds it.
PORTS: WeakValueDictionary[int, Port] = WeakValueDictionary()
NUMBERS = itertools.count()
# Numbers of those that are open on models which run as they are written. A plain dictionary: compilers know it.
OPEN: dict[int, bool] = {}


class Port:
    """What is open on one module, of each kind in the order it came in.

    Args:
        compiled: whether it was opened on a compiled model (`models.compiled`).
    """

    def __init__(self, module: nn.Module, number: int | None = None, compiled: bool = False) -> None:
        self.module, self.compiled = module, compiled
        self.number = next(NUMBERS) if number is None else number
        self.functions: dict[str, list[Callable[..., Any]]] = {CALL: [], INPUT: [], OUTPUT: []}
        PORTS[self.number] = self

    def close(self, kind: str, function: Callable[..., Any]) -> None:
        """Takes one out, the one that came in last. By identity: bound methods are equal when their objects are."""
        among = self.functions[kind]
        del among[max(place for place, other in enumerate(among) if other is function)]


def register(module: nn.Module, port: Port, kind: str, function: Callable[..., Any], traced: Callable[..., Any]) -> Any:
    """Registers a hook on the module and returns torch's handle of it.

    Args:
        port: lives as long as the hook.
        kind: what the function is given, and may give another one for: an OUTPUT's hidden states, an INPUT, or the
            arguments of a CALL, which it only sees.
        traced: what a compiler traces in its place.
    """
    from torch.compiler import is_compiling

    def output(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        place = _place(module, args, kwargs, output)
        hidden = output if place is None else output[place]
        new = traced(hidden) if is_compiling() else function(hidden)
        return new if new is None or place is None else (*output[:place], new, *output[place + 1 :])

    def given(_module: nn.Module, args: tuple[Any, ...]) -> Any:
        new = traced(args[0]) if is_compiling() else function(args[0])
        return None if new is None else (new, *args[1:])

    def call(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if is_compiling():
            return traced(args, kwargs)
        function(args, kwargs)
        return None

    hook: Any = {CALL: call, INPUT: given, OUTPUT: output}[kind]
    hook.port = port
    if kind == OUTPUT:
        return module.register_forward_hook(hook, with_kwargs=True)
    return module.register_forward_pre_hook(hook, with_kwargs=kind == CALL)


def _place(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> int | None:
    """Where in the output the hidden states are; None where it is they."""
    import torch

    if isinstance(output, torch.Tensor):
        return None
    tensors = (
        [place for place, each in enumerate(output) if isinstance(each, torch.Tensor)]
        if isinstance(output, tuple)
        else []
    )
    if not tensors:
        raise SiteError(
            f"{type(module).__name__} returns {type(output).__name__} without a tensor of hidden states in it.",
            "a module that returns a single tensor, or a block of a denoiser.",
            "another site, such as the mid block of a U-Net.",
        )
    # Blocks of two streams put their text out as well: first in most families, last in some.
    given = kwargs.get("hidden_states", args[0] if args else None)
    alike = [place for place in tensors if output[place].shape == getattr(given, "shape", None)]
    return (alike or tensors)[-1]
