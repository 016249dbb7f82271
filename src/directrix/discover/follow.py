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

from directrix import _hooks, activations
from directrix.discover.checkpoint import interrupted
from directrix.discover.denoiser import as_maps, check_output
from directrix.discover.drawing import Drawing, named, quiet
from directrix.discover.randomness import generator
from directrix.errors import ModelError
from directrix.guidance import Guidance
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
    call: Mapping[str, Any] | None = None,
) -> Trajectories:
    """Draws ``images`` pictures of each concept's neutral prompts and records the way; a prompt's pairs share it.

    call: for the pipeline's own call. keep: prompts that must not change; they are followed too. The concept with
    the most neutral prompts shares ``images`` out among them, and every prompt of the run gets as many, at least one.

    A trajectory depends on the seed, its prompt and its number only. Raises InterruptedRun on Ctrl-C, ModelError where
    the model's states are not finite, SiteError where the site's output is neither (C, H, W) nor
    (tokens, C).
    """
    pairs = tuple(pair for concept in concepts for pair in concept.pairs)
    neutral = list(dict.fromkeys(pair.neutral for pair in pairs))
    prompts = [*neutral, *(prompt for prompt in dict.fromkeys(keep) if prompt not in neutral)]
    most = max(len({pair.neutral for pair in concept.pairs}) for concept in concepts)
    images = max(1, images // most)
    report = progress or silent
    drawing = Drawing(pipeline, guidance_scale, num_inference_steps, call or {})
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
                        recording.draw(pipeline, prompt, numbers, seed, drawing)
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

    def draw(self, pipeline: Any, prompt: str, numbers: Sequence[int], seed: int, drawing: Drawing) -> None:
        asked: list[Tensor] = []
        times: list[Tensor] = []
        # A step's outputs: of its one batch, or of the conditional half and then perhaps of the other.
        answers: list[list[Tensor]] = []
        guidance = Guidance(pipeline)
        network = self.denoiser.network

        def see(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
            if guidance.now().layout == "unconditional":
                return
            given = named(network, args, kwargs)
            asked.append(torch.as_tensor(next(iter(given.values())))[-len(numbers) :].float().cpu())
            times.append(torch.as_tensor(given["timestep"]).flatten()[:1].cpu())
            answers.append([])

        with (
            guidance.watching(),
            _hooks.before_call(network, see),
            activations.read(pipeline, self.denoiser.site, lambda h: answers[-1].append(h.detach().float())),
        ):
            drawing.draw([prompt] * len(numbers), [generator(seed, "image", prompt, "", n) for n in numbers])
        self._check(asked, answers, len(numbers))
        more = len(numbers)
        conditional, other = zip(*(_halves(each, more, guidance) for each in answers), strict=True)
        guided = any(each is not None for each in other)
        mean_square = float(torch.stack(conditional).square().mean())
        neutral = torch.stack([as_maps(each).sum(dim=0) for each in conditional]).cpu()
        # A step without an unconditional half has nothing to be told apart from.
        both = zip(conditional, other, strict=True)
        empty = torch.stack([as_maps(a if b is None else b).sum(dim=0) for a, b in both]).cpu()
        empty = empty if guided else neutral
        drawn = sum(map(len, self.states))
        first = not self.states
        self.square = (self.square * drawn + mean_square * more) / (drawn + more)
        self.neutral = neutral if first else self.neutral + neutral
        self.empty = empty if first else self.empty + empty
        self.timesteps = torch.cat(times)
        self.states.append(torch.stack(asked, dim=1))
        self.evaluations += more * (len(asked) + sum(each is not None for each in other))

    def _check(self, asked: Sequence[Tensor], answers: Sequence[Sequence[Tensor]], rows: int) -> None:
        outputs = [each for step in answers for each in step]
        second_calls = sum(len(step) == 2 and len(step[1]) == rows for step in answers)
        check_output(self.denoiser.site, outputs, len(asked) + second_calls)
        if not all(bool(torch.isfinite(state).all()) for state in asked):
            raise ModelError(
                "The model's states are not finite numbers.",
                "finite latents.",
                "load the model in float32 or bfloat16 (half precision overflows on some models).",
            )


def _halves(outputs: Sequence[Tensor], rows: int, guidance: Guidance) -> tuple[Tensor, Tensor | None]:
    """The conditional half of a step's outputs, and the other if there is one."""
    # Models with the guidance scale built in are asked once only, whatever the scale.
    if len(outputs[0]) == rows:
        return outputs[0], outputs[1] if len(outputs) == 2 else None
    first, second = outputs[0][:rows], outputs[0][-rows:]
    return (first, second) if guidance.now().layout == "conditional-unconditional" else (second, first)
