"""A window of the steps: it follows the denoiser's calls, and knows which step this is and whether it is steered.

Step i of the scheduler's n timesteps is steered if start <= i / n < stop.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from directrix.errors import StrengthError
from directrix.models.steerable import SteerableModel


class StepWindow:
    """The present step.

    open: whether it is steered. fraction: i / n. timestep: in the scheduler's units; None before the first call that
    was seen. whole: whether all steps are steered, so that no call need be seen.
    """

    def __init__(self, model: SteerableModel, start: float, stop: float) -> None:
        self.whole = start == 0 and stop == 1
        self.open = self.whole
        self.fraction = 0.0
        self.timestep: float | None = None
        self._model = SteerableModel.of(model)
        self._start, self._stop = start, stop

    def see(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Takes note of the arguments of a call of the denoiser; StrengthError where the step cannot be known."""
        timestep = kwargs.get("timestep", args[1] if len(args) > 1 else None)
        self.fraction = self._fraction(timestep)
        self.open = self._start <= self.fraction < self._stop

    def _fraction(self, timestep: Any) -> float:
        import torch

        scheduler = getattr(self._model.pipeline, "scheduler", None)
        steps = getattr(scheduler, "timesteps", None)
        if timestep is None or steps is None or not len(steps):
            raise StrengthError(
                "The present step is not known, so the window of steps cannot be kept.",
                "a pipeline with a scheduler whose timesteps are set.",
                "start=0.0, stop=1.0.",
            )
        now = float(torch.as_tensor(timestep).flatten()[0])
        # Heun's method and its like ask twice within a step; both times are listed.
        steps = torch.unique_consecutive(torch.as_tensor(steps).detach().float().cpu())
        known = bool((steps == now).any())
        if not known and now <= 1 < float(steps.max()) and hasattr(self._model.pipeline, "transformer"):
            # Flow transformers are given the time in [0, 1].
            now *= float(getattr(scheduler.config, "num_train_timesteps", 1000))  # pyright: ignore
            if self._model.reversed_clock:
                now = float(getattr(scheduler.config, "num_train_timesteps", 1000)) - now  # pyright: ignore
        self.timestep = now
        return int((steps - now).abs().argmin()) / len(steps)
