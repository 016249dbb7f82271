"""The images that a discovery learns from, as latents.

Drawn by the pipeline itself and kept as it leaves them before decoding: that is the x_0 the denoiser
works on, already scaled, with no decoding, image file and encoding between.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from directrix.discovery.checkpoint import interrupted
from directrix.discovery.pipeline_calls import Drawing, quiet
from directrix.discovery.rng import generator
from directrix.errors import ModelError
from directrix.progress import silent

if TYPE_CHECKING:
    from torch import Tensor

    from directrix.concept import Concept, PromptPair
    from directrix.discovery.checkpoint import Checkpoint
    from directrix.progress import Progress


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
    evaluations: how often an image went through the denoiser to make them; seconds: how long that took.
    """

    latents: Tensor
    concept: Tensor
    pair: Tensor
    pairs: tuple[PromptPair, ...]
    evaluations: int = 0
    seconds: float = 0.0

    def __len__(self) -> int:
        return len(self.latents)


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


def collect(
    pipeline: Any,
    concepts: Sequence[Concept],
    images: int,
    *,
    guidance_scale: float,
    num_inference_steps: int,
    seed: int = 0,
    neutral_fraction: float = 0.0,
    batch_size: int = 8,
    checkpoint: Checkpoint | None = None,
    progress: Progress | None = None,
    call: Mapping[str, Any] | None = None,
) -> Samples:
    """Draws the images of ``plan(concepts, images, neutral_fraction)``, ``batch_size`` at a time.

    An image's noise depends on the seed, its prompts and its number only, so a concept gets the same images
    alone and beside others. ``call`` is for the pipeline's own call. Chunks found in the checkpoint are not drawn
    again. Raises InterruptedRun on Ctrl-C, and ModelError if an image isn't finite.
    """
    report = progress or silent
    drawing = Drawing(pipeline, guidance_scale, num_inference_steps, call or {})
    draws = plan(concepts, images, neutral_fraction)
    chunks = [draws[i : i + batch_size] for i in range(0, len(draws), batch_size)]
    latents: list[Tensor] = []
    evaluations, seconds = 0, 0.0
    try:
        with quiet(pipeline), report(len(draws), "Drawing images") as bar:
            for index, chunk in enumerate(chunks):
                name = f"latents-{index:05d}"
                retained = checkpoint.load(name) if checkpoint else None
                if retained is None:
                    started = time.perf_counter()
                    drawn = _draw(drawing, chunk, seed)
                    # Some schedulers run one step more than asked for; their timesteps tell.
                    passes = len(pipeline.scheduler.timesteps) * (2 if drawing.halved else 1) * len(chunk)
                    retained = ({"latents": drawn}, {"evaluations": passes, "seconds": time.perf_counter() - started})
                    if checkpoint:
                        checkpoint.save(name, retained[0], **retained[1])
                latents.append(retained[0]["latents"])
                evaluations += retained[1]["evaluations"]
                seconds += retained[1]["seconds"]
                bar.advance(len(chunk))
    except KeyboardInterrupt:
        doing = f"drawing images ({sum(map(len, latents)):,} of {len(draws):,} done)"
        raise interrupted(doing, checkpoint) from None
    return Samples(
        torch.cat(latents),
        torch.tensor([draw.concept for draw in draws]),
        torch.tensor([draw.pair for draw in draws]),
        tuple(pair for concept in concepts for pair in concept.pairs),
        evaluations,
        seconds,
    )


def _draw(drawing: Drawing, draws: Sequence[Draw], seed: int) -> Tensor:
    told = [place for place, draw in enumerate(draws) if draw.negative]
    if 0 < len(told) < len(draws) and drawing.pipeline.config.get("force_zeros_for_empty_prompt"):
        # Where nothing is told as zeros (SDXL), beside a negative prompt it would be told as an empty one.
        others = [place for place in range(len(draws)) if place not in told]
        parts = [_draw(drawing, [draws[place] for place in places], seed) for places in (told, others)]
        return torch.cat(parts)[torch.tensor([*told, *others]).argsort()]
    negatives = [draw.negative or "" for draw in draws]
    latents = drawing.draw(
        [draw.prompt for draw in draws],
        [generator(seed, "image", d.prompt, d.negative or "", d.number) for d in draws],
        negatives if any(negatives) else None,
    )
    if not torch.isfinite(latents).all():
        raise ModelError(
            f"The model drew images that are not finite numbers, for {draws[0].prompt!r}.",
            "finite latents.",
            "load the model in float32 or bfloat16 (half precision overflows on some models).",
        )
    return latents.float().cpu()
