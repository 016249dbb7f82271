"""Images that a discovery learns from, as latents, which are noised to states.

Drawn by the pipeline itself and left as they are before decoding: that is the x_0 the denoiser works on, already
scaled, with no decoding, image file and encoding between.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from directrix.discovery.checkpoint import NOWHERE, Checkpoint
from directrix.discovery.environment import generator
from directrix.discovery.frozen_denoiser import Batch, FrozenDenoiser, as_maps
from directrix.discovery.pipeline_calls import PipelineCall, quiet
from directrix.progress import Progress, silent

if TYPE_CHECKING:
    from torch import Tensor

    from directrix.concept import Concept, PromptPair
    from directrix.discovery.noise_schedule import Schedule

# How many images the size of the site's output is measured on.
SITE_IMAGES = 16


@dataclass(frozen=True)
class Draw:
    """One image to draw: for which concept and pair, from which prompts, and its number among those."""

    concept: int
    pair: int
    prompt: str
    negative: str | None
    number: int


@dataclass(frozen=True)
class Samples:
    """Images of N draws.

    latents: float32 (N, c, h, w), or (N, tokens, c) where the model packs them, on the CPU, on the scale that the
        denoiser works on.
    concept, pair: int64 (N,), the place of each image's concept, and of its prompt pair in ``pairs``.
    schedule: how they are noised.
    evaluations: how often an image went through the denoiser to make them; seconds: how long that took.
    """

    latents: Tensor
    concept: Tensor
    pair: Tensor
    pairs: tuple[PromptPair, ...]
    schedule: Schedule
    evaluations: int = 0
    seconds: float = 0.0

    def __len__(self) -> int:
        return len(self.latents)

    def batch(self, step: int, size: int, seed: int) -> Batch:
        """Images at levels t ~ U{0, ..., T-1} of their own. Images come in epochs, each in an order of its own."""
        n = len(self)
        orders: dict[int, Tensor] = {}
        rows = []
        for place in range(step * size, (step + 1) * size):
            epoch = place // n
            if epoch not in orders:
                orders[epoch] = torch.randperm(n, generator=generator(seed, "epoch", epoch))
            rows.append(int(orders[epoch][place % n]))
        x_0 = self.latents[rows]
        source = generator(seed, "step", step)
        levels = torch.randint(len(self.schedule), (size,), generator=source)
        noise = torch.randn(x_0.shape, generator=source)
        x_t = self.schedule.noised(x_0, levels, noise)
        return Batch(x_0, noise, self.schedule.times[levels], x_t, self.concept[rows], self.pair[rows])

    def site_output(self, denoiser: FrozenDenoiser, seed: int) -> tuple[tuple[int, int, int], float]:
        """Shape (C, H, W) and root mean square of the site's output under the neutral prompts, on a few images."""
        batch = self.batch(0, min(SITE_IMAGES, len(self)), seed)
        neutral = denoiser.encode([self.pairs[i].neutral for i in batch.pair.tolist()])
        h = denoiser.raw_output(batch.x_t, batch.timesteps, neutral)
        _, channels, height, width = as_maps(h).shape
        return (channels, height, width), float(h.square().mean().sqrt())


def plan(concepts: Sequence[Concept], images: int, neutral_fraction: float = 0.0) -> list[Draw]:
    """The draws: ``images`` for each concept, dealt round its prompt pairs.

    neutral_fraction in [0, 1]: this share of them is drawn from the neutral prompt instead of the target.
    """
    draws: list[Draw] = []
    first_pair = 0
    for c, concept in enumerate(concepts):
        counts: dict[tuple[str, str | None], int] = {}
        for i in range(images):
            turn, p = divmod(i, len(concept.pairs))
            pair = concept.pairs[p]
            # A pair's image is neutral when its running share passes a whole number; pairs start staggered.
            share = turn * neutral_fraction + p / len(concept.pairs) + 1e-9
            neutral = int(share + neutral_fraction) > int(share)
            words = (pair.neutral, None) if neutral else (pair.target, pair.negative)
            number = counts[words] = counts.get(words, -1) + 1
            draws.append(Draw(c, first_pair + p, *words, number))
        first_pair += len(concept.pairs)
    return draws


def draw_samples(
    call: PipelineCall,
    concepts: Sequence[Concept],
    images: int,
    schedule: Schedule,
    *,
    neutral_fraction: float = 0.0,
    seed: int = 0,
    batch_size: int = 8,
    checkpoint: Checkpoint = NOWHERE,
    progress: Progress = silent,
) -> Samples:
    """Draws the images of ``plan(concepts, images, neutral_fraction)``, ``batch_size`` at a time.

    A concept gets the same images alone and beside others. Batches found in the checkpoint are not drawn again. Raises
    InterruptedRun on Ctrl-C, and ModelError if an image isn't finite.
    """
    draws = plan(concepts, images, neutral_fraction)
    saved: list[tuple[dict[str, Tensor], dict[str, Any]]] = []
    with (
        checkpoint.interruptible(lambda: f"drawing images ({len(saved) * batch_size:,} of {len(draws):,} done)"),
        quiet(call.model.pipeline),
        progress(len(draws), "Drawing images") as bar,
    ):
        for first in range(0, len(draws), batch_size):
            chunk, name = draws[first : first + batch_size], f"latents-{len(saved):05d}"
            contents = checkpoint.load(name)
            if contents is None:
                started = time.perf_counter()
                latents = _draw(call, chunk, seed)
                # Some schedulers run one step more than asked for; their timesteps tell.
                passes = len(call.model.scheduler.timesteps) * (2 if call.guided else 1) * len(chunk)
                contents = {"latents": latents}, {"evaluations": passes, "seconds": time.perf_counter() - started}
                checkpoint.save(name, contents[0], **contents[1])
            saved.append(contents)
            bar.advance(len(chunk))
    return Samples(
        torch.cat([tensors["latents"] for tensors, _ in saved]),
        torch.tensor([draw.concept for draw in draws]),
        torch.tensor([draw.pair for draw in draws]),
        tuple(pair for concept in concepts for pair in concept.pairs),
        schedule,
        sum(facts["evaluations"] for _, facts in saved),
        sum(facts["seconds"] for _, facts in saved),
    )


def _draw(call: PipelineCall, draws: Sequence[Draw], seed: int) -> Tensor:
    negated = [place for place, draw in enumerate(draws) if draw.negative]
    if 0 < len(negated) < len(draws) and call.model.pipeline.config.get("force_zeros_for_empty_prompt"):
        # Where no negative prompt is given as zeros (SDXL), beside another one it would be given as an empty text.
        others = [place for place in range(len(draws)) if place not in negated]
        parts = [_draw(call, [draws[place] for place in places], seed) for places in (negated, others)]
        return torch.cat(parts)[torch.tensor([*negated, *others]).argsort()]
    negatives = [draw.negative or "" for draw in draws]
    prompts, numbers = [draw.prompt for draw in draws], [draw.number for draw in draws]
    return call.latents(prompts, numbers, seed, negatives if any(negatives) else None).float().cpu()
