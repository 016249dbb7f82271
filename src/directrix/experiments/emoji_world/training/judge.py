"""Training of the judges, on renders and on renders that were degraded as a generator's images are."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

from directrix.experiments.emoji_world.training.config import Part
from directrix.experiments.emoji_world.training.data import Renders, as_pixels, batches
from directrix.experiments.emoji_world.training.loop import precision, seeded
from directrix.measurement.judges.emoji_network import HEADS, JudgeNetwork
from directrix.measurement.judges.emoji_strided_network import StridedNetwork


def targets(data: Renders) -> dict[str, Tensor]:
    """Class indices of every head, (N,) each; where a scene has no such attribute, the last class ("none") is right."""
    labels, device = [scene.labels() for scene in data.scenes], data.images.device
    return {
        head: torch.tensor([names.index(row[head] or "none") for row in labels], device=device)
        for head, names in HEADS.items()
    }


def errors(scores: Mapping[str, Tensor], wanted: Mapping[str, Tensor], rows: Tensor, smoothing: float) -> list[Tensor]:
    """The cross entropy of each head in some rows of ``wanted``."""
    return [
        functional.cross_entropy(scores[head].float(), wanted[head][rows], label_smoothing=smoothing) for head in HEADS
    ]


def degrade(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Blur, coarser pixels, noise, shifts of colour, contrast and place, each by chance; (N, 3, H, W) in -1..1."""

    def chance(share: float) -> bool:
        return bool(torch.rand((), generator=generator, device=device) < share)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(shape, generator=generator, device=device)

    device = pixels.device
    count, _, height, width = pixels.shape
    if chance(0.4):
        small = int(uniform(0.4, 0.8).item() * height)
        pixels = functional.interpolate(pixels, size=(small, small), mode="bilinear", antialias=True)
        pixels = functional.interpolate(pixels, size=(height, width), mode="bicubic")
    if chance(0.4):
        sigma = float(uniform(0.4, 1.2))
        reach = torch.arange(-3, 4, device=device)
        kernel = torch.exp(-0.5 * (reach / sigma) ** 2)
        kernel = (kernel[:, None] * kernel[None, :] / kernel.sum() ** 2).expand(3, 1, 7, 7)
        pixels = functional.conv2d(functional.pad(pixels, (3, 3, 3, 3), mode="replicate"), kernel, groups=3)
    if chance(0.5):
        pixels = pixels * uniform(0.75, 1.2, count, 1, 1, 1) + uniform(-0.12, 0.12, count, 3, 1, 1)
    if chance(0.4):
        coarse = torch.randn((count, 3, height // 4, width // 4), generator=generator, device=device)
        smooth = functional.interpolate(coarse, size=(height, width), mode="bilinear")
        pixels = pixels + smooth * float(uniform(0, 0.25))
    if chance(0.5):
        pixels = pixels + torch.randn(pixels.shape, generator=generator, device=device) * float(uniform(0.02, 0.2))
    if chance(0.7):
        across, down = (int(step) for step in torch.randint(-4, 5, (2,), generator=generator, device=device))
        pixels = torch.roll(functional.pad(pixels, (4, 4, 4, 4), mode="replicate"), (down, across), (2, 3))
        pixels = pixels[:, :, 4:-4, 4:-4]
    return pixels.clamp(-1, 1)


def loss(network: JudgeNetwork, data: Renders, part: Part) -> Callable[[int], Tensor]:
    """Of a step: the errors of all heads; three batches in four are degraded."""
    pick = batches(len(data), part.batch_size, part.seed)
    wanted = targets(data)

    def of_step(step: int) -> Tensor:
        rows = pick(step)
        pixels = as_pixels(data.images[rows])
        if step % 4:
            pixels = degrade(pixels, seeded(part.seed, step, pixels.device))
        with precision(pixels.device):
            scores = network(pixels)
        return sum(errors(scores, wanted, rows, 0.02), start=torch.zeros(()))

    return of_step


def varied(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Half of the images mirrored, more or less colour in each, and all quarters but the first degraded, each anew."""
    flips = torch.rand((len(pixels), 1, 1, 1), generator=generator, device=pixels.device) < 0.5
    pixels = torch.where(flips, pixels.flip(3), pixels)
    grey = pixels.mean(dim=1, keepdim=True)
    colour = 0.8 + 0.4 * torch.rand(flips.shape, generator=generator, device=pixels.device)
    pixels = grey + (pixels - grey) * colour
    first, *others = pixels.chunk(4)
    return torch.cat([first.clamp(-1, 1), *(degrade(each, generator) for each in others)])


def second_judge_loss(network: StridedNetwork, data: Renders, part: Part) -> Callable[[int], Tensor]:
    """Of a step: the errors of all heads on varied images."""
    pick, wanted = batches(len(data), part.batch_size, part.seed), targets(data)

    def of_step(step: int) -> Tensor:
        rows = pick(step)
        scores = network(varied(as_pixels(data.images[rows]), seeded(part.seed, step, data.images.device)))
        return sum(errors(scores, wanted, rows, 0.05), start=torch.zeros(()))

    return of_step


def settled(network: StridedNetwork, data: Renders, part: Part) -> StridedNetwork:
    """The trained network as it is shipped, its normalisation measured on 40 batches and folded away."""
    pick, seed, device = batches(len(data), part.batch_size, part.seed + 1), part.seed + 1, data.images.device
    network.settle([varied(as_pixels(data.images[pick(step)]), seeded(seed, step, device)) for step in range(40)])
    return network.folded()
