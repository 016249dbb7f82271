"""Strengths that a model cannot take: a warning where one is beyond its direction's range, an error on an overflow."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from directrix.directions.direction import Direction
from directrix.errors import StrengthError
from directrix.models import hooks
from directrix.models.denoiser_calls import DenoiserCall, Scope

if TYPE_CHECKING:
    from torch import Tensor

_SAID: set[tuple[str, float]] = set()
_BEYOND: ContextVar[bool] = ContextVar("directrix_beyond_range", default=False)


@contextmanager
def beyond_range() -> Iterator[None]:
    """Within, strengths may be outside their range without a warning: for whoever looks for that range."""
    token = _BEYOND.set(True)
    try:
        yield
    finally:
        _BEYOND.reset(token)


def check_range(direction: Direction, strength: float | tuple[float, ...]) -> None:
    """Warns, once for each direction and strength, of a strength outside the range that the direction's file names."""
    low, high = direction.strengths.minimum, direction.strengths.maximum
    for each in strength if isinstance(strength, tuple) else (strength,):
        key = (direction.digest(), each)
        if each and not low <= each <= high and key not in _SAID and not _BEYOND.get():
            _SAID.add(key)
            warnings.warn(
                f"The strength {each:g} of '{direction.name}' is outside its range, {low:g} to {high:g}: images may "
                "break up.",
                UserWarning,
                stacklevel=2,
            )


def check_addition(addition: Tensor, direction: Direction, strength: Any) -> None:
    """Raises StrengthError where what is added is not finite in the model's precision."""
    if not bool(addition.isfinite().all()):
        raise _overflow(f"'{direction.name}' at strength {_largest(strength):g}", "", addition.dtype)


@contextmanager
def watched_for_overflow(scope: Scope, steering: str) -> Iterator[None]:
    """Within, StrengthError is raised where a denoiser's state or answer is not finite.

    On a CPU at once; on an accelerator, which would have to be waited for, when the pipeline's call ends.
    """

    def check(call: DenoiserCall, tensor: Any) -> None:
        import torch

        if not isinstance(tensor, torch.Tensor) or not tensor.is_floating_point():
            return
        finite, dtype = tensor.isfinite().all(), tensor.dtype

        def raise_unless() -> None:
            if not bool(finite):
                raise _overflow(f"'{steering}'", f" in {call.place}", dtype)

        if tensor.device.type == "cpu":
            raise_unless()
        else:
            scope.at_end(raise_unless)

    def answered(answer: Any) -> None:
        call = scope.now()
        if call is not None:
            check(call, answer[0] if isinstance(answer, tuple | Mapping) else answer)

    with ExitStack() as stack:
        if scope.model.compiled:
            # There the next step's state shows it.
            scope.watch(lambda call: check(call, next(iter(call.arguments.values()))))
        else:
            for network in scope.model.denoisers:
                stack.enter_context(hooks.after_call(network, answered))
        yield


def _largest(strength: float | tuple[float, ...]) -> float:
    return max(strength, key=abs) if isinstance(strength, tuple) else strength


def _overflow(what: str, where: str, dtype: Any) -> StrengthError:
    precision = str(dtype).removeprefix("torch.")
    return StrengthError(
        f"Steered with {what}, the model's numbers stop being finite{where}, in {precision}.",
        "a strength that the model's precision can hold.",
        "a smaller strength, or load the model in float32 or bfloat16.",
    )
