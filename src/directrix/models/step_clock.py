"""Which step a pipeline is at: one clock for a whole call of it.

Step i of the n that are drawn is the fraction i / n. Image-to-image draws the last part of the schedule only; its steps
are counted from its own first one. The clock is the pipeline's own loop over the timesteps of its scheduler, not what
the denoiser is given as the time, which some pipelines scale, turn round or round off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from directrix.errors import StrengthError

if TYPE_CHECKING:
    from torch import Tensor

    from directrix.models.steerable import SteerableModel

# Names of a loop's counter, of its present timestep and of all its timesteps in pipelines.
_COUNTERS = ("i", "index", "step_idx", "step", "j")
_NOW = ("t", "timestep", "t_sched")
_ALL = ("timesteps", "timesteps_tensor", "prior_timesteps_tensor", "decoder_timesteps_tensor", "timesteps_")


class Step(NamedTuple):
    """Step `index` of `count`, from 0. timestep: in the scheduler's units, a number or a tensor of one."""

    index: int
    count: int
    timestep: Any

    @property
    def fraction(self) -> float:
        """Of the drawn steps, in [0, 1)."""
        return self.index / self.count


class StepClock:
    """The steps of one call of a pipeline, or of somebody's own calls of the denoiser."""

    def __init__(self, model: SteerableModel) -> None:
        self._model = model
        self._all: Any = None
        self._places: list[int] = []
        self._last: Any = None
        self._passed = -1

    def now(self, values: Mapping[str, Any], given: Any) -> Step:
        """The present step.

        Args:
            values: the local variables of the pipeline's call; empty where somebody calls the denoiser itself.
            given: the time that the denoiser is given.

        Raises:
            StrengthError: it cannot be known.
        """
        timesteps = _first(values, _ALL)
        if timesteps is None:
            timesteps = getattr(getattr(self._model.pipeline, "scheduler", None), "timesteps", None)
        if timesteps is None or not len(timesteps):
            raise _unknown()
        if timesteps is not self._all:
            self._all, self._places = timesteps, _places(timesteps)
        counter = _first(values, _COUNTERS)
        current = _first(values, _NOW)
        if isinstance(counter, int) and current is not None and 0 <= counter < len(self._places):
            return self._step(self._places[counter], current)
        if current is not None:
            # A loop without a counter: another object is another timestep.
            if current is not self._last:
                self._last, self._passed = current, self._passed + 1
            return self._step(self._places[min(self._passed, len(self._places) - 1)], current)
        return self._by_value(given, exact=bool(values))

    def _step(self, place: int, timestep: Any) -> Step:
        return Step(place, self._places[-1] + 1, timestep)

    def _by_value(self, given: Any, exact: bool) -> Step:
        """The step of the scheduler whose time is next to the one that the denoiser is given.

        exact: whether it must be that time; a pipeline may give its denoiser another one.
        """
        import torch

        if given is None:
            raise _unknown()
        now = float(torch.as_tensor(given).flatten()[0])
        steps = torch.unique_consecutive(torch.as_tensor(self._all).detach().float().cpu())
        if exact and not bool((steps == now).any()):
            raise _unknown()
        return Step(int((steps - now).abs().argmin()), len(steps), now)


def _places(timesteps: Sequence[Any] | Tensor) -> list[int]:
    """Of each entry of the schedule the step that it belongs to: Heun's method and its like list a time twice."""
    import torch

    _, places = torch.unique_consecutive(torch.as_tensor(timesteps).detach().float().cpu(), return_inverse=True)
    return places.tolist()


def _first(values: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((values[name] for name in names if values.get(name) is not None), None)


def _unknown() -> StrengthError:
    return StrengthError(
        "The present step is not known, so the window of steps cannot be kept.",
        "a pipeline with a scheduler whose timesteps are set.",
        "start=0.0, stop=1.0.",
    )
