"""The model's own trajectories: what its denoiser is asked, and what its site answers, while it draws.

No images are kept or noised. The pipeline draws the neutral prompts as it always does, and the denoiser's inputs are
recorded on the way: states that it really meets, at the noise levels that it really meets them at. Both halves of
guidance answer there anyway, so the site's output under the neutral and the empty prompt costs nothing more.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from directrix import _hooks, activations, families
from directrix.discover.checkpoint import interrupted
from directrix.discover.denoiser import as_maps, check_output
from directrix.discover.drawing import Drawing, named, quiet
from directrix.discover.randomness import generator
from directrix.errors import ModelError
from directrix.guidance import Guidance
from directrix.progress import silent
from directrix.sites import denoiser as denoiser_of

if TYPE_CHECKING:
    from torch import Tensor

    from directrix.concept import Concept, PromptPair
    from directrix.direction import Site
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
    drawing = Drawing(pipeline, guidance_scale, num_inference_steps, call or {})
    sites = [denoiser.site]
    return _followed(
        pipeline, sites, drawing, concepts, images, keep, seed, batch_size, checkpoint, progress
    )[0]


def follow_at(
    pipeline: Any,
    sites: Sequence[Site],
    drawing: Drawing,
    concepts: Sequence[Concept],
    images: int,
    seed: int,
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
    found: list[_Recording] = []
    try:
        with quiet(pipeline), report(len(prompts) * images, "Following") as bar:
            for index, prompt in enumerate(prompts):
                name = f"trajectory-{index:05d}"
                kept = checkpoint.load(name) if checkpoint else None
                if kept is None:
                    recording = _Recording(sites)
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
                    recording = _Recording.of(sites, *kept)
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


class _Outputs:
    """What one site puts out along one prompt's trajectories.

    neutral, empty: (S, C, H, W), sums over the images; square: mean square in the conditional half.
    """

    def __init__(self, site: Site) -> None:
        self.neutral = self.empty = torch.zeros(0)
        self.square = 0.0
        self._site = site
        self._now: list[Tensor] = []
        # Of the present batch, one a step: sums over the images, and mean squares.
        self._conditional: list[Tensor] = []
        self._other: list[Tensor] = []
        self._squares: list[Tensor] = []

    def see(self, h: Tensor) -> None:
        self._now.append(h.detach().float())

    def end_step(self, rows: int, passes: int, conditional_first: bool) -> bool:
        """Sums up a step, so that what was seen in it need not be kept; whether it had an unconditional half.

        rows: images in the batch; passes: calls of the denoiser, one or two.
        """
        outputs, self._now = self._now, []
        check_output(self._site, outputs, passes)
        conditional, other = _halves(outputs, rows, conditional_first)
        self._squares.append(conditional.square().mean())
        self._conditional.append(as_maps(conditional).sum(dim=0).cpu())
        # A step without an unconditional half has nothing to be told apart from.
        self._other.append(self._conditional[-1] if other is None else as_maps(other).sum(dim=0).cpu())
        return other is not None

    def end_batch(self, rows: int, drawn: int) -> None:
        """Adds a batch of so many images to those drawn before."""
        neutral, empty = torch.stack(self._conditional), torch.stack(self._other)
        mean_square = float(torch.stack(self._squares).mean())
        self._conditional, self._other, self._squares = [], [], []
        self.square = (self.square * drawn + mean_square * rows) / (drawn + rows)
        self.neutral = self.neutral + neutral if drawn else neutral
        self.empty = self.empty + empty if drawn else empty


class _Recording:
    """What is seen of one prompt's trajectories, at one site or several."""

    def __init__(self, sites: Sequence[Site]) -> None:
        self.sites = sites
        self.outputs = [_Outputs(site) for site in sites]
        self.states: list[Tensor] = []
        self.timesteps = torch.zeros(0)
        self.evaluations = 0
        self.seconds = 0.0

    def kept(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """As a checkpoint holds it."""
        (outputs,) = self.outputs
        tensors = {"timesteps": self.timesteps, "neutral": outputs.neutral, "empty": outputs.empty}
        facts = {"square": outputs.square, "evaluations": self.evaluations, "seconds": self.seconds}
        return {"states": torch.cat(self.states), **tensors}, facts

    @classmethod
    def of(cls, sites: Sequence[Site], tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> _Recording:
        """As a checkpoint held it."""
        recording = cls(sites)
        (outputs,) = recording.outputs
        recording.states, recording.timesteps = [tensors["states"]], tensors["timesteps"]
        outputs.neutral, outputs.empty, outputs.square = tensors["neutral"], tensors["empty"], facts["square"]
        recording.evaluations, recording.seconds = facts["evaluations"], facts["seconds"]
        return recording

    def draw(self, pipeline: Any, prompt: str, numbers: Sequence[int], seed: int, drawing: Drawing) -> None:
        asked: list[Tensor] = []
        times: list[Tensor] = []
        guidance = Guidance(pipeline)
        network = denoiser_of(pipeline)
        rows = len(numbers)
        first = families.guidance_layout(pipeline) == "conditional-unconditional"
        passes = 0

        def end_step() -> None:
            other = [each.end_step(rows, passes, first) for each in self.outputs]
            self.evaluations += rows * (2 if any(other) else 1)

        def see(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
            nonlocal passes
            if guidance.now().layout == "unconditional":
                passes += 1
                return
            if asked:
                end_step()
            passes = 1
            given = named(network, args, kwargs)
            asked.append(torch.as_tensor(next(iter(given.values())))[-rows:].float().cpu())
            times.append(torch.as_tensor(given["timestep"]).flatten()[:1].cpu())

        with ExitStack() as stack:
            stack.enter_context(guidance.watching())
            stack.enter_context(_hooks.before_call(network, see))
            for site, outputs in zip(self.sites, self.outputs, strict=True):
                stack.enter_context(activations.read(pipeline, site, outputs.see))
            drawing.draw([prompt] * rows, [generator(seed, "image", prompt, "", n) for n in numbers])
        end_step()
        if not all(bool(torch.isfinite(state).all()) for state in asked):
            raise ModelError(
                "The model's states are not finite numbers.",
                "finite latents.",
                "load the model in float32 or bfloat16 (half precision overflows on some models).",
            )
        drawn = sum(map(len, self.states))
        for each in self.outputs:
            each.end_batch(rows, drawn)
        self.timesteps = torch.cat(times)
        self.states.append(torch.stack(asked, dim=1))


def _halves(outputs: Sequence[Tensor], rows: int, conditional_first: bool) -> tuple[Tensor, Tensor | None]:
    """The conditional half of a step's outputs, and the other if there is one."""
    # Models with the guidance scale built in are asked once only, whatever the scale.
    if len(outputs[0]) == rows:
        return outputs[0], outputs[1] if len(outputs) == 2 else None
    first, second = outputs[0][:rows], outputs[0][-rows:]
    return (first, second) if conditional_first else (second, first)
