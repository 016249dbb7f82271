"""Strengths that a model cannot take: a warning where one is beyond its direction's range, an error on an overflow."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from directrix.directions.direction import Direction
from directrix.errors import StrengthError
from directrix.interventions.step_window import StepWindow
from directrix.models import hooks
from directrix.models.denoiser_calls import DenoiserCall, Scope
from directrix.models.running import running

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


def check_addition(
    largest: Tensor, direction: Direction, strength: Any, dtype: Any, call: DenoiserCall | None = None
) -> None:
    """Raises StrengthError where the largest addition, on the CPU, is not finite in the model's precision."""
    if not bool(largest.to(dtype).isfinite().all()):
        raise _overflow({direction: strength}, "" if call is None else call.place, dtype)


@contextmanager
def watched_for_overflow(scope: Scope, window: StepWindow, strengths: Mapping[Direction, Any]) -> Iterator[None]:
    """Within, StrengthError is raised where a denoiser's state or answer, or what is drawn, stops being finite.

    On a CPU at once; on an accelerator, which would have to be waited for, when the pipeline's call ends. What was not
    finite before anything was added is the model's own affair.
    """

    def check(value: Any, call: DenoiserCall, place: str = "") -> None:
        found = _is_finite(value)
        before = scope.recall("finite", lambda: None)
        if found is None or (before is None and not window.open(call)):
            return
        finite, dtype = found
        if before is None:
            scope.remember("finite", finite)
        elif finite.device.type == "cpu":
            raise_unless(before, finite, dtype, lambda: place or call.place)
        else:
            now = place or call.place
            scope.at_end(lambda: raise_unless(before, finite, dtype, lambda: now))

    def raise_unless(before: Tensor, finite: Tensor, dtype: Any, place: Callable[[], str]) -> None:
        if bool(before) and not bool(finite):
            raise _overflow(strengths, place(), dtype)

    def called(call: DenoiserCall) -> None:
        # In a compiled model the next step's state shows what an answer was.
        if compiled or scope.recall("finite", lambda: None) is None:
            check(next(iter(call.arguments.values())), call)

    def answered(answer: Any) -> None:
        call = scope.now()
        if call is not None:
            check(answer[0] if isinstance(answer, tuple | Mapping) else answer, call)

    def decoded(args: tuple[Any, ...], _kwargs: Mapping[str, Any]) -> None:
        call = scope.now() if running(scope.model.pipeline) is not None else None
        if call is not None:
            check(args[0], call, "the last step")

    compiled, decoder = scope.model.compiled, scope.model.decoder
    scope.watch(called)
    with ExitStack() as stack:
        for network in () if compiled else scope.model.denoisers:
            stack.enter_context(hooks.after_call(network, answered))
        if decoder is not None:
            stack.enter_context(hooks.before_call(decoder, decoded))
        yield


def _is_finite(value: Any) -> tuple[Tensor, Any] | None:
    """Whether a tensor, or a list of them, holds finite numbers alone (on their device), and its dtype."""
    import torch

    tensors = value if isinstance(value, list | tuple) else [value]
    tensors = [each for each in tensors if isinstance(each, torch.Tensor) and each.is_floating_point()]
    if not tensors:
        return None
    return torch.stack([each.isfinite().all() for each in tensors]).all(), tensors[0].dtype


def _largest(strength: float | tuple[float, ...]) -> float:
    return max(strength, key=abs) if isinstance(strength, tuple) else strength


def _overflow(strengths: Mapping[Direction, Any], place: str, dtype: Any) -> StrengthError:
    precision = str(dtype).removeprefix("torch.")
    largest = {each.name: _largest(strength) for each, strength in strengths.items()}
    added = " and ".join(f"'{name}' at strength {strength:g}" for name, strength in largest.items() if strength)
    return StrengthError(
        f"Steered with {added}, the model's numbers stop being finite{place and ' in '}{place}, in {precision}.",
        "a strength that the model's precision can hold.",
        "a smaller strength" + (", or the model in bfloat16 or float32." if precision == "float16" else "."),
    )
