"""The image that a pipeline is on its way to, as its denoiser predicts it at one step.

With w the guidance scale and a_t the scheduler's `alphas_cumprod`, where the denoiser answers eps, v or a flow's v::

    answer  = answer_u + w (answer_c - answer_u)
    epsilon : x_0 = (x_t - sqrt(1 - a_t) eps) / sqrt(a_t)      (DDIM, Song et al. 2021, equation 12)
    v       : x_0 = sqrt(a_t) x_t - sqrt(1 - a_t) v            (Salimans and Ho 2022, appendix D)
    flow    : x_0 = x_t - sigma_t v

What the denoiser is given is x_t in this scale, whichever way the scheduler counts. The pipeline's own decoder makes
pixels of it. That is one pass of a decoder an image, and none of the denoiser.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from directrix.errors import MismatchError
from directrix.models.denoiser_calls import DenoiserCall
from directrix.models.steerable import SteerableModel

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor


def guided_answer(model: SteerableModel, branches: dict[str, Tensor]) -> Tensor:
    """What the branches of guidance say together, of their answers (N, ...) by name; the conditional one's if alone."""
    conditional, unconditional = branches["conditional"].float(), branches.get("unconditional")
    scale = getattr(model.pipeline, "guidance_scale", None)
    if unconditional is None or not isinstance(scale, int | float):
        return conditional
    return unconditional.float() + scale * (conditional - unconditional.float())


def clean_latents(model: SteerableModel, call: DenoiserCall, state: Tensor, answer: Tensor) -> Tensor:
    """x_0, float32 (N, ...), from what the denoiser was given of N images, and what it answered to that."""
    scheduler = model.scheduler
    time = float(call.step.timestep)
    # Some also answer how sure they are, and some are given a mask too, in further channels.
    channels = min(state.shape[1], answer.shape[1])
    state, answer = state[:, :channels].float(), answer[:, :channels]
    alphas = getattr(scheduler, "alphas_cumprod", None)
    if alphas is None:
        times = scheduler.timesteps
        sigma = float(scheduler.sigmas[int((times.float() - time).abs().argmin())])
        return state - sigma * (-answer if model.reversed_clock else answer)
    a = float(alphas[round(time)])
    signal, sigma = a**0.5, (1 - a) ** 0.5
    kind = scheduler.config.prediction_type
    if kind == "v_prediction":
        return signal * state - sigma * answer
    return answer if kind == "sample" else (state - sigma * answer) / signal


def decoded(model: SteerableModel, latents: Tensor) -> list[Image.Image]:
    """Images of latents (N, C, H, W), as the pipeline's decoder makes them.

    Raises:
        MismatchError: a pipeline without a decoder that takes its latents as they are.
    """
    import torch

    pipeline: Any = model.pipeline
    vae = getattr(pipeline, "vae", None)
    if latents.ndim != 4 or getattr(getattr(vae, "config", None), "latent_channels", None) != latents.shape[1]:
        raise MismatchError(
            f"{model.name} packs its latents, so none of its images can be looked at half-way.",
            "a pipeline whose decoder takes its latents as they are, as in Stable Diffusion 1 to 3.",
            "probes: directrix fit-probe --closed-loop.",
        )
    assert vae is not None
    config = vae.config
    latents = latents / config.scaling_factor + (getattr(config, "shift_factor", None) or 0.0)
    images: list[Image.Image] = []
    with torch.no_grad():
        # One at a time, so that no image's bits depend on its batch.
        for each in latents.to(vae.dtype).split(1):
            pixels = vae.decode(each, return_dict=False)[0]
            images += pipeline.image_processor.postprocess(pixels.detach(), output_type="pil")
    return images
