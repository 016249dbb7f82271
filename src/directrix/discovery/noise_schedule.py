"""The noise of a diffusion model: how an image is noised, and what the denoiser should answer.

With ``x_0`` a clean latent and ``eps ~ N(0, I)``, at each level t::

    x_t = signal_t x_0 + sigma_t eps

A diffusion model has signal_t = sqrt(a_t) and sigma_t = sqrt(1 - a_t), with ``a_t`` its scheduler's
``alphas_cumprod[t]``; a flow-matching model has signal_t = 1 - s_t and sigma_t = s_t at the noise levels s_t in (0, 1]
that its scheduler steps through. The answers are::

    epsilon : target = eps
    v       : target = signal_t eps - sigma_t x_0
    flow    : target = eps - x_0
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from directrix.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

PREDICTION_TYPES = ("epsilon", "v_prediction")
FLOW = "flow_prediction"


@dataclass(frozen=True)
class Schedule:
    """The noise levels of a model.

    signal, sigma: float32 (T,); times: (T,), the time that the denoiser is given at each level.
    prediction_type: "epsilon", "v_prediction" or "flow_prediction".
    """

    signal: Tensor
    sigma: Tensor
    times: Tensor
    prediction_type: str

    @classmethod
    def of(cls, scheduler: Any, prediction_type: str) -> Schedule:
        """The training schedule of a diffusers scheduler; ModelError if it has no ``alphas_cumprod``."""
        alphas_cumprod = getattr(scheduler, "alphas_cumprod", None)
        if alphas_cumprod is None:
            raise ModelError(
                f"The scheduler {type(scheduler).__name__} has no alphas_cumprod, so images can't be noised.",
                "a diffusion scheduler such as DDIM, PNDM, DPM-Solver++ or Euler.",
                "set pipeline.scheduler to one of these, or to the one that the model came with.",
            )
        return cls.of_alphas(alphas_cumprod.detach().float().cpu(), prediction_type)

    @classmethod
    def of_alphas(cls, alphas_cumprod: Tensor, prediction_type: str) -> Schedule:
        """From float32 (T,), in (0, 1], one value per training timestep; ModelError for another prediction type."""
        import torch

        if prediction_type not in PREDICTION_TYPES:
            raise ModelError(
                f"The model predicts {prediction_type!r}.",
                f"one of {', '.join(PREDICTION_TYPES)}.",
                "the scheduler that the model came with, or method='difference', which noises nothing.",
            )
        times = torch.arange(len(alphas_cumprod))
        return cls(alphas_cumprod.sqrt(), (1 - alphas_cumprod).sqrt(), times, prediction_type)

    @classmethod
    def of_flow(cls, scheduler: Any, first_time: Tensor, reversed_clock: bool = False) -> Schedule:
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
        return cls(1 - sigmas, sigmas, times, FLOW)

    def __len__(self) -> int:
        return len(self.times)

    def noised(self, x_0: Tensor, levels: Tensor, noise: Tensor) -> Tensor:
        """x_t, from x_0 (N, ...), noise of that shape and levels (N,) in [0, T)."""
        signal, sigma = self._at(levels, x_0)
        return signal * x_0 + sigma * noise

    def target(self, x_0: Tensor, levels: Tensor, noise: Tensor) -> Tensor:
        """What a perfect denoiser answers at x_t, of the shape of x_0; a flow's is the same at all levels."""
        if self.prediction_type != "v_prediction":
            return noise if self.prediction_type == "epsilon" else noise - x_0
        signal, sigma = self._at(levels, x_0)
        return signal * noise - sigma * x_0

    def _at(self, levels: Tensor, like: Tensor) -> tuple[Tensor, ...]:
        shape = (-1, *[1] * (like.ndim - 1))
        return tuple(each.to(like.device)[levels].view(shape) for each in (self.signal, self.sigma))
