"""The U-Net of `emoji`, built as Stable Diffusion's, which predicts the noise of noised latents."""

from collections.abc import Callable
from typing import Any

import torch
from diffusers import DDPMScheduler, UNet2DConditionModel
from torch import Tensor
from torch.nn import functional
from transformers import CLIPTextModelWithProjection

from directrix.experiments.emoji_world.training.config import Fit, shared
from directrix.experiments.emoji_world.training.loop import precision
from directrix.experiments.emoji_world.training.pairs import Pairs, drawn

# Steps with little noise teach little: their loss is weighed down where the signal exceeds the noise this many times.
SIGNAL_CAP = 5.0


def build(channels: tuple[int, ...], text_width: int) -> UNet2DConditionModel:
    """A U-Net with random weights for 4 x 16 x 16 latents, whose words enter at every level but the deepest."""
    return UNet2DConditionModel(block_out_channels=channels, cross_attention_dim=text_width, **shared("unet"))


def loss(
    unet: UNet2DConditionModel, words: CLIPTextModelWithProjection, pairs: Pairs, fit: Fit
) -> Callable[[int], Tensor]:
    """Of a step: of the predicted noise (Ho et al. 2020), with min-SNR weights (Hang et al. 2023)."""
    batch_of, device = drawn(pairs, fit), pairs.latents.device
    signal_scale = DDPMScheduler(**shared("noise")).alphas_cumprod.to(device)
    signal = signal_scale / (1 - signal_scale)
    weights = signal.clamp(max=SIGNAL_CAP) / signal

    def of_step(step: int) -> Tensor:
        clean, captions, noise, generator = batch_of(step)
        with torch.no_grad():
            states = words(captions).last_hidden_state
        # Stratified over the batch: every step sees all noise levels. A batch's order is chance already.
        spread = torch.arange(len(clean), device=device) + torch.rand(len(clean), generator=generator, device=device)
        timesteps = (spread / len(clean) * len(signal)).long()
        share = signal_scale[timesteps][:, None, None, None]
        noised = (share.sqrt() * clean + (1 - share).sqrt() * noise).contiguous(memory_format=torch.channels_last)
        with precision(device):
            predicted: Any = unet(noised, timesteps, states)
        error = functional.mse_loss(predicted.sample.float(), noise, reduction="none").mean(dim=(1, 2, 3))
        return (error * weights[timesteps]).mean()

    return of_step
