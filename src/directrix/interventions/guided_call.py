"""One call of a denoiser that a guider announced: directions are added in it, and in no other call.

The edits are opened before the call. Only the function that announced it, the pipeline's loop of steps, may make it:
a call without this function on the stack (another thread's, or one after an exception that nobody cleaned up) is left
alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any
from weakref import finalize

from diffusers.hooks import HookRegistry, ModelHook

from directrix.directions.direction import Direction
from directrix.directions.strength import expand
from directrix.errors import StrengthError
from directrix.interventions.compatibility import fitted
from directrix.interventions.steering import Steering
from directrix.models import activations
from directrix.models.steerable import SteerableModel

if TYPE_CHECKING:
    from torch import Tensor, nn


class GuidedCall:
    """The call.

    happened: whether the denoiser was called; taken for granted where it is compiled.

    Args:
        branch: the one that the call is about. guided: whether the step has another one, too.
        loop: the frame that announced the call.
    """

    def __init__(self, steering: Steering, model: SteerableModel, branch: str, guided: bool, loop: FrameType) -> None:
        self.happened = model.compiled
        self._steering, self._model = steering, model
        self._branch, self._guided = branch, guided
        # Not the frame, which would retain all that its function has. A later one may have its id, or its code.
        self._loop = id(loop), loop.f_code
        self._stack = ExitStack()
        self._unused: Any = None

    def open(self, batch: Any, failed: Callable[[], None]) -> None:
        """Opens the edits. They are closed by `close`, or when the loop is gone, with which the batch goes.

        Args:
            failed: called when the denoiser's call raises.
        """
        steering = self._steering
        with ExitStack() as stack:
            for site in dict.fromkeys(each.site for each in steering.strengths):
                directions = [each for each in steering.strengths if each.site == site]
                stack.enter_context(activations.edit(self._model, site, partial(self._added, directions)))
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

    def _added(self, directions: Sequence[Direction], h: Tensor) -> Tensor | None:
        """h with the directions added; None where there is nothing to add."""
        if not self.is_present():
            return None
        result = None
        for each in directions:
            strength, branch = self._steering.strengths[each], self._steering.branch
            rows = expand(strength, h.shape[0], self._guided, branch, self._branch)
            if rows is None:
                continue
            places = rows.nonzero().flatten()
            factors = rows[places].to(h.device).reshape(-1, *[1] * (h.ndim - 1))
            result = h.clone() if result is None else result
            # Rows of strength 0 keep their bits; the product is rounded once, to the model's own precision.
            result[places.to(h.device)] += (factors * fitted(each, h).to(h.device)).to(h.dtype)
            if not bool(result.isfinite().all()) and bool(h.isfinite().all()):
                raise StrengthError(
                    f"The direction '{each.name}' at strength {strength} makes activations that are not finite.",
                    f"values that {h.dtype} can hold.",
                    "a smaller strength.",
                )
        return result


class _Watch(ModelHook):
    """Sees that the call is made, and when it raises."""

    def __init__(self, call: GuidedCall, failed: Callable[[], None]) -> None:
        super().__init__()
        self._call, self._failed = call, failed

    def new_forward(self, _module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        forward: Any = self.fn_ref.original_forward
        if not self._call.is_present():
            return forward(*args, **kwargs)
        self._call.happened = True
        try:
            return forward(*args, **kwargs)
        except BaseException:
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
