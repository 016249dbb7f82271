"""What is seen of a prompt's trajectories while the pipeline draws: the denoiser's inputs, and what sites put out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import torch

from directrix.discovery.frozen_denoiser import as_maps, check_output
from directrix.discovery.pipeline_calls import Drawing, named
from directrix.discovery.rng import generator
from directrix.errors import ModelError
from directrix.models import activations, families, hooks
from directrix.models.guidance import Guidance
from directrix.models.sites import denoiser as denoiser_of

if TYPE_CHECKING:
    from torch import Tensor

    from directrix.models.identity import Site


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


class Recording:
    """What is seen of one prompt's trajectories, at one site or several."""

    def __init__(self, sites: Sequence[Site]) -> None:
        self.sites = sites
        self.outputs = [_Outputs(site) for site in sites]
        self.states: list[Tensor] = []
        self.timesteps = torch.zeros(0)
        self.evaluations = 0
        self.seconds = 0.0

    def retained(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """As a checkpoint holds it."""
        (outputs,) = self.outputs
        tensors = {"timesteps": self.timesteps, "neutral": outputs.neutral, "empty": outputs.empty}
        facts = {"square": outputs.square, "evaluations": self.evaluations, "seconds": self.seconds}
        return {"states": torch.cat(self.states), **tensors}, facts

    @classmethod
    def of(cls, sites: Sequence[Site], tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> Recording:
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
        # A further call of a step, without some layers (Stable Diffusion 3.5): no state of its own.
        partial = False

        def end_step() -> None:
            other = [each.end_step(rows, passes, first) for each in self.outputs]
            self.evaluations += rows * (2 if any(other) else 1)

        def see(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
            nonlocal passes, partial
            partial = kwargs.get("skip_layers") is not None
            if partial:
                return
            if guidance.now().layout == "unconditional":
                passes += 1
                return
            if asked:
                end_step()
            passes = 1
            given = named(network, args, kwargs)
            asked.append(torch.as_tensor(next(iter(given.values())))[-rows:].float().cpu())
            times.append(torch.as_tensor(given["timestep"]).flatten()[:1].cpu())

        def whole(outputs: _Outputs) -> Callable[[Tensor], None]:
            return lambda h: None if partial else outputs.see(h)

        with ExitStack() as stack:
            stack.enter_context(guidance.watching())
            stack.enter_context(hooks.before_call(network, see))
            for site, outputs in zip(self.sites, self.outputs, strict=True):
                stack.enter_context(activations.read(pipeline, site, whole(outputs)))
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
