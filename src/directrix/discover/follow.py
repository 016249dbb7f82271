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

from directrix import _hooks
from directrix.discover.checkpoint import interrupted
from directrix.discover.collect import quiet
from directrix.discover.randomness import generator
from directrix.errors import ModelError, SiteError
from directrix.progress import silent

if TYPE_CHECKING:
    from torch import Tensor

    from directrix.concept import Concept, PromptPair
    from directrix.discover.checkpoint import Checkpoint
    from directrix.discover.denoiser import FrozenDenoiser
    from directrix.progress import Progress


@dataclass(frozen=True)
class Trajectories:
    """M neutral prompts, N trajectories of each, S steps.

    states: float32 (M, N, S, c, h, w) on the CPU, as the denoiser is given them; timesteps: (S,).
    neutral, empty: float32 (M, S, C, H, W), the site's output in the conditional and the unconditional half, mean over
        the N; without guidance there is no unconditional half, and ``empty`` is the same as ``neutral``.
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
    kept: tuple[int, ...] = ()
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
) -> Trajectories:
    """Draws ``images`` pictures of each concept's neutral prompts and records the way; a prompt's pairs share it.

    keep: prompts that must not change; they are followed too. The concept with the most neutral prompts shares
    ``images`` out among them, and every prompt of the run gets as many, at least one.

    A trajectory depends on the seed, its prompt and its number only. Raises InterruptedRun on Ctrl-C, ModelError where
    the model's states are not finite, SiteError where the site's output is no (C, H, W).
    """
    pairs = tuple(pair for concept in concepts for pair in concept.pairs)
    neutral = list(dict.fromkeys(pair.neutral for pair in pairs))
    prompts = [*neutral, *(prompt for prompt in dict.fromkeys(keep) if prompt not in neutral)]
    most = max(len({pair.neutral for pair in concept.pairs}) for concept in concepts)
    images = max(1, images // most)
    report = progress or silent
    found: list[_Recording] = []
    try:
        with quiet(pipeline), report(len(prompts) * images, "Following") as bar:
            for index, prompt in enumerate(prompts):
                name = f"trajectory-{index:05d}"
                kept = checkpoint.load(name) if checkpoint else None
                if kept is None:
                    recording = _Recording(denoiser)
                    started = time.perf_counter()
                    for first in range(0, images, batch_size):
                        numbers = range(first, min(first + batch_size, images))
                        recording.draw(pipeline, prompt, numbers, seed, guidance_scale, num_inference_steps)
                        bar.advance(len(numbers))
                    recording.seconds = time.perf_counter() - started
                    if checkpoint:
                        tensors, facts = recording.kept()
                        checkpoint.save(name, tensors, **facts)
                else:
                    recording = _Recording.of(denoiser, *kept)
                    bar.advance(images)
                found.append(recording)
    except KeyboardInterrupt:
        at = prompts[min(len(found), len(prompts) - 1)]
        raise interrupted(f"following '{at}'", checkpoint) from None
    return Trajectories(
        torch.stack([torch.cat(each.states) for each in found]),
        found[0].timesteps,
        torch.stack([each.neutral / images for each in found]),
        torch.stack([each.empty / images for each in found]),
        pairs,
        tuple(c for c, concept in enumerate(concepts) for _ in concept.pairs),
        tuple(prompts.index(pair.neutral) for pair in pairs),
        tuple(prompts),
        tuple(prompts.index(prompt) for prompt in dict.fromkeys(keep)),
        (sum(each.square for each in found) / len(found)) ** 0.5,
        sum(each.evaluations for each in found),
        sum(each.seconds for each in found),
    )


class _Recording:
    """What is seen of one prompt's trajectories; sums over the images, to be divided at the end."""

    def __init__(self, denoiser: FrozenDenoiser) -> None:
        self.denoiser = denoiser
        self.states: list[Tensor] = []
        self.timesteps = self.neutral = self.empty = torch.zeros(0)
        self.square = 0.0
        self.evaluations = 0
        self.seconds = 0.0

    def kept(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """As a checkpoint holds it."""
        tensors = {"timesteps": self.timesteps, "neutral": self.neutral, "empty": self.empty.clone()}
        facts = {key: getattr(self, key) for key in ("square", "evaluations", "seconds")}
        return {"states": torch.cat(self.states), **tensors}, facts

    @classmethod
    def of(
        cls, denoiser: FrozenDenoiser, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]
    ) -> _Recording:
        """As a checkpoint held it."""
        recording = cls(denoiser)
        recording.states = [tensors["states"]]
        recording.timesteps, recording.neutral, recording.empty = (
            tensors[key] for key in ("timesteps", "neutral", "empty")
        )
        recording.square, recording.evaluations, recording.seconds = (
            facts[key] for key in ("square", "evaluations", "seconds")
        )
        return recording

    def draw(
        self,
        pipeline: Any,
        prompt: str,
        numbers: Sequence[int],
        seed: int,
        guidance_scale: float,
        steps: int,
    ) -> None:
        asked: list[Tensor] = []
        times: list[Tensor] = []
        answers: list[Tensor] = []

        def see(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
            sample = kwargs.get("sample", args[0] if args else None)
            timestep = kwargs.get("timestep", args[1] if len(args) > 1 else None)
            asked.append(torch.as_tensor(sample)[-len(numbers) :].float().cpu())
            times.append(torch.as_tensor(timestep).flatten()[:1].cpu())

        with (
            _hooks.before_call(self.denoiser.network, see),
            _hooks.read_output(self.denoiser.site_module, lambda h: answers.append(h.detach().float())),
        ):
            pipeline(
                [prompt] * len(numbers),
                generator=[generator(seed, "image", prompt, "", number) for number in numbers],
                guidance_scale=guidance_scale,
                num_inference_steps=steps,
                output_type="latent",
            )
        self._check(asked, answers)
        halves = torch.stack(answers)
        # Models with the guidance scale built in are asked once only, whatever the scale.
        guided = halves.shape[1] == 2 * len(numbers)
        neutral = halves[:, -len(numbers) :].sum(dim=1).cpu()
        empty = halves[:, : len(numbers)].sum(dim=1).cpu() if guided else neutral
        drawn, more = sum(map(len, self.states)), len(numbers)
        first = not self.states
        mean_square = float(halves[:, -more:].square().mean())
        self.square = (self.square * drawn + mean_square * more) / (drawn + more)
        self.neutral = neutral if first else self.neutral + neutral
        self.empty = empty if first else self.empty + empty
        self.timesteps = torch.cat(times)
        self.states.append(torch.stack(asked, dim=1))
        self.evaluations += len(numbers) * len(asked) * (2 if guided else 1)

    def _check(self, asked: Sequence[Tensor], answers: Sequence[Tensor]) -> None:
        if len(answers) != len(asked) or answers[0].ndim != 4:
            raise SiteError(
                f"The site put out {len(answers)} tensors of shape {tuple(answers[0].shape) if answers else ()} in "
                f"{len(asked)} passes.",
                "a module that runs once in each pass and puts out (batch, channels, height, width).",
                "the default site, the U-Net's mid block.",
            )
        if not all(bool(torch.isfinite(state).all()) for state in asked):
            raise ModelError(
                "The model's states are not finite numbers.",
                "finite latents.",
                "load the model in float32 or bfloat16 (half precision overflows on some models).",
            )
