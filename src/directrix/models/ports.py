"""Ports: the functions that a module's calls, inputs and outputs are passed through at present, and torch's hooks.

A compiled graph cannot hold such functions, as they come and go; it holds the number of their port.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary, ref

from directrix.errors import SiteError
from directrix.models.image_tokens import image_place

if TYPE_CHECKING:
    from torch import nn

CALL, INPUT, OUTPUT, ANSWER, ARGUMENTS = "call", "input", "output", "answer", "arguments"
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
        self.functions: dict[str, list[Callable[..., Any]]] = {
            kind: [] for kind in (CALL, INPUT, OUTPUT, ANSWER, ARGUMENTS)
        }
        PORTS[self.number] = self

    def close(self, kind: str, function: Callable[..., Any]) -> None:
        """Takes one out, the one that came in last. By identity: bound methods are equal when their objects are."""
        among = self.functions[kind]
        del among[max(place for place, other in enumerate(among) if other is function)]


def register(module: nn.Module, port: Port, kind: str, function: Callable[..., Any], traced: Callable[..., Any]) -> Any:
    """Registers a hook on the module and returns torch's handle of it. Whoever calls it has `running.LOCK`.

    Args:
        port: lives as long as the hook.
        kind: what the function is given, and may give another one for: an OUTPUT's hidden states, an INPUT, all
            ARGUMENTS; or the arguments of a CALL and its ANSWER, which it only sees, and gives None for.
        traced: what a compiler traces in its place.
    """
    hook: Any = _Hook(module, port, kind, function, traced)
    if kind in (OUTPUT, ANSWER):
        return module.register_forward_hook(hook)
    # What a call is given is seen before anybody changes it: by what is in its rows they are told apart.
    return module.register_forward_pre_hook(hook, prepend=kind == CALL, with_kwargs=kind in (CALL, ARGUMENTS))


class _Hook:
    """A hook of one module: in a copy of the module it does nothing, and goes."""

    def __init__(
        self, module: nn.Module, port: Port, kind: str, function: Callable[..., Any], traced: Callable[..., Any]
    ) -> None:
        self.port, self.kind, self.function, self.traced = port, kind, function, traced
        self._module = ref(module)

    def __reduce__(self) -> tuple[Any, ...]:
        return _nothing, ()

    def __deepcopy__(self, memo: Any) -> Any:
        return left_behind

    def __call__(self, module: nn.Module, args: tuple[Any, ...], *given: Any) -> Any:
        """given: a CALL's arguments by name, or what the module put out."""
        from torch.compiler import is_compiling

        compiling, kind = is_compiling(), self.kind
        if not compiling and self._module() is not module:
            return None
        if kind in (CALL, ARGUMENTS) and not given:
            # Another thread closed it after torch had listed the hooks to call: torch forgot what it is to be given.
            return None
        function = self.traced if compiling else self.function
        if kind == OUTPUT:
            output = given[0]
            place = _place(module, output)
            new = function(output if place is None else output[place])
            return new if new is None or place is None else (*output[:place], new, *output[place + 1 :])
        if kind == INPUT:
            new = function(args[0])
            return None if new is None else (new, *args[1:])
        if kind == ANSWER:
            return None if compiling else function(given[0])
        return function(args, given[0])


def left_behind(module: nn.Module, *_: Any) -> None:
    """What becomes of a hook in a copy of its module: it goes at the first call."""
    for hooks in (module._forward_hooks, module._forward_pre_hooks):
        for number in [number for number, each in hooks.items() if each is left_behind]:
            del hooks[number]


def _nothing() -> Callable[..., None]:
    return left_behind


def _place(module: nn.Module, output: Any) -> int | None:
    """Where in the output the hidden states are; None where it is they."""
    import torch

    if isinstance(output, torch.Tensor):
        return None
    if isinstance(output, tuple) and any(isinstance(each, torch.Tensor) for each in output):
        return image_place(module, output)
    raise SiteError(
        f"{type(module).__name__} returns {type(output).__name__} without a tensor of hidden states in it.",
        "a module that returns a single tensor, or a block of a denoiser.",
        "another site, such as the mid block of a U-Net.",
    )
