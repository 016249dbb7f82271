"""Hooks on modules of a frozen model. No other file opens any.

Each function is a context manager: the hook is gone afterwards, also when the code inside raised. On a model that runs
as it is written these are torch's own hooks and nothing else. Where the model is compiled (``compiled=True``, see
`SteerableModel.compiled`), graphs know of no hook: `models.compiled` sees to that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from directrix.models.ports import ANSWER, ARGUMENTS, CALL, INPUT, OPEN, OUTPUT, PORTS, Port, register
from directrix.models.running import LOCK

if TYPE_CHECKING:
    from torch import Tensor, nn

Edit = Callable[["Tensor"], "Tensor | None"]
See = Callable[[tuple[Any, ...], Mapping[str, Any]], None]


def edit_output(module: nn.Module, edit: Edit, *, compiled: bool = False) -> AbstractContextManager[None]:
    """Passes each output of the module through `edit`.

    Args:
        module: a module whose output is one tensor, or a tuple that holds its hidden states (a U-Net's block, or a
            transformer's block of two streams, whose other stream is the text's); the others are left alone.
        edit: from the output to the new one of the same shape, or to None to leave it exactly as it is. It
            must not change its argument in place. In a compiled model no gradient reaches what it adds. What only
            reads returns None.

    Raises:
        SiteError: (during the forward pass) the module puts out no tensor.
    """
    return _open(module, OUTPUT, edit, compiled)


def edit_input(module: nn.Module, edit: Edit, *, compiled: bool = False) -> AbstractContextManager[None]:
    """Passes the module's first argument through `edit`, as `edit_output` does its output."""
    return _open(module, INPUT, edit, compiled)


def before_call(module: nn.Module, see: See, *, compiled: bool = False) -> AbstractContextManager[None]:
    """Shows the arguments of each call of the module to `see(args, kwargs)` before it runs.

    In a compiled denoiser it is shown the state, `timestep`, `encoder_hidden_states` and `encoder_attention_mask`
    alone, and all of them by name.
    """
    return _open(module, CALL, see, compiled)


def edit_arguments(
    module: nn.Module, edit: Callable[[tuple[Any, ...], dict[str, Any]], tuple[tuple[Any, ...], dict[str, Any]] | None]
) -> AbstractContextManager[None]:
    """Passes the arguments of each call of the module through ``edit``; None leaves them. Not for compiled models."""
    return _open(module, ARGUMENTS, edit, False)


def after_call(module: nn.Module, see: Callable[[Any], None]) -> AbstractContextManager[None]:
    """Shows what the module puts out, whatever it is, to `see`; not for compiled models."""
    return _open(module, ANSWER, see, False)


def retained() -> Callable[[], AbstractContextManager[None]]:
    """What is open now on every module, as a context manager that opens it again where it was closed since."""
    with LOCK:
        ports = [PORTS[number] for number in sorted(PORTS)]
    contents = [(port, kind, each) for port in ports for kind, among in port.functions.items() for each in among]

    @contextmanager
    def again() -> Iterator[None]:
        with ExitStack() as stack:
            for port, kind, each in contents:
                if not any(other is each for other in port.functions[kind]):
                    stack.enter_context(_open(port.module, kind, each, port.compiled))
            yield

    return again


@contextmanager
def _open(module: nn.Module, kind: str, function: Callable[..., Any], compiled: bool) -> Iterator[None]:
    if compiled:
        from directrix.models.compiled import opened

        with opened(module, kind, function):
            yield
        return
    with LOCK:
        port = Port(module)
        port.functions[kind].append(function)
        handle = register(module, port, kind, function, partial(_traced, kind, port.number))
        OPEN[port.number] = True
    try:
        yield
    finally:
        with LOCK:
            del OPEN[port.number]
            handle.remove()
            port.close(kind, function)


def _traced(kind: str, number: int, *given: Any) -> Any:
    """For a model that is compiled while the hook is open."""
    from directrix.models.compiled import traced_late

    return traced_late(kind, number, *given)
