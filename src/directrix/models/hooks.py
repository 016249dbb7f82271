"""Hooks on modules of a frozen model. No other file registers any.

Each function is a context manager: the hook is gone afterwards, also when the code inside raised.

A module has one port, through which everything goes that is to be done to it; in a compiled model that is one operator
(``_opaque``). Dynamo does not look at hooks when it decides whether a graph still fits, but it does look at a module's
class: so a module with an open port has a class of its own, of the same name.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from directrix.errors import SiteError
from directrix.models import compiled_ops

if TYPE_CHECKING:
    from torch import Tensor, nn

Edit = Callable[["Tensor"], "Tensor | None"]
See = Callable[[tuple[Any, ...], Mapping[str, Any]], None]

CALL, INPUT, OUTPUT = "call", "input", "output"
# A compiled graph holds a port's number as a constant, so a module keeps its port for life.
_PORTS: WeakKeyDictionary[nn.Module, _Port] = WeakKeyDictionary()
_NUMBERS = itertools.count()


@contextmanager
def edit_output(module: nn.Module, edit: Edit) -> Iterator[None]:
    """Passes each output of the module through `edit`.

    Args:
        module: a module whose output is one tensor, or a tuple that holds its hidden states (a U-Net's block, or a
            transformer's block of two streams, whose other stream is the text's); the others are left alone.
        edit: from the output to the new one of the same shape, or to None to leave it exactly as it is. It
            must not change its argument in place. In a compiled model no gradient reaches what it adds.

    Raises:
        SiteError: (during the forward pass) the module puts out no tensor.
    """
    with _port(module).open(module, OUTPUT, edit):
        yield


@contextmanager
def read_output(module: nn.Module, read: Callable[[Tensor], None]) -> Iterator[None]:
    """Shows each output of the module to `read`, which must not change it; of a tuple, its hidden states."""

    def unchanged(output: Tensor) -> None:
        read(output)

    with edit_output(module, unchanged):
        yield


@contextmanager
def edit_input(module: nn.Module, edit: Edit) -> Iterator[None]:
    """Passes the module's first argument through `edit`, as `edit_output` does its output."""
    with _port(module).open(module, INPUT, edit):
        yield


@contextmanager
def read_input(module: nn.Module, read: Callable[[Tensor], None]) -> Iterator[None]:
    """Shows the module's first argument to `read`, which must not change it."""

    def unchanged(given: Tensor) -> None:
        read(given)

    with edit_input(module, unchanged):
        yield


@contextmanager
def before_call(module: nn.Module, see: See) -> Iterator[None]:
    """Shows the arguments of each call of the module to `see(args, kwargs)` before it runs.

    In a compiled denoiser it is shown the state (as `sample` and `hidden_states`), `timestep`,
    `encoder_attention_mask` and `skip_layers` alone, and all of them by name.
    """
    with _port(module).open(module, CALL, see):
        yield


def retained() -> Callable[[], AbstractContextManager[None]]:
    """What is open now on every module, as a context manager that opens it again where it was closed since."""
    held = [
        (port, module, kind, each)
        for module, port in _PORTS.items()
        for kind, among in port.among.items()
        for each in among
    ]

    @contextmanager
    def again() -> Iterator[None]:
        with ExitStack() as stack:
            for port, module, kind, each in held:
                if not any(other is each for other in port.among[kind]):
                    stack.enter_context(port.open(module, kind, each))
            yield

    return again


class _Port:
    """What is done to one module, of each kind in the order it came in; a hook for each kind that there is."""

    def __init__(self) -> None:
        self.number = next(_NUMBERS)
        self.among: dict[str, list[Callable[..., Any]]] = {CALL: [], INPUT: [], OUTPUT: []}
        self._handles: dict[str, Any] = {}
        self._ids: dict[str, int] = {}
        self._classes: dict[tuple[type, ...], type] = {}

    @contextmanager
    def open(self, module: nn.Module, kind: str, each: Callable[..., Any]) -> Iterator[None]:
        """Adds one of a kind and takes it out again."""
        among = self.among[kind]
        among.append(each)
        try:
            self._fit(module)
            yield
        finally:
            # By identity: bound methods are equal when their objects are.
            del among[max(place for place, other in enumerate(among) if other is each)]
            self._fit(module)

    def edited(self, kind: str, value: Tensor) -> Tensor | None:
        """The value after all edits of a kind; None where none of them changed it."""
        result = None
        for edit in tuple(self.among[kind]):
            changed = edit(value if result is None else result)
            result = result if changed is None else changed
        return result

    def show(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Shows a call's arguments to whoever wants to see them."""
        for see in tuple(self.among[CALL]):
            see(args, kwargs)

    def _fit(self, module: nn.Module) -> None:
        """Registers the hooks that are needed now, removes the others, and gives the module the class for them."""
        for kind, among in self.among.items():
            if among and kind not in self._handles:
                self._handles[kind] = self._registered(module, kind)
            elif not among and kind in self._handles:
                self._handles.pop(kind).remove()
        plain = getattr(type(module), "_plain_class", type(module))
        wanted = self._class(plain) if self._handles else plain
        if type(module) is not wanted:
            module.__class__ = wanted

    def _registered(self, module: nn.Module, kind: str) -> Any:
        """The hook's handle. Each time under the number it had the first time: dynamo of torch 2.6 guards on it."""
        from torch.utils.hooks import RemovableHandle

        makers = {CALL: self._before_call, INPUT: self._before, OUTPUT: self._after}
        following = RemovableHandle.next_id
        RemovableHandle.next_id = self._ids.get(kind, following)
        try:
            handle = makers[kind](module)
        finally:
            RemovableHandle.next_id = max(following, RemovableHandle.next_id)
        self._ids[kind] = handle.id
        return handle

    def _class(self, plain: type) -> type:
        """A subclass that differs in nothing but that it is another one.

        One for each set of hooks, and of this port alone: models of one structure share their graphs.
        """
        key: tuple[Any, ...] = (plain, *sorted(self._handles))
        if key not in self._classes:
            names = {name: getattr(plain, name) for name in ("__module__", "__qualname__", "__doc__")}
            self._classes[key] = type(plain.__name__, (plain,), {**names, "_plain_class": plain})
        return self._classes[key]

    def _after(self, module: nn.Module) -> Any:
        from torch.compiler import is_compiling

        number, operator = self.number, compiled_ops.edit(OUTPUT)

        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
            place = _place(module, args, kwargs, output)
            hidden = output if place is None else output[place]
            new = operator(hidden, number) if is_compiling() else self.edited(OUTPUT, hidden)
            return new if new is None or place is None else (*output[:place], new, *output[place + 1 :])

        return module.register_forward_hook(hook, with_kwargs=True)

    def _before(self, module: nn.Module) -> Any:
        from torch.compiler import is_compiling

        number, operator = self.number, compiled_ops.edit(INPUT)

        def hook(_module: nn.Module, args: tuple[Any, ...]) -> Any:
            new = operator(args[0], number) if is_compiling() else self.edited(INPUT, args[0])
            return None if new is None else (new, *args[1:])

        return module.register_forward_pre_hook(hook)

    def _before_call(self, module: nn.Module) -> Any:
        import torch
        from torch.compiler import is_compiling

        number, operator = self.number, compiled_ops.show()

        def hook(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            if not is_compiling():
                self.show(args, kwargs)
                return None
            name = "sample" if "sample" in kwargs else "hidden_states"
            time = kwargs.get("timestep", args[1] if len(args) > 1 else None)
            # A tuple: dynamo of torch 2.6 knows no union of types.
            if isinstance(time, (int, float)):
                time = torch.full((), time)
            rest = (time, kwargs.get("encoder_attention_mask"), kwargs.get("skip_layers") is not None, number)
            if args:
                return (operator(args[0], *rest), *args[1:]), kwargs
            return args, {**kwargs, name: operator(kwargs[name], *rest)}

        return module.register_forward_pre_hook(hook, with_kwargs=True)


def _port(module: nn.Module) -> _Port:
    if module not in _PORTS:
        port = _PORTS[module] = _Port()
        compiled_ops.PORTS[port.number] = port
    return _PORTS[module]


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
