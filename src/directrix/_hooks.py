"""Hooks on modules of a frozen model. No other file registers any.

Each function is a context manager: the hook is gone afterwards, also when the code inside raised.

A module has one port, through which everything goes that is to be done to it. In a compiled model the port is one
opaque operator that asks, each time it runs, what there is to do: another strength, another direction or another
window of steps is no new graph. Dynamo does not look at hooks when it decides whether a graph still fits, but it does
look at a module's class; so a module with an open port has a class of its own, of the same name.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakValueDictionary

from directrix.errors import SiteError

if TYPE_CHECKING:
    from torch import Tensor, nn

Edit = Callable[["Tensor"], "Tensor | None"]
See = Callable[[tuple[Any, ...], Mapping[str, Any]], None]

# A compiled graph holds a port's number as a constant, so a module keeps its port for life.
_PORTS: WeakKeyDictionary[nn.Module, _Port] = WeakKeyDictionary()
_NUMBERED: WeakValueDictionary[int, _Port] = WeakValueDictionary()
_NUMBERS = itertools.count()


@contextmanager
def edit_output(module: nn.Module, edit: Edit) -> Iterator[None]:
    """Passes each output of the module through `edit`.

    Args:
        module: a module whose output is one tensor.
        edit: from the output to the new one of the same shape, or to None to leave it exactly as it is. It
            must not change its argument in place. In a compiled model no gradient reaches what it adds.

    Raises:
        SiteError: (during the forward pass) the module's output is not a single tensor.
    """
    port = _port(module)
    with port.open(module, port.edits, edit):
        yield


@contextmanager
def read_output(module: nn.Module, read: Callable[[Tensor], None]) -> Iterator[None]:
    """Shows each output of the module to `read`, which must not change it."""

    def unchanged(output: Tensor) -> None:
        read(output)

    with edit_output(module, unchanged):
        yield


@contextmanager
def before_call(module: nn.Module, see: See) -> Iterator[None]:
    """Shows the arguments of each call of the module to `see(args, kwargs)` before it runs.

    In a compiled model it is shown the timestep alone, as `see((), {"timestep": timestep})`.
    """
    port = _port(module)
    with port.open(module, port.sees, see):
        yield


class _Port:
    """What is done to one module: `sees` before its forward pass, `edits` after it, in the order they came in."""

    def __init__(self) -> None:
        self.number = next(_NUMBERS)
        self.edits: list[Edit] = []
        self.sees: list[See] = []
        self._handles: dict[int, Any] = {}
        self._classes: dict[tuple[type, bool, bool], type] = {}

    @contextmanager
    def open(self, module: nn.Module, kind: list[Any], each: Callable[..., Any]) -> Iterator[None]:
        """Adds one to `kind`, which is `edits` or `sees`, and takes it out again."""
        kind.append(each)
        try:
            self._fit(module)
            yield
        finally:
            # By identity: the same function may be in twice, and bound methods are equal when their objects are.
            del kind[max(place for place, other in enumerate(kind) if other is each)]
            self._fit(module)

    def edited(self, output: Tensor) -> Tensor | None:
        """The output after all edits; None where none of them changed it."""
        result = None
        for edit in tuple(self.edits):
            changed = edit(output if result is None else result)
            result = result if changed is None else changed
        return result

    def _fit(self, module: nn.Module) -> None:
        """Registers the hooks that are needed now, removes the others, and gives the module the class for them."""
        for kind, register in ((self.sees, self._register_before), (self.edits, self._register_after)):
            handle = self._handles.get(id(kind))
            if kind and handle is None:
                self._handles[id(kind)] = register(module)
            elif not kind and handle is not None:
                self._handles.pop(id(kind)).remove()
        plain = getattr(type(module), "_plain_class", type(module))
        wanted = self._class(plain) if self.sees or self.edits else plain
        if type(module) is not wanted:
            module.__class__ = wanted

    def _class(self, plain: type) -> type:
        """A subclass that differs in nothing but that it is another one.

        One for each kind of hooks, and of this port alone: models of one structure share their graphs.
        """
        key = (plain, bool(self.sees), bool(self.edits))
        if key not in self._classes:
            names = {"__module__": plain.__module__, "__qualname__": plain.__qualname__, "__doc__": plain.__doc__}
            self._classes[key] = type(plain.__name__, (plain,), {**names, "_plain_class": plain})
        return self._classes[key]

    def _register_after(self, module: nn.Module) -> Any:
        from torch.compiler import is_compiling

        number, operator = self.number, _operator()

        def hook(module: nn.Module, _inputs: Any, output: Any) -> Any:
            tensor = _tensor(module, output)
            return operator(tensor, number) if is_compiling() else self.edited(tensor)

        return module.register_forward_hook(hook)

    def _register_before(self, module: nn.Module) -> Any:
        import torch
        from torch.compiler import is_compiling

        number, operator = self.number, _seeing_operator()

        def hook(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            if not is_compiling():
                for see in tuple(self.sees):
                    see(args, kwargs)
                return None
            # The operator's result is used in place of the timestep: the compiler drops what nobody uses.
            if "timestep" in kwargs:
                return args, {**kwargs, "timestep": operator(torch.as_tensor(kwargs["timestep"]), number)}
            return (args[0], operator(torch.as_tensor(args[1]), number), *args[2:]), kwargs

        return module.register_forward_pre_hook(hook, with_kwargs=True)


def _port(module: nn.Module) -> _Port:
    if module not in _PORTS:
        port = _PORTS[module] = _Port()
        _NUMBERED[port.number] = port
    return _PORTS[module]


@cache
def _operator() -> Callable[[Tensor, int], Tensor]:
    """The operator that stands for a port in a compiled graph: its edits, with the gradient of an addition."""

    def run(h: Tensor, number: int) -> Tensor:
        port = _NUMBERED.get(number)
        edited = None if port is None else port.edited(h)
        return h if edited is None else edited

    return _opaque("edit_output", run)


@cache
def _seeing_operator() -> Callable[[Tensor, int], Tensor]:
    """The operator that stands for what is shown a call's timestep."""

    def run(timestep: Tensor, number: int) -> Tensor:
        port = _NUMBERED.get(number)
        for see in () if port is None else tuple(port.sees):
            see((), {"timestep": timestep})
        return timestep

    return _opaque("before_call", run)


def _opaque(name: str, run: Callable[[Tensor, int], Tensor]) -> Callable[[Tensor, int], Tensor]:
    """Makes an operator of a function from a tensor to one like it; the gradient is passed through as it is."""
    import torch

    # A graph of CUDA kernels would replay what the function did when it was recorded.
    unsafe = getattr(torch.Tag, "cudagraph_unsafe", None)

    @torch.library.custom_op(
        f"directrix::{name}",
        mutates_args=(),
        schema="(Tensor value, int number) -> Tensor",
        **({} if unsafe is None else {"tags": (unsafe,)}),
    )
    def operator(value: Tensor, number: int) -> Tensor:
        # An operator must give a tensor of its own, laid out as it promised.
        return torch.empty_like(value).copy_(run(value, number))

    operator.register_fake(lambda value, number: torch.empty_like(value))
    operator.register_autograd(lambda _context, gradient: (gradient, None))
    return getattr(torch.ops.directrix, name).default


def _tensor(module: nn.Module, output: Any) -> Tensor:
    import torch

    if isinstance(output, torch.Tensor):
        return output
    raise SiteError(
        f"{type(module).__name__} returns {type(output).__name__}, not one tensor.",
        "a module that returns a single tensor.",
        "another site, such as the mid block of a U-Net.",
    )
