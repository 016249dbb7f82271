"""The noise of a diffusion model: how an image is noised, and what the denoiser should answer.

With ``a_t`` the scheduler's ``alphas_cumprod[t]``, ``x_0`` a clean latent and ``eps ~ N(0, I)``::

    x_t     = sqrt(a_t) x_0 + sqrt(1 - a_t) eps
    epsilon : target = eps
    v       : target = sqrt(a_t) eps - sqrt(1 - a_t) x_0

A flow-matching model has noise levels s in (0, 1] in place of a_t; those that its scheduler steps through are used::

    x_t     = (1 - s) x_0 + s eps
    target  = eps - x_0
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from directrix.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

PREDICTION_TYPES = ("epsilon", "v_prediction")
FLOW = "flow_prediction"


class Noising(Protocol):
    """How images are noised and what the denoiser should answer; x_0 of any shape (N, ...)."""

    @property
    def timesteps(self) -> int:
        """How many noise levels there are."""
        ...

    def noised(self, x_0: Tensor, timesteps: Tensor, noise: Tensor) -> Tensor:
        """x_t, from x_0 and noise of that shape and levels (N,) in [0, timesteps)."""
        ...

    def target(self, x_0: Tensor, timesteps: Tensor, noise: Tensor) -> Tensor:
        """What a perfect denoiser answers at the levels (N,)."""
        ...

    def model_times(self, timesteps: Tensor) -> Tensor:
        """The times that the denoiser is given at the levels (N,)."""
        ...


@dataclass(frozen=True)
class Schedule:
    """The training noise schedule of a model.

    alphas_cumprod: float32 of shape (T,), in (0, 1], one value per training timestep.
    prediction_type: "epsilon" or "v_prediction". Anything else raises ModelError.
    """

    alphas_cumprod: Tensor
    prediction_type: str

    def __post_init__(self) -> None:
        if self.prediction_type not in PREDICTION_TYPES:
            raise ModelError(
                f"The model predicts {self.prediction_type!r}.",
                f"one of {', '.join(PREDICTION_TYPES)}.",
                "the scheduler that the model came with, or method='difference', which noises nothing.",
            )

    @classmethod
    def of(cls, scheduler: Any, prediction_type: str) -> Schedule:
        """The schedule of a diffusers scheduler; ModelError if it has no ``alphas_cumprod``."""
        alphas_cumprod = getattr(scheduler, "alphas_cumprod", None)
        if alphas_cumprod is None:
            raise ModelError(
                f"The scheduler {type(scheduler).__name__} has no alphas_cumprod, so images can't be noised.",
                "a diffusion scheduler such as DDIM, PNDM, DPM-Solver++ or Euler.",
                "set pipeline.scheduler to one of these, or to the one that the model came with.",
            )
        return cls(alphas_cumprod.detach().float().cpu(), prediction_type)

    @property
    def timesteps(self) -> int:
        """How many training timesteps there are; t is in [0, timesteps)."""
        return len(self.alphas_cumprod)

    def noised(self, x_0: Tensor, timesteps: Tensor, noise: Tensor) -> Tensor:
        """x_t of shape (N, c, h, w), from x_0 and noise of that shape and timesteps (N,)."""
        signal, sigma = self._scales(timesteps, x_0)
        return signal * x_0 + sigma * noise

    def target(self, x_0: Tensor, timesteps: Tensor, noise: Tensor) -> Tensor:
        """What a perfect denoiser answers at x_t, shape (N, c, h, w)."""
        if self.prediction_type == "epsilon":
            return noise
        signal, sigma = self._scales(timesteps, x_0)
        return signal * noise - sigma * x_0

    def model_times(self, timesteps: Tensor) -> Tensor:
        """The timesteps themselves."""
        return timesteps

    def _scales(self, timesteps: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        alphas = self.alphas_cumprod.to(like.device)[timesteps].view(-1, *[1] * (like.ndim - 1))
        return alphas.sqrt(), (1 - alphas).sqrt()


@dataclass(frozen=True)
class FlowSchedule:
    """The noise levels that a flow-matching pipeline steps through.

    sigmas, times: float32 of shape (T,), the levels in (0, 1], and the time that the denoiser is given at each.
    """

    sigmas: Tensor
    times: Tensor

    @classmethod
    def of(cls, scheduler: Any, first_time: Tensor, reversed_clock: bool = False) -> FlowSchedule:
        """The levels of a scheduler that is at its first step, at which the denoiser was given ``first_time``.

        Raises ModelError where the denoiser's clock and the scheduler's have no plain relation.
        """
        steps = scheduler.timesteps.detach().float().cpu()
        sigmas = scheduler.sigmas.detach().float().cpu()[: len(steps)]
        length = float(scheduler.config.num_train_timesteps)
        first = float(first_time.flatten()[0])
        if reversed_clock:
            times, expected = 1 - steps / length, float(1 - steps[0] / length)
        else:
            # Some are given t, some t / T, some another multiple of it.
            times, expected = steps * (first / float(steps[0])), first
        if len(sigmas) < len(steps) or abs(first - expected) > 1e-2:
            raise ModelError(
                f"The denoiser was given {first:g} at the scheduler's first step {float(steps[0]):g}.",
                "a flow-matching scheduler whose steps the denoiser is given.",
                "method='difference' or method='trajectory', which noise nothing.",
            )
        return cls(sigmas, times)

    @property
    def timesteps(self) -> int:
        """How many levels there are."""
        return len(self.sigmas)

    def noised(self, x_0: Tensor, timesteps: Tensor, noise: Tensor) -> Tensor:
        """(1 - s) x_0 + s noise, of the shape of both; timesteps: places (N,) in the levels."""
        sigma = self.sigmas.to(x_0.device)[timesteps].view(-1, *[1] * (x_0.ndim - 1))
        return (1 - sigma) * x_0 + sigma * noise

    def target(self, x_0: Tensor, timesteps: Tensor, noise: Tensor) -> Tensor:
        """The velocity from image to noise, the same at all levels."""
        return noise - x_0

    def model_times(self, timesteps: Tensor) -> Tensor:
        """The time that the denoiser is given at each of the levels (N,)."""
        return self.times[timesteps]
