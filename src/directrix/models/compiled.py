"""Hooks on compiled models: another strength, direction or window of steps is no new graph.

torch.compile traces a hook into its graph, and does not look at hooks when it decides whether a graph still fits. So

- a graph holds an operator that the compiler does not look into, with the number of a port. What is open at the port is
  looked up each time it runs, and a graph that outlives its hooks does nothing;
- a module with an open port has a class of its own, of the same name: dynamo does look at classes.

A module keeps its port's number for life, as a graph holds it as a constant. Models that run as they are written never
get here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary, ref

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from directrix.models.ports import CALL, INPUT, NUMBERS, OPEN, OUTPUT, PORTS, Port, register
from directrix.models.running import LOCK
from directrix.models.step_caches import known_as


@contextmanager
def opened(module: nn.Module, kind: str, function: Callable[..., Any]) -> Iterator[None]:
    """Adds a function to the module's port, and takes it out again."""
    with LOCK:
        lasting = _LASTING.get(module)
        if lasting is None:
            lasting = _LASTING[module] = _Lasting()
        port = lasting.port()
        if port is None:
            port = Port(module, lasting.number, compiled=True)
            lasting.port = ref(port)
        port.functions[kind].append(function)
        lasting.fit(port)
    try:
        yield
    finally:
        with LOCK:
            port.close(kind, function)
            lasting.fit(port)


def traced_late(kind: str, number: int, *given: Any) -> Any:
    """What is traced of a hook that was open before its model was compiled.

    Its module has its own class, so the graph asks for the number: it fits as long as the hook is open.
    """
    return _traced(kind, number, *given) if number in OPEN else None


class _Lasting:
    """What a module keeps for life: its port's number, its handles' numbers, its classes."""

    def __init__(self) -> None:
        self.number = next(NUMBERS)
        self.port: Callable[[], Port | None] = lambda: None
        self._handles: dict[str, Any] = {}
        self._ids: dict[str, int] = {}
        self._classes: dict[tuple[type, ...], type] = {}

    def fit(self, port: Port) -> None:
        """Registers the hooks that are needed now, removes the others, and gives the module the class for them."""
        module = port.module
        for kind, among in port.functions.items():
            if among and kind not in self._handles:
                self._handles[kind] = self._registered(port, kind)
            elif not among and kind in self._handles:
                self._handles.pop(kind).remove()
        plain = getattr(type(module), "_plain_class", type(module))
        wanted = self._class(plain) if self._handles else plain
        if type(module) is not wanted:
            module.__class__ = wanted

    def _registered(self, port: Port, kind: str) -> Any:
        """The hook's handle. Each time under the number it had the first time: dynamo of torch 2.6 guards on it."""
        run = partial(_show if kind == CALL else _edited, port, kind)
        following = RemovableHandle.next_id
        RemovableHandle.next_id = self._ids.get(kind, following)
        try:
            handle = register(port.module, port, kind, run, partial(_traced, kind, port.number))
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
            known_as(plain, self._classes[key])
        return self._classes[key]


_LASTING: WeakKeyDictionary[nn.Module, _Lasting] = WeakKeyDictionary()


def _edited(port: Port, kind: str, value: Tensor) -> Tensor | None:
    """The value after all edits of a kind; None where none of them changed it."""
    result = None
    for edit in tuple(port.functions[kind]):
        changed = edit(value if result is None else result)
        result = result if changed is None else changed
    return result


def _show(port: Port, kind: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    for see in tuple(port.functions[kind]):
        see(args, kwargs)


def _operator(name: str, schema: str, run: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Makes an operator of a function that gives a tensor like its first; the first's gradient is the result's."""
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


def _run_edit(kind: str, value: Tensor, number: int) -> Tensor:
    port = PORTS.get(number)
    edited = None if port is None else _edited(port, kind, value)
    return value if edited is None else edited


def _run_show(state: Tensor, timestep: Tensor | None, text: Tensor | None, mask: Tensor | None, number: int) -> Tensor:
    """Shows the denoiser's arguments, as far as anybody looks at them, and gives the state back.

    The compiler drops what nobody uses, so the result takes the state's place.
    """
    port = PORTS.get(number)
    if port is not None:
        seen = {"timestep": timestep, "encoder_hidden_states": text, "encoder_attention_mask": mask}
        _show(port, CALL, (state,), seen)
    return state


_EDIT = "(Tensor value, int number) -> Tensor"
_edit_input = _operator("edit_input", _EDIT, partial(_run_edit, INPUT))
_edit_output = _operator("edit_output", _EDIT, partial(_run_edit, OUTPUT))
_before_call = _operator(
    "before_call", "(Tensor state, Tensor? timestep, Tensor? text, Tensor? mask, int number) -> Tensor", _run_show
)


def _traced(kind: str, number: int, *given: Any) -> Any:
    """What the compiler sees of a hook: an operator with the port's number."""
    if kind == OUTPUT:
        return _edit_output(given[0], number)
    if kind == INPUT:
        return _edit_input(given[0], number)
    args, kwargs = given
    name = "sample" if "sample" in kwargs else "hidden_states"
    time = kwargs.get("timestep", args[1] if len(args) > 1 else None)
    text = kwargs.get("encoder_hidden_states", args[2] if len(args) > 2 else None)
    # A tuple: dynamo of torch 2.6 knows no union of types.
    if isinstance(time, (int, float)):
        time = torch.full((), time)
    rest = (time, text, kwargs.get("encoder_attention_mask"), number)
    if args:
        return (_before_call(args[0], *rest), *args[1:]), kwargs
    return args, {**kwargs, name: _before_call(kwargs[name], *rest)}
