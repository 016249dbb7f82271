"""The VAE: 64 x 64 pixels to 4 x 16 x 16 latents and back, an ordinary diffusers AutoencoderKL."""

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional

from directrix.experiments.emoji_world.training.data import Renders, as_pixels, batches
from directrix.experiments.emoji_world.training.loop import Part, seeded, train
from directrix.progress import Progress, silent

KL_WEIGHT = 1e-6


def build(channels: tuple[int, ...] = (32, 64, 96), layers: int = 1) -> AutoencoderKL:
    """A VAE with random weights; each entry of ``channels`` after the first halves the resolution."""
    # diffusers declares one-tuples here and takes any.
    blocks: dict[str, Any] = {
        "down_block_types": ("DownEncoderBlock2D",) * len(channels),
        "up_block_types": ("UpDecoderBlock2D",) * len(channels),
        "block_out_channels": channels,
    }
    return AutoencoderKL(
        **blocks,
        layers_per_block=layers,
        latent_channels=4,
        norm_num_groups=16,
        sample_size=64,
        mid_block_add_attention=False,
    )


def _posterior(vae: AutoencoderKL, pixels: Tensor) -> Any:
    output: Any = vae.encode(pixels)
    return output.latent_dist


def _decoded(vae: AutoencoderKL, latents: Any) -> Tensor:
    output: Any = vae.decode(latents)
    return output.sample


def means(vae: AutoencoderKL, pixels: Tensor) -> Tensor:
    """Means of the latents, (N, 4, H / 4, W / 4), not yet scaled."""
    return _posterior(vae, pixels).mean


def _slopes(pictures: Tensor) -> tuple[Tensor, Tensor]:
    return pictures.diff(dim=-1), pictures.diff(dim=-2)


def loss(vae: AutoencoderKL, pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Absolute and squared error of pixels, absolute error of their slopes (edges), and a little KL."""
    posterior = _posterior(vae, pixels)
    mean, logvar = posterior.mean.float(), posterior.logvar.float()
    noise = torch.randn(mean.shape, generator=generator)
    decoded = _decoded(vae, mean + (0.5 * logvar).exp() * noise).float()
    error = decoded - pixels
    edges = sum(functional.l1_loss(a, b) for a, b in zip(_slopes(decoded), _slopes(pixels), strict=True))
    divergence = 0.5 * (mean**2 + logvar.exp() - 1 - logvar).sum(dim=(1, 2, 3)).mean()
    return error.abs().mean() + 2 * error.square().mean() + edges + KL_WEIGHT * divergence


def fit(vae: AutoencoderKL, data: Renders, part: Part, folder: Path, progress: Progress = silent) -> None:
    """Train the VAE on renders, in place, then set its scaling factor so that latents have unit size."""
    pick = batches(len(data), part.batch_size, part.seed)

    def step_loss(step: int) -> Tensor:
        pixels = as_pixels(data.images[pick(step)])
        with torch.autocast("cpu", torch.bfloat16):
            return loss(vae, pixels, seeded(part.seed, step))

    train(vae, step_loss, part.schedule, folder, "VAE", progress)
    with torch.no_grad():
        latents = means(vae, as_pixels(data.images[:512]))
    vae.register_to_config(scaling_factor=round(1.0 / float(latents.std()), 5))


def peak_signal_to_noise(vae: AutoencoderKL, images: Tensor, batch_size: int = 64) -> Tensor:
    """PSNR in dB of each image's reconstruction, (N,) on the CPU; ``images`` is uint8 (N, 3, H, W)."""
    values = []
    with torch.no_grad():
        for chunk in images.split(batch_size):
            pixels = as_pixels(chunk).to(vae.device)
            decoded = _decoded(vae, means(vae, pixels)).clamp(-1, 1)
            values.append(10 * torch.log10(4.0 / (decoded - pixels).square().mean(dim=(1, 2, 3))))
    return torch.cat(values).cpu()
