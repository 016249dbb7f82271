"""The noise of a diffusion model: how an image is noised, and what the denoiser should answer.

With ``a_t`` the scheduler's ``alphas_cumprod[t]``, ``x_0`` a clean latent and ``eps ~ N(0, I)``::

    x_t     = sqrt(a_t) x_0 + sqrt(1 - a_t) eps
    epsilon : target = eps
    v       : target = sqrt(a_t) eps - sqrt(1 - a_t) x_0
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from directrix.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

PREDICTION_TYPES = ("epsilon", "v_prediction")


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
                "a model of the Stable Diffusion 1 or 2 family.",
            )

    @classmethod
    def of(cls, scheduler: Any, prediction_type: str) -> Schedule:
        """The schedule of a diffusers scheduler; ModelError if it has no ``alphas_cumprod``."""
        alphas_cumprod = getattr(scheduler, "alphas_cumprod", None)
        if alphas_cumprod is None:
            raise ModelError(
                f"The scheduler {type(scheduler).__name__} has no alphas_cumprod, so images can't be noised.",
                "a diffusion scheduler such as DDIM, PNDM, DPM-Solver++ or Euler.",
                "set pipeline.scheduler to one of these; flow-matching models are not supported here.",
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

    def _scales(self, timesteps: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        alphas = self.alphas_cumprod.to(like.device)[timesteps].view(-1, *[1] * (like.ndim - 1))
        return alphas.sqrt(), (1 - alphas).sqrt()
