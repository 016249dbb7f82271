"""The VAE: 64 x 64 pixels to 6 x 16 x 16 latents and back, an ordinary diffusers AutoencoderKL.

It learns with 4 channels first, since few of them are learned quickly, then with 6, which keep the faces crisp.
"""

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional

from directrix.progress import Progress, silent
from directrix.world.training.data import Renders, as_pixels, batches
from directrix.world.training.loop import Schedule, seeded, train

KL_WEIGHT = 1e-6


def build(
    channels: tuple[int, ...] = (32, 64, 96), latent_channels: int = 4, layers: int = 1
) -> AutoencoderKL:
    """A VAE with random weights; each entry of ``channels`` after the first halves the resolution."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * len(channels),
        up_block_types=("UpDecoderBlock2D",) * len(channels),
        block_out_channels=channels,
        layers_per_block=layers,
        latent_channels=latent_channels,
        norm_num_groups=16,
        sample_size=64,
        mid_block_add_attention=False,
    )


@torch.no_grad()
def widen(vae: AutoencoderKL, channels: tuple[int, ...], latent_channels: int) -> AutoencoderKL:
    """A VAE with more latent channels that starts as this one: the new channels begin near silence."""
    wide = build(channels, latent_channels)
    old, new = vae.state_dict(), wide.state_dict()
    before, after = vae.config["latent_channels"], latent_channels
    # Means come first, then log variances.
    moments = [*range(before), *range(after, after + before)]
    places = {
        "encoder.conv_out": (moments, None),
        "quant_conv": (moments, moments),
        "post_quant_conv": (list(range(before)), list(range(before))),
        "decoder.conv_in": (None, list(range(before))),
    }
    for name, value in old.items():
        layer, _, kind = name.rpartition(".")
        rows, columns = places.get(layer, (None, None))
        if rows is None and columns is None:
            new[name].copy_(value)
            continue
        new[name].mul_(0.1)
        target = new[name] if rows is None else new[name][rows]
        if kind == "weight" and columns is not None:
            target[:, columns] = value
        else:
            target = value
        if rows is None:
            new[name].copy_(target)
        else:
            new[name][rows] = target
    return wide


def _posterior(vae: AutoencoderKL, pixels: Tensor) -> Any:
    output: Any = vae.encode(pixels)
    return output.latent_dist


def _decoded(vae: AutoencoderKL, latents: Tensor) -> Tensor:
    output: Any = vae.decode(latents)
    return output.sample


def means(vae: AutoencoderKL, pixels: Tensor) -> Tensor:
    """Means of the latents, (N, C, H / 4, W / 4), not yet scaled."""
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


def fit(
    vae: AutoencoderKL,
    data: Renders,
    schedule: Schedule,
    batch_size: int,
    seed: int,
    folder: Path,
    progress: Progress = silent,
) -> None:
    """Train the VAE on renders, in place, then set its scaling factor so that latents have unit size."""
    pick = batches(len(data), batch_size, seed)

    def step_loss(step: int) -> Tensor:
        pixels = as_pixels(data.images[pick(step)])
        with torch.autocast("cpu", torch.bfloat16):
            return loss(vae, pixels, seeded(seed, step))

    train(vae, step_loss, schedule, folder, "VAE", progress)
    with torch.no_grad():
        latents = means(vae, as_pixels(data.images[:512]))
    vae.register_to_config(scaling_factor=round(1.0 / float(latents.std()), 5))


def peak_signal_to_noise(vae: AutoencoderKL, images: Tensor, batch_size: int = 64) -> Tensor:
    """PSNR in dB of each picture's reconstruction; ``images`` is uint8 (N, 3, H, W)."""
    values = []
    with torch.no_grad():
        for chunk in images.split(batch_size):
            pixels = as_pixels(chunk)
            decoded = _decoded(vae, means(vae, pixels)).clamp(-1, 1)
            values.append(10 * torch.log10(4.0 / (decoded - pixels).square().mean(dim=(1, 2, 3))))
    return torch.cat(values)
