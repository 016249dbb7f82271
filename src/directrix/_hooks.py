"""Hooks on modules of a frozen model. No other file registers any.

Each function is a context manager: the hook is gone afterwards, also when the code inside raised.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from directrix.errors import SiteError

if TYPE_CHECKING:
    from torch import Tensor, nn


@contextmanager
def edit_output(module: nn.Module, edit: Callable[[Tensor], Tensor | None]) -> Iterator[None]:
    """Passes each output of the module through `edit`.

    Args:
        module: a module whose output is one tensor, or a tuple that holds its hidden states (a U-Net's block, or a
            transformer's block of two streams, whose other stream is the text's); the others are left alone.
        edit: from the output to the new one of the same shape, or to None to leave it exactly as it is. It
            must not change its argument in place.

    Raises:
        SiteError: (during the forward pass) the module puts out no tensor.
    """

    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        place = _place(module, args, kwargs, output)
        if place is None:
            return edit(output)
        new = edit(output[place])
        return None if new is None else (*output[:place], new, *output[place + 1 :])

    handle = module.register_forward_hook(hook, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def read_output(module: nn.Module, read: Callable[[Tensor], None]) -> Iterator[None]:
    """Shows each output of the module to `read`, which must not change it; of a tuple, its hidden states."""

    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        place = _place(module, args, kwargs, output)
        read(output if place is None else output[place])

    handle = module.register_forward_hook(hook, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def edit_input(module: nn.Module, edit: Callable[[Tensor], Tensor | None]) -> Iterator[None]:
    """Passes the module's first argument through `edit`, as `edit_output` does its output."""

    def hook(module: nn.Module, args: tuple[Any, ...]) -> Any:
        new = edit(args[0])
        return None if new is None else (new, *args[1:])

    handle = module.register_forward_pre_hook(hook)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def read_input(module: nn.Module, read: Callable[[Tensor], None]) -> Iterator[None]:
    """Shows the module's first argument to `read`, which must not change it."""

    def hook(module: nn.Module, args: tuple[Any, ...]) -> None:
        read(args[0])

    handle = module.register_forward_pre_hook(hook)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def before_call(
    module: nn.Module, see: Callable[[tuple[Any, ...], Mapping[str, Any]], None]
) -> Iterator[None]:
    """Shows the arguments of each call of the module to `see(args, kwargs)` before it runs."""

    def hook(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        see(args, kwargs)

    handle = module.register_forward_pre_hook(hook, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


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
