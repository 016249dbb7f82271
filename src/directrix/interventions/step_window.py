"""A window of the steps: whether the present one is steered.

Step i of the n that are drawn is steered if start <= i / n < stop; see `models.step_clock`.
"""

from __future__ import annotations

from directrix.models.denoiser_calls import DenoiserCall, Scope
from directrix.models.step_caches import forget


class StepWindow:
    """A window of the steps that a scope's calls belong to.

    Args:
        acts: whether anything is added within, so that caches must forget at its ends.

    whole: whether all steps are steered, so that none need be known.
    """

    def __init__(self, scope: Scope, start: float, stop: float, acts: bool = True) -> None:
        self.whole = start == 0 and stop == 1
        self._start, self._stop = start, stop
        self._scope = scope
        if acts and not self.whole:
            scope.watch(self._see)

    def open(self, call: DenoiserCall) -> bool:
        """Whether the call's step is steered; StrengthError where the step cannot be known."""
        return self.whole or self._start <= call.step.fraction < self._stop

    def _see(self, call: DenoiserCall) -> None:
        now = self.open(call)
        if self._scope.recall("window", lambda: now) != now:
            for network in self._scope.model.denoisers:
                forget(network)
        self._scope.remember("window", now)
