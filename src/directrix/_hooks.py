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
        module: a module whose output is one tensor.
        edit: from the output to the new one of the same shape, or to None to leave it exactly as it is. It
            must not change its argument in place.

    Raises:
        SiteError: (during the forward pass) the module's output is not a single tensor.
    """

    def hook(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        return edit(_tensor(module, output))

    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def read_output(module: nn.Module, read: Callable[[Tensor], None]) -> Iterator[None]:
    """Shows each output of the module to `read`, which must not change it."""

    def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
        read(_tensor(module, output))

    handle = module.register_forward_hook(hook)
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


def _tensor(module: nn.Module, output: Any) -> Tensor:
    import torch

    if isinstance(output, torch.Tensor):
        return output
    raise SiteError(
        f"{type(module).__name__} returns {type(output).__name__}, not one tensor.",
        "a module that returns a single tensor.",
        "another site, such as the mid block of a U-Net.",
    )
