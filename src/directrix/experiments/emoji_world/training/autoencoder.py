"""The VAE: 64 x 64 pixels to 4 x 16 x 16 latents and back, an ordinary diffusers AutoencoderKL."""

from collections.abc import Callable
from typing import Any

import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional

from directrix.experiments.emoji_world.training.config import Part, shared
from directrix.experiments.emoji_world.training.data import Renders, as_pixels, batches
from directrix.experiments.emoji_world.training.loop import precision, seeded

KL_WEIGHT = 1e-6


def build(channels: tuple[int, ...]) -> AutoencoderKL:
    """A VAE with random weights; each entry of ``channels`` after the first halves the resolution."""
    # diffusers declares one-tuples for blocks and takes any.
    blocks: dict[str, Any] = {"block_out_channels": channels}
    blocks["down_block_types"] = ("DownEncoderBlock2D",) * len(channels)
    blocks["up_block_types"] = ("UpDecoderBlock2D",) * len(channels)
    return AutoencoderKL(**blocks, **shared("vae"))


def means(vae: Any, pixels: Tensor) -> Tensor:
    """Means of the latents, (N, 4, H / 4, W / 4), not yet scaled."""
    return vae.encode(pixels).latent_dist.mean


def loss(vae: Any, data: Renders, part: Part) -> Callable[[int], Tensor]:
    """Of a step: absolute and squared error of pixels, absolute error of their slopes (edges), and a little KL."""
    pick = batches(len(data), part.batch_size, part.seed)

    def of_step(step: int) -> Tensor:
        pixels = as_pixels(data.images[pick(step)])
        with precision(pixels.device):
            posterior = vae.encode(pixels).latent_dist
            mean, logvar = posterior.mean.float(), posterior.logvar.float()
            generator = seeded(part.seed, step, mean.device)
            noise = torch.randn(mean.shape, generator=generator, device=mean.device)
            decoded = vae.decode(mean + (0.5 * logvar).exp() * noise).sample.float()
            error = decoded - pixels
            edges = sum(functional.l1_loss(decoded.diff(dim=side), pixels.diff(dim=side)) for side in (-1, -2))
            divergence = 0.5 * (mean**2 + logvar.exp() - 1 - logvar).sum(dim=(1, 2, 3)).mean()
            return error.abs().mean() + 2 * error.square().mean() + edges + KL_WEIGHT * divergence

    return of_step


def decoder_loss(vae: Any, data: Renders, part: Part) -> Callable[[int], Tensor]:
    """Of a step of the decoder alone: mostly squared error, so that small dark faces stay sharp.

    Half of it is the logarithm of each image's error, which is what PSNR averages: plain images count as much as busy
    ones. The encoder is frozen, so denoisers that were trained on its latents stay valid.
    """
    pick = batches(len(data), part.batch_size, part.seed)

    def of_step(step: int) -> Tensor:
        pixels = as_pixels(data.images[pick(step)])
        with torch.no_grad():
            latents = vae.encode(pixels).latent_dist.sample(seeded(part.seed, step, pixels.device))
        error = vae.decode(latents).sample - pixels
        edges = sum(error.diff(dim=side).abs().mean() for side in (-1, -2))
        squared = error.square().mean(dim=(1, 2, 3))
        return (4 * squared + 0.01 * (squared + 1e-5).log()).mean() + 0.1 * (error.abs().mean() + edges)

    return of_step


@torch.no_grad()
def set_scale(vae: AutoencoderKL, data: Renders) -> None:
    """Set the factor that gives latents unit size."""
    latents = means(vae, as_pixels(data.images[:512]))
    vae.register_to_config(scaling_factor=round(1.0 / float(latents.std()), 5))


@torch.no_grad()
def peak_signal_to_noise(vae: Any, images: Tensor, batch_size: int = 64) -> Tensor:
    """PSNR in dB of each image's reconstruction, (N,) on the CPU; ``images`` is uint8 (N, 3, H, W)."""
    values = []
    for chunk in images.split(batch_size):
        pixels = as_pixels(chunk).to(vae.device)
        decoded = vae.decode(means(vae, pixels)).sample.clamp(-1, 1)
        values.append(10 * torch.log10(4.0 / (decoded - pixels).square().mean(dim=(1, 2, 3))))
    return torch.cat(values).cpu()
