"""The model's own trajectories: the inputs of its denoiser, and the outputs of its site, while it draws.

No images are stored or noised. The pipeline draws the neutral prompts as it always does, and the denoiser's inputs are
recorded on the way: states that it really meets, at the noise levels that it really meets them at. Both branches of
guidance run there anyway, so the site's output under the neutral and the empty prompt costs nothing more.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from directrix.discovery.checkpoint import Checkpoint
from directrix.discovery.environment import generator
from directrix.discovery.pipeline_calls import PipelineCall, quiet
from directrix.discovery.problem import Batch
from directrix.discovery.record_trajectory import Recording
from directrix.progress import Progress, silent

if TYPE_CHECKING:
    from torch import Tensor

    from directrix.concept import Concept, PromptPair
    from directrix.discovery.frozen_denoiser import FrozenDenoiser
    from directrix.models.identity import Site


@dataclass(frozen=True)
class Trajectories:
    """M neutral prompts, N trajectories of each, S steps.

    states: float32 (M, N, S, c, h, w), or (M, N, S, tokens, c), on the CPU, as the denoiser is given them;
        timesteps: (S,), as it is given them.
    neutral, empty: float32 (M, S, C, H, W), the site's output in the conditional and the unconditional branch, mean
        over the N, and over the image's tokens as (C, 1, 1) where there are some; without guidance there is no
        unconditional branch, and ``empty`` is the same as ``neutral``.
    pairs: the prompt pairs of all concepts, in order; concept, prompt: each pair's concept, and its neutral prompt's
        place in M.
    prompts: the M prompts; retained: places among them of prompts that only stand for what must not change.
    size: root mean square of the site's output in the conditional branch.
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

    def site_output(self, denoiser: FrozenDenoiser, seed: int) -> tuple[tuple[int, int, int], float]:
        """Shape (C, H, W) and root mean square of the site's output, as recorded."""
        channels, height, width = self.neutral.shape[-3:]
        return (channels, height, width), self.size

    def batch(self, step: int, size: int, seed: int) -> Batch:
        """States of the pairs in turn, trajectories by chance, steps stratified over the batch."""
        source = generator(seed, "step", step)
        number, steps = self.states.shape[1:3]
        pair = torch.arange(step * size, (step + 1) * size) % len(self.pairs)
        image = torch.randint(number, (size,), generator=source)
        spread = (torch.arange(size) + torch.rand(size, generator=source)) / size
        at = (spread * steps).long().clamp(max=steps - 1)[torch.randperm(size, generator=source)]
        prompt = torch.tensor(self.prompt)[pair]
        return self._batch(prompt, image, at, torch.tensor(self.concept)[pair], pair)

    def retained_batch(self, step: int, size: int, seed: int) -> Batch:
        """States of the prompts that must not change; ``pair`` is the prompt's place, ``concept`` each in turn."""
        source = generator(seed, "kept", step)
        number, steps = self.states.shape[1:3]
        places = torch.arange(step * size, (step + 1) * size)
        prompt = torch.tensor(self.retained)[places % len(self.retained)]
        concept = places // len(self.retained) % (max(self.concept) + 1)
        image = torch.randint(number, (size,), generator=source)
        at = torch.randint(steps, (size,), generator=source)
        return self._batch(prompt, image, at, concept, prompt)

    def _batch(self, prompt: Tensor, image: Tensor, at: Tensor, concept: Tensor, pair: Tensor) -> Batch:
        nothing = torch.zeros(0)
        return Batch(nothing, nothing, self.timesteps[at], self.states[prompt, image, at], concept, pair)


def record_trajectories(
    call: PipelineCall,
    sites: Sequence[Site],
    concepts: Sequence[Concept],
    images: int,
    *,
    retain: Sequence[str] = (),
    seed: int = 0,
    batch_size: int = 8,
    checkpoint: Checkpoint | None = None,
    progress: Progress = silent,
) -> list[Trajectories]:
    """Draws ``images`` images of each concept's neutral prompts and records the way; a prompt's pairs share it.

    The concept with the most neutral prompts shares ``images`` out among them, and every prompt of the run gets as
    many, at least one. A trajectory depends on the seed, its prompt and its number only.

    sites: one or several; the states are the same for all, and are drawn once. retain: prompts that must not change;
    their trajectories are recorded too. checkpoint: for one site only.

    Returns what was recorded at each site. Raises InterruptedRun on Ctrl-C, ModelError where the model's states are not
    finite, SiteError where the site's output is neither (C, H, W) nor (tokens, C).
    """
    checkpoint = checkpoint or Checkpoint()
    pairs = tuple(pair for concept in concepts for pair in concept.pairs)
    prompts = list(dict.fromkeys([*(pair.neutral for pair in pairs), *retain]))
    most = max(len({pair.neutral for pair in concept.pairs}) for concept in concepts)
    images = max(1, images // most)
    found: list[Recording] = []
    with (
        checkpoint.interruptible(lambda: f"recording '{prompts[min(len(found), len(prompts) - 1)]}'"),
        quiet(call.model.pipeline),
        progress(len(prompts) * images, "Recording trajectories") as bar,
    ):
        for index, prompt in enumerate(prompts):
            name = f"trajectory-{index:05d}"
            saved = checkpoint.load(name)
            if saved is not None:
                recording = Recording.of(sites, *saved)
                bar.advance(images)
            else:
                recording = Recording(sites)
                started = time.perf_counter()
                for first in range(0, images, batch_size):
                    numbers = range(first, min(first + batch_size, images))
                    recording.draw(call, prompt, numbers, seed)
                    bar.advance(len(numbers))
                recording.seconds = time.perf_counter() - started
                if checkpoint.folder:
                    tensors, facts = recording.contents()
                    checkpoint.save(name, tensors, **facts)
            found.append(recording)
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
            tuple(prompts.index(prompt) for prompt in dict.fromkeys(retain)),
            (sum(each.square for each in of_site) / len(of_site)) ** 0.5,
            sum(each.evaluations for each in found),
            sum(each.seconds for each in found),
        )
        for of_site in outputs
    ]
