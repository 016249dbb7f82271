"""The model's own trajectories: the inputs of its denoiser, and the outputs of its site, while it draws.

No images are stored or noised. The pipeline draws the neutral prompts as it always does, and the denoiser's inputs are
recorded on the way: states that it really meets, at the noise levels that it really meets them at. Both branches of
guidance run there anyway, so the site's output under the neutral and the empty prompt costs nothing more.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from directrix.discovery.checkpoint import NOWHERE, Checkpoint
from directrix.discovery.environment import generator
from directrix.discovery.frozen_denoiser import Batch, FrozenDenoiser, as_maps, check_output
from directrix.discovery.pipeline_calls import PipelineCall, check_finite, quiet
from directrix.models import activations
from directrix.models.denoiser_calls import DenoiserCall, Scope
from directrix.progress import Progress, silent

if TYPE_CHECKING:
    from torch import Tensor

    from directrix.concept import Concept, PromptPair
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

    def flat(self, pair: int) -> tuple[Tensor, Tensor]:
        """A pair's states and their times as rows of one batch: (N * S, c, h, w), (N * S,)."""
        states = self.states[self.prompt[pair]]
        return states.flatten(0, 1), self.timesteps.repeat(len(states))

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
    checkpoint: Checkpoint = NOWHERE,
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
    return [
        Trajectories(
            states,
            found[0].timesteps,
            torch.stack([each.neutral[place] / images for each in found]),
            torch.stack([each.empty[place] / images for each in found]),
            pairs,
            tuple(c for c, concept in enumerate(concepts) for _ in concept.pairs),
            tuple(prompts.index(pair.neutral) for pair in pairs),
            tuple(prompts),
            tuple(prompts.index(prompt) for prompt in dict.fromkeys(retain)),
            (sum(each.square[place] for each in found) / len(found)) ** 0.5,
            sum(each.evaluations for each in found),
            sum(each.seconds for each in found),
        )
        for place in range(len(sites))
    ]


class Recording:
    """What is recorded of one prompt's trajectories, at one site or several.

    states: of each batch, (N, S, c, h, w); timesteps: (S,).
    neutral, empty: of each site (S, C, H, W), sums over the images in either branch; square: of each site the mean
        square in the conditional branch.
    """

    def __init__(self, sites: Sequence[Site]) -> None:
        self.sites = sites
        self.states: list[Tensor] = []
        self.timesteps = torch.zeros(0)
        self.neutral = [torch.zeros(0) for _ in sites]
        self.empty = [torch.zeros(0) for _ in sites]
        self.square = [0.0 for _ in sites]
        self.evaluations = 0
        self.seconds = 0.0

    def contents(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """As a checkpoint stores it, of one site."""
        (neutral,), (empty,), (square,) = self.neutral, self.empty, self.square
        tensors = {"states": torch.cat(self.states), "timesteps": self.timesteps, "neutral": neutral, "empty": empty}
        return tensors, {"square": square, "evaluations": self.evaluations, "seconds": self.seconds}

    @classmethod
    def of(cls, sites: Sequence[Site], tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> Recording:
        """From its contents."""
        recording = cls(sites)
        recording.states, recording.timesteps = [tensors["states"]], tensors["timesteps"]
        recording.neutral, recording.empty = [tensors["neutral"]], [tensors["empty"]]
        recording.square = [facts["square"]]
        recording.evaluations, recording.seconds = facts["evaluations"], facts["seconds"]
        return recording

    def draw(self, call: PipelineCall, prompt: str, numbers: Sequence[int], seed: int) -> None:
        """Draws the images of these numbers in one batch, and records the way."""
        model = call.model
        states: list[Tensor] = []
        times: list[Tensor] = []
        # Of each site: its outputs in the present step; and of each step sums over the images in either branch, and
        # the mean square, so that the outputs can be forgotten.
        outputs: list[list[Tensor]] = [[] for _ in self.sites]
        sums: list[list[tuple[Tensor, Tensor, Tensor]]] = [[] for _ in self.sites]
        scope = Scope(model)
        rows = len(numbers)
        layouts: list[str] = []
        # A further call of a step, without some layers (Stable Diffusion 3.5): no state of its own.
        skipping = False

        def end_step() -> None:
            branches = 1
            for site, now, of_site in zip(self.sites, outputs, sums, strict=True):
                check_output(site, now, len(layouts))
                conditional, other = _branches(now, rows, layouts)
                now.clear()
                total = as_maps(conditional).sum(dim=0).cpu()
                # A step without an unconditional branch has nothing to be distinguished from.
                empty = total if other is None else as_maps(other).sum(dim=0).cpu()
                of_site.append((total, empty, conditional.square().mean()))
                branches = branches if other is None else 2
            self.evaluations += rows * branches

        def see(call: DenoiserCall) -> None:
            nonlocal skipping
            layout = call.layout[1]
            time = torch.as_tensor(call.arguments["timestep"]).flatten()[:1].cpu()
            same = bool(times) and torch.equal(time, times[-1])
            skipping = same and layout == "conditional" and any("-" in each for each in layouts)
            if skipping:
                return
            # Branches in calls of their own: the second is about the same time, and another branch.
            if same and layout not in layouts and "-" not in layout:
                layouts.append(layout)
                return
            if states:
                end_step()
            layouts[:] = [layout]
            states.append(torch.as_tensor(next(iter(call.arguments.values())))[-rows:].float().cpu())
            times.append(time)

        def seen(now: list[Tensor], h: Tensor) -> None:
            if not skipping and scope.now() is not None:
                now.append(h.detach().float())

        scope.watch(see)
        with ExitStack() as stack:
            stack.enter_context(scope.opened())
            for site, now in zip(self.sites, outputs, strict=True):
                stack.enter_context(activations.read(model, site, partial(seen, now), scope))
            call.latents([prompt] * rows, numbers, seed)
        end_step()
        check_finite(states, prompt)
        drawn = sum(map(len, self.states))
        for place, of_site in enumerate(sums):
            neutral, empty, squares = (torch.stack(each) for each in zip(*of_site, strict=True))
            self.square[place] = (self.square[place] * drawn + float(squares.mean()) * rows) / (drawn + rows)
            self.neutral[place] = self.neutral[place] + neutral if drawn else neutral
            self.empty[place] = self.empty[place] + empty if drawn else empty
        self.timesteps = torch.cat(times)
        self.states.append(torch.stack(states, dim=1))


def _branches(outputs: Sequence[Tensor], rows: int, layouts: Sequence[str]) -> tuple[Tensor, Tensor | None]:
    """A step's outputs in the conditional branch, and those in the other if there is one."""
    if len(outputs[0]) == rows:
        by_branch = dict(zip(layouts, outputs, strict=True))
        return by_branch["conditional"], by_branch.get("unconditional")
    first, second = outputs[0][:rows], outputs[0][-rows:]
    return (first, second) if layouts[0] == "conditional-unconditional" else (second, first)
