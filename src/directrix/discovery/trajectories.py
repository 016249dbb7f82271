"""The model's own trajectories: what its denoiser is asked, and what its site answers, while it draws.

No images are kept or noised. The pipeline draws the neutral prompts as it always does, and the denoiser's inputs are
recorded on the way: states that it really meets, at the noise levels that it really meets them at. Both halves of
guidance answer there anyway, so the site's output under the neutral and the empty prompt costs nothing more.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from directrix.discovery.checkpoint import interrupted
from directrix.discovery.pipeline_calls import Drawing, quiet
from directrix.discovery.record_trajectory import Recording
from directrix.progress import silent

if TYPE_CHECKING:
    from torch import Tensor

    from directrix.concept import Concept, PromptPair
    from directrix.discovery.checkpoint import Checkpoint
    from directrix.discovery.frozen_denoiser import FrozenDenoiser
    from directrix.models.identity import Site
    from directrix.progress import Progress


@dataclass(frozen=True)
class Trajectories:
    """M neutral prompts, N trajectories of each, S steps.

    states: float32 (M, N, S, c, h, w), or (M, N, S, tokens, c), on the CPU, as the denoiser is given them;
        timesteps: (S,), as it is told them.
    neutral, empty: float32 (M, S, C, H, W), the site's output in the conditional and the unconditional half, mean over
        the N, and over the image's tokens as (C, 1, 1) where there are some; without guidance there is no
        unconditional half, and ``empty`` is the same as ``neutral``.
    pairs: the prompt pairs of all concepts, in order; concept, prompt: each pair's concept, and its neutral prompt's
        place in M.
    prompts: the M prompts; kept: places among them of prompts that only stand for what must not change.
    size: root mean square of the site's output in the conditional half.
    evaluations: how often a state went through the denoiser to make them; seconds: how long that took.
    """

    states: Tensor
    timesteps: Tensor
    neutral: Tensor
    empty: Tensor
    pairs: tuple[PromptPair, ...]
    concept: tuple[int, ...]
    prompt: tuple[int, ...]
    prompts: tuple[str, ...] = ()
    retained: tuple[int, ...] = ()
    size: float = 0.0
    evaluations: int = 0
    seconds: float = 0.0

    def __len__(self) -> int:
        return self.states.shape[0] * self.states.shape[1]


def follow(
    pipeline: Any,
    denoiser: FrozenDenoiser,
    concepts: Sequence[Concept],
    images: int,
    *,
    guidance_scale: float,
    num_inference_steps: int,
    keep: Sequence[str] = (),
    seed: int = 0,
    batch_size: int = 8,
    checkpoint: Checkpoint | None = None,
    progress: Progress | None = None,
    call: Mapping[str, Any] | None = None,
) -> Trajectories:
    """Draws ``images`` pictures of each concept's neutral prompts and records the way; a prompt's pairs share it.

    call: for the pipeline's own call. keep: prompts that must not change; they are followed too. The concept with
    the most neutral prompts shares ``images`` out among them, and every prompt of the run gets as many, at least one.

    A trajectory depends on the seed, its prompt and its number only. Raises InterruptedRun on Ctrl-C, ModelError where
    the model's states are not finite, SiteError where the site's output is neither (C, H, W) nor
    (tokens, C).
    """
    drawing = Drawing(pipeline, guidance_scale, num_inference_steps, call or {})
    sites = [denoiser.site]
    return _followed(pipeline, sites, drawing, concepts, images, keep, seed, batch_size, checkpoint, progress)[0]


def follow_at(
    pipeline: Any, sites: Sequence[Site], drawing: Drawing, concepts: Sequence[Concept], images: int, seed: int
) -> list[Trajectories]:
    """As `follow`, for several sites at once: one for each, of the same states, which are drawn once."""
    return _followed(pipeline, sites, drawing, concepts, images, seed=seed)


def _followed(
    pipeline: Any,
    sites: Sequence[Site],
    drawing: Drawing,
    concepts: Sequence[Concept],
    images: int,
    keep: Sequence[str] = (),
    seed: int = 0,
    batch_size: int = 8,
    checkpoint: Checkpoint | None = None,
    progress: Progress | None = None,
) -> list[Trajectories]:
    """What `follow` finds at each of the sites; with a checkpoint there is one site."""
    pairs = tuple(pair for concept in concepts for pair in concept.pairs)
    neutral = list(dict.fromkeys(pair.neutral for pair in pairs))
    prompts = [*neutral, *(prompt for prompt in dict.fromkeys(keep) if prompt not in neutral)]
    most = max(len({pair.neutral for pair in concept.pairs}) for concept in concepts)
    images = max(1, images // most)
    report = progress or silent
    found: list[Recording] = []
    try:
        with quiet(pipeline), report(len(prompts) * images, "Following") as bar:
            for index, prompt in enumerate(prompts):
                name = f"trajectory-{index:05d}"
                retained = checkpoint.load(name) if checkpoint else None
                if retained is None:
                    recording = Recording(sites)
                    started = time.perf_counter()
                    for first in range(0, images, batch_size):
                        numbers = range(first, min(first + batch_size, images))
                        recording.draw(pipeline, prompt, numbers, seed, drawing)
                        bar.advance(len(numbers))
                    recording.seconds = time.perf_counter() - started
                    if checkpoint:
                        tensors, facts = recording.retained()
                        checkpoint.save(name, tensors, **facts)
                else:
                    recording = Recording.of(sites, *retained)
                    bar.advance(images)
                found.append(recording)
    except KeyboardInterrupt:
        at = prompts[min(len(found), len(prompts) - 1)]
        raise interrupted(f"following '{at}'", checkpoint) from None
    states = torch.stack([torch.cat(each.states) for each in found])
    outputs = [[each.outputs[place] for each in found] for place in range(len(sites))]
    return [
        Trajectories(
            states,
            found[0].timesteps,
            torch.stack([each.neutral / images for each in of_site]),
            torch.stack([each.empty / images for each in of_site]),
            pairs,
            tuple(c for c, concept in enumerate(concepts) for _ in concept.pairs),
            tuple(prompts.index(pair.neutral) for pair in pairs),
            tuple(prompts),
            tuple(prompts.index(prompt) for prompt in dict.fromkeys(keep)),
            (sum(each.square for each in of_site) / len(of_site)) ** 0.5,
            sum(each.evaluations for each in found),
            sum(each.seconds for each in found),
        )
        for of_site in outputs
    ]
