"""Training of the judge, on renders and on renders that were degraded as a generator's images are."""

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from directrix.experiments.emoji_world.training.data import Renders, as_pixels, batches
from directrix.experiments.emoji_world.training.loop import Part, seeded, train
from directrix.measurement.judges.emoji_network import HEADS, JudgeNetwork
from directrix.progress import Progress, silent


def targets(data: Renders) -> dict[str, Tensor]:
    """Class indices of every head, (N,) each; where a scene has no such attribute, the last class ("none") is right."""
    return {
        head: torch.tensor([_index(names, scene.labels()[head]) for scene in data.scenes])
        for head, names in HEADS.items()
    }


def _index(names: tuple[str, ...], label: str | None) -> int:
    return names.index("none" if label is None else label)


def degrade(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Blur, coarser pixels, noise, shifts of colour, contrast and place, each by chance; (N, 3, H, W) in -1..1."""

    def chance(share: float) -> bool:
        return bool(torch.rand((), generator=generator) < share)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(shape, generator=generator)

    count, _, height, width = pixels.shape
    if chance(0.4):
        small = int(uniform(0.4, 0.8).item() * height)
        pixels = functional.interpolate(pixels, size=(small, small), mode="bilinear", antialias=True)
        pixels = functional.interpolate(pixels, size=(height, width), mode="bicubic")
    if chance(0.4):
        sigma = float(uniform(0.4, 1.2))
        reach = torch.arange(-3, 4)
        kernel = torch.exp(-0.5 * (reach / sigma) ** 2)
        kernel = (kernel[:, None] * kernel[None, :] / kernel.sum() ** 2).expand(3, 1, 7, 7)
        pixels = functional.conv2d(functional.pad(pixels, (3, 3, 3, 3), mode="replicate"), kernel, groups=3)
    if chance(0.5):
        pixels = pixels * uniform(0.75, 1.2, count, 1, 1, 1) + uniform(-0.12, 0.12, count, 3, 1, 1)
    if chance(0.4):
        coarse = torch.randn((count, 3, height // 4, width // 4), generator=generator)
        pixels = pixels + functional.interpolate(coarse, size=(height, width), mode="bilinear") * float(
            uniform(0, 0.25)
        )
    if chance(0.5):
        pixels = pixels + torch.randn(pixels.shape, generator=generator) * float(uniform(0.02, 0.2))
    if chance(0.7):
        across, down = (int(step) for step in torch.randint(-4, 5, (2,), generator=generator))
        pixels = torch.roll(functional.pad(pixels, (4, 4, 4, 4), mode="replicate"), (down, across), (2, 3))
        pixels = pixels[:, :, 4:-4, 4:-4]
    return pixels.clamp(-1, 1)


def fit(network: JudgeNetwork, data: Renders, part: Part, folder: Path, progress: Progress = silent) -> None:
    """Train the judge in place; three batches in four are degraded."""
    pick = batches(len(data), part.batch_size, part.seed)
    wanted = targets(data)

    def step_loss(step: int) -> Tensor:
        indices = pick(step)
        generator = seeded(part.seed, step)
        pixels = as_pixels(data.images[indices])
        if step % 4:
            pixels = degrade(pixels, generator)
        with torch.autocast("cpu", torch.bfloat16):
            scores = network(pixels)
        return sum(
            (
                functional.cross_entropy(scores[head].float(), wanted[head][indices], label_smoothing=0.02)
                for head in HEADS
            ),
            start=torch.zeros(()),
        )

    train(network, step_loss, part.schedule, folder, "judge", progress)
