"""What both denoisers learn from: latents of renders, with captions of the scenes that they show."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from transformers import CLIPTokenizer

from directrix.experiments.emoji_world.caption import caption
from directrix.experiments.emoji_world.training.autoencoder import means
from directrix.experiments.emoji_world.training.clip import tokenize
from directrix.experiments.emoji_world.training.config import Fit
from directrix.experiments.emoji_world.training.data import Renders, as_pixels, batches
from directrix.experiments.emoji_world.training.loop import seeded
from directrix.progress import Progress, silent

# Guidance needs a denoiser that knows the empty caption too.
CAPTION_DROPOUT = 0.1


@dataclass(frozen=True)
class Pairs:
    """Scaled latents (N, 4, 16, 16), token ids (N, views, length) of captions of each, and ids (length,) of none."""

    latents: Tensor
    captions: Tensor
    empty: Tensor


class Batch(NamedTuple):
    """What one step sees: latents and noise (B, 4, 16, 16), token ids (B, length), and where chance comes from."""

    latents: Tensor
    captions: Tensor
    noise: Tensor
    generator: torch.Generator


@torch.no_grad()
def encode(
    data: Renders, vae: AutoencoderKL, tokenizer: CLIPTokenizer, views: int, seed: int, progress: Progress = silent
) -> Pairs:
    """All that a denoiser sees of renders, with ``views`` captions of each scene."""
    latents = []
    with progress(len(data), "latents") as bar:
        for chunk in data.images.split(64):
            latents.append(means(vae, as_pixels(chunk)) * vae.config["scaling_factor"])
            bar.advance(len(chunk))
    rng = np.random.default_rng(seed)
    ids = tokenize(tokenizer, [caption(scene, rng) for scene in data.scenes for _ in range(views)])
    return Pairs(torch.cat(latents), ids.unflatten(0, (-1, views)), tokenize(tokenizer, [""])[0])


def joined(parts: Sequence[Pairs]) -> Pairs:
    """All of them as one."""
    latents, captions = (torch.cat([getattr(part, name) for part in parts]) for name in ("latents", "captions"))
    return Pairs(latents, captions, parts[0].empty)


def drawn(pairs: Pairs, fit: Fit) -> Callable[[int], Batch]:
    """A function from a step's number to its batch."""
    pick = batches(len(pairs.latents), fit.batch_size, fit.seed)
    device, size = pairs.latents.device, fit.batch_size

    def of_step(step: int) -> Batch:
        generator = seeded(fit.seed, step, device)
        rows = pick(step).to(device)
        views = torch.randint(pairs.captions.shape[1], (size,), generator=generator, device=device)
        dropped = torch.rand((size, 1), generator=generator, device=device) < CAPTION_DROPOUT
        captions = torch.where(dropped, pairs.empty, pairs.captions[rows, views])
        latents = pairs.latents[rows]
        noise = torch.randn(latents.shape, generator=generator, device=device)
        return Batch(latents, captions, noise, generator)

    return of_step
