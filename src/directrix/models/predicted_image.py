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

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from directrix.errors import MismatchError
from directrix.models import hooks
from directrix.models.denoiser_calls import DenoiserCall, Scope
from directrix.models.steerable import SteerableModel

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor


@contextmanager
def looked_at(
    scope: Scope, now: Callable[[], DenoiserCall | None], see: Callable[[list[Image.Image]], None]
) -> Iterator[None]:
    """Within, `see` is shown the images that the denoiser predicts, once all branches of guidance have answered.

    now: the present call where it is to be looked at.

    Raises:
        MismatchError: a compiled denoiser; or, while drawing, one whose latents nothing here can make pixels of.
    """
    if scope.model.compiled:
        raise MismatchError(
            "The denoiser is compiled, and shows nobody what it answers.",
            "a denoiser that is not compiled.",
            "probes in place of a judge's look: directrix fit-probe --closed-loop.",
        )
    with ExitStack() as stack:
        for network in scope.model.denoisers:
            stack.enter_context(hooks.after_call(network, partial(_look, scope, now, see)))
        yield


def _look(
    scope: Scope, now: Callable[[], DenoiserCall | None], see: Callable[[list[Image.Image]], None], answer: Any
) -> None:
    call, model = scope.now(), scope.model
    if call is None:
        return
    state = next(iter(call.arguments.values()))
    given = answer[0] if isinstance(answer, tuple) else getattr(answer, "sample", answer)
    if not hasattr(state, "shape") or not hasattr(given, "shape"):
        raise MismatchError(
            f"{model.name} gives its denoiser lists, so none of its images can be looked at half-way.",
            "latents in one tensor.",
            "probes: directrix fit-probe --closed-loop.",
        )
    # Said of the first step, before a half of the others is made for nothing.
    _check_layout(model, state.ndim, min(state.shape[1], given.shape[1]))
    call = now()
    if call is None:
        return
    guided, layout = call.layout
    parts = layout.split("-") if guided else ["conditional"]
    answers: dict[str, Tensor] = scope.recall("answers", dict)
    answers |= dict(zip(parts, given.split(len(given) // len(parts)), strict=True))
    if len(answers) == 1 + guided:
        latents = clean_latents(model, call, state[: len(state) // len(parts)], guided_answer(model, answers))
        see(decoded(model, latents))


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
    _check_layout(model, latents.ndim, latents.shape[1])
    vae = pipeline.vae
    config = vae.config
    latents = latents / config.scaling_factor + (getattr(config, "shift_factor", None) or 0.0)
    images: list[Image.Image] = []
    with torch.no_grad():
        # One at a time, so that no image's bits depend on its batch.
        for each in latents.to(vae.dtype).split(1):
            pixels = vae.decode(each, return_dict=False)[0]
            images += pipeline.image_processor.postprocess(pixels.detach(), output_type="pil")
    return images


def _check_layout(model: SteerableModel, dimensions: int, channels: int) -> None:
    config = getattr(getattr(model.pipeline, "vae", None), "config", None)
    if dimensions != 4 or getattr(config, "latent_channels", None) != channels:
        raise MismatchError(
            f"{model.name} packs its latents, so none of its images can be looked at half-way.",
            "a pipeline whose decoder takes its latents as they are, as in Stable Diffusion 1 to 3.",
            "probes: directrix fit-probe --closed-loop.",
        )
