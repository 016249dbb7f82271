"""One call of a denoiser that a guider announced: directions are added in it, and in no other call.

The edits are opened before the call. Only the function that announced it, the pipeline's loop of steps, may make it:
a call without this function on the stack (another thread's, or one after an exception that nobody cleaned up) is left
alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from weakref import finalize

from diffusers.hooks import HookRegistry, ModelHook

from directrix.directions.direction import Direction
from directrix.directions.part import Part
from directrix.errors import StrengthError
from directrix.interventions.affine import Removal, remove
from directrix.interventions.compatibility import fitted, rows_at_site
from directrix.interventions.finite import check_addition
from directrix.interventions.steering import Steering, parts_by_site
from directrix.models import activations
from directrix.models.branches import row_count
from directrix.models.denoiser_calls import by_name
from directrix.models.image_tokens import ImageTokens
from directrix.models.steerable import SteerableModel

if TYPE_CHECKING:
    from torch import Tensor, nn


class _Seen(NamedTuple):
    """What is known of the call once it is made: the rows of its batch, and its image's tokens."""

    rows: int
    tokens: ImageTokens


class GuidedCall:
    """The call.

    Args:
        branch: the one that the call is about. guided: whether the step has another one, too.
        loop: the frame that announced the call.
        fraction: of the steps, before this one.
    """

    def __init__(
        self,
        steering: Steering,
        model: SteerableModel,
        branch: str,
        guided: bool,
        loop: FrameType,
        fraction: float = 0.0,
    ) -> None:
        self._steering, self._model, self._fraction = steering, model, fraction
        self._branch, self._guided = branch, guided
        # Not the frame, which would retain all that its function has. A later one may have its id, or its code.
        self._loop = id(loop), loop.f_code
        self._seen: _Seen | None = None
        self._stack = ExitStack()
        self._unused: Any = None

    @property
    def happened(self) -> bool:
        """Whether the denoiser was called."""
        return self._seen is not None

    def open(self, batch: Any, failed: Callable[[], None]) -> None:
        """Opens the edits. They are closed by `close`, or when the loop is gone, with which the batch goes.

        Args:
            failed: called when the denoiser's call raises.
        """
        strengths, scope = self._steering.strengths, cast(Any, self)
        with ExitStack() as stack:
            stack.enter_context(activations.before_call(self._model, self._see))
            for site, parts in parts_by_site(strengths).items():
                stack.enter_context(activations.edit(self._model, site, partial(self._added, parts), scope))
            # In a compiled model this would be another graph.
            if not self._model.compiled:
                stack.enter_context(_hooked(self._model.denoiser, _Watch(self, failed)))
            self._stack = stack.pop_all()
        if batch is not None:
            self._unused = finalize(batch, self._stack.close)
            self._unused.atexit = False

    def close(self) -> None:
        """Leaves nothing behind."""
        if self._unused is not None:
            self._unused.detach()
        self._stack.close()

    def is_present(self) -> bool:
        """Whether the code that runs was called by the loop."""
        frame: Any = sys._getframe()
        while frame is not None and (id(frame), frame.f_code) != self._loop:
            frame = frame.f_back
        return frame is not None

    def now(self) -> _Seen | None:
        """What `activations.edit` asks of a scope."""
        return self._seen if self.is_present() else None

    def _see(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        if self.is_present():
            network = self._model.denoiser
            arguments = by_name(network, args, kwargs)
            self._seen = _Seen(row_count(next(iter(arguments.values()))), ImageTokens(network, arguments))

    def _added(self, parts: Sequence[tuple[Direction, Part]], h: Tensor) -> Tensor | None:
        """h with the directions added; None where there is nothing to add."""
        seen, result = self.now(), None
        removals: list[Removal] = []
        if seen is None:
            return None
        for each, part in parts:
            strength = self._steering.strengths[each]
            rows = self._steering.rows(each, part, seen.rows, self._guided, self._branch)
            if rows is None:
                continue
            rows = rows_at_site(rows, h) * part.weight(self._fraction)
            tensor = fitted(each.name, part, h)
            check_addition(float(rows.abs().max()) * tensor, each, strength, h.dtype)
            places = rows.nonzero().flatten()
            factors = rows[places].to(h.device).reshape(-1, *[1] * (h.ndim - 1))
            # The product is rounded once, to the model's own precision. Rows of strength 0 keep their bits.
            addition = (factors * tensor.to(h.device)).to(h.dtype)
            result = h.clone() if result is None else result
            result[places.to(h.device)] += addition
            if part.projection is not None:
                removals.append(Removal(places.to(h.device), rows[places], part.projection))
        if result is not None:
            remove(result, h, removals)
        if result is not None and not bool(result.isfinite().all()) and bool(h.isfinite().all()):
            raise StrengthError(
                f"Steered with '{self._steering.name}', the activations are not finite in {h.dtype}.",
                "a strength that the model's precision can hold.",
                "a smaller strength, or load the model in float32 or bfloat16.",
            )
        return result


class _Watch(ModelHook):
    """Sees when the call raises."""

    def __init__(self, call: GuidedCall, failed: Callable[[], None]) -> None:
        super().__init__()
        self._call, self._failed = call, failed

    def new_forward(self, _module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        forward: Any = self.fn_ref.original_forward
        try:
            return forward(*args, **kwargs)
        except BaseException:
            if self._call.is_present():
                self._failed()
            raise


@contextmanager
def _hooked(module: nn.Module, hook: ModelHook) -> Iterator[None]:
    """Registers a hook as diffusers does. Nothing is left behind: its registry would leave itself and `forward`."""
    before = set(vars(module))
    registry, name = HookRegistry.check_if_exists_or_initialize(module), f"directrix_{id(hook)}"
    registry.register_hook(hook, name)
    try:
        yield
    finally:
        registry.remove_hook(name, recurse=False)
        if not registry.hooks:
            for each in {"forward", "_diffusers_hook"} & set(vars(module)) - before:
                delattr(module, each)
