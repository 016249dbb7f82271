"""The conditional U-Net: trained on cached latents and cached text states, with caption dropout for guidance."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor
from torch.nn import functional
from transformers import CLIPTextModel, CLIPTokenizer

from directrix.experiments.emoji_world.caption import caption
from directrix.experiments.emoji_world.training.autoencoder import means
from directrix.experiments.emoji_world.training.clip import tokenize
from directrix.experiments.emoji_world.training.config import Part, shared
from directrix.experiments.emoji_world.training.data import Renders, as_pixels, batches
from directrix.experiments.emoji_world.training.loop import seeded
from directrix.progress import Progress, silent

CAPTION_DROPOUT = 0.1
# Steps with little noise teach little: their loss is weighed down where the signal exceeds the noise this many times.
SIGNAL_CAP = 5.0
# Colour is decided where there is much noise, and there errors of the image are small errors of the noise. A run may
# weigh them up by 1 + noise / signal, which is the loss of v, to this much at most.
NOISE_CAP = 10.0


def build(channels: tuple[int, ...], text_width: int) -> UNet2DConditionModel:
    """A U-Net with random weights for 4 x 16 x 16 latents."""
    unet = UNet2DConditionModel(
        down_block_types=("DownBlock2D",) * len(channels),
        up_block_types=("UpBlock2D",) * len(channels),
        block_out_channels=channels,
        cross_attention_dim=text_width,
        **shared("unet"),
    )
    # Plain attention: its backward pass is faster on a CPU than the fused one. It is no part of what is saved.
    unet.set_attn_processor(AttnProcessor())
    return unet


@dataclass(frozen=True)
class Pairs:
    """Latents (N, 4, 16, 16), and for each of them ``views`` rows of ``captions`` (indices (N, views))."""

    latents: Tensor
    caption_rows: Tensor
    states: Tensor
    empty: Tensor


@torch.no_grad()
def encode(
    data: Renders,
    vae: AutoencoderKL,
    text_encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    views: int,
    seed: int,
    progress: Progress = silent,
) -> Pairs:
    """Cache all that the U-Net sees: scaled latents, and text states (float16) of ``views`` captions of each scene."""
    latents = []
    with progress(len(data), "latents") as bar:
        for chunk in data.images.split(64):
            latents.append(means(vae, as_pixels(chunk)) * vae.config["scaling_factor"])
            bar.advance(len(chunk))
    rng = np.random.default_rng(seed)
    places: dict[str, int] = {}
    rows = [[places.setdefault(caption(scene, rng), len(places)) for _ in range(views)] for scene in data.scenes]
    texts, states = list(places), []
    with progress(len(texts), "text states") as bar:
        for start in range(0, len(texts), 256):
            ids = tokenize(tokenizer, texts[start : start + 256])
            states.append(text_encoder(ids).last_hidden_state.half())
            bar.advance(len(ids))
    empty = text_encoder(tokenize(tokenizer, [""])).last_hidden_state[0]
    return Pairs(torch.cat(latents), torch.tensor(rows), torch.cat(states), empty)


def loss(unet: UNet2DConditionModel, pairs: Pairs, part: Part, noisy: bool = False) -> Callable[[int], Tensor]:
    """Of a step: of the predicted noise (Ho et al. 2020), with min-SNR weights (Hang et al. 2023).

    noisy: weigh steps with much noise up; see ``NOISE_CAP``.
    """
    batch_size = part.batch_size
    pick = batches(len(pairs.latents), batch_size, part.seed)
    noise_schedule = DDPMScheduler(**shared("noise"))
    levels = noise_schedule.config["num_train_timesteps"]
    signal = noise_schedule.alphas_cumprod / (1 - noise_schedule.alphas_cumprod)
    weights = signal.clamp(max=SIGNAL_CAP) / signal
    if noisy:
        weights = weights * (1 + 1 / signal).clamp(max=NOISE_CAP)

    def of_step(step: int) -> Tensor:
        generator = seeded(part.seed, step)
        rows = pick(step)
        clean = pairs.latents[rows]
        view = torch.randint(pairs.caption_rows.shape[1], (batch_size,), generator=generator)
        states = pairs.states[pairs.caption_rows[rows, view]].float()
        dropped = torch.rand(batch_size, generator=generator) < CAPTION_DROPOUT
        states[dropped] = pairs.empty
        noise = torch.randn(clean.shape, generator=generator)
        # Stratified over the batch: every step sees all noise levels.
        spread = (torch.arange(batch_size) + torch.rand(batch_size, generator=generator)) / batch_size
        timesteps = (spread * levels).long()[torch.randperm(batch_size, generator=generator)]
        noisy = noise_schedule.add_noise(clean, noise, timesteps)
        with torch.autocast("cpu", torch.bfloat16):
            predicted: Any = unet(noisy, timesteps, states)
        error = functional.mse_loss(predicted.sample.float(), noise, reduction="none").mean(dim=(1, 2, 3))
        return (error * weights[timesteps]).mean()

    return of_step
