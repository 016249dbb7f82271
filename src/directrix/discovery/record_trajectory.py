"""What is recorded of a prompt's trajectories while the pipeline draws: the denoiser's inputs, and sites' outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import torch

from directrix.discovery.environment import generator
from directrix.discovery.frozen_denoiser import as_maps, check_output
from directrix.discovery.pipeline_calls import PipelineCall, named
from directrix.errors import ModelError
from directrix.models import activations, hooks
from directrix.models.guidance import Guidance

if TYPE_CHECKING:
    from torch import Tensor

    from directrix.models.identity import Site


class _Outputs:
    """The outputs of one site along one prompt's trajectories.

    neutral, empty: (S, C, H, W), sums over the images; square: mean square in the conditional branch.
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
        """Sums up a step, so that its outputs can be forgotten; whether it had an unconditional branch.

        rows: images in the batch; passes: calls of the denoiser, one or two.
        """
        outputs, self._now = self._now, []
        check_output(self._site, outputs, passes)
        conditional, other = _branches(outputs, rows, conditional_first)
        self._squares.append(conditional.square().mean())
        self._conditional.append(as_maps(conditional).sum(dim=0).cpu())
        # A step without an unconditional branch has nothing to be told apart from.
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
    """What is recorded of one prompt's trajectories, at one site or several."""

    def __init__(self, sites: Sequence[Site]) -> None:
        self.outputs = [_Outputs(site) for site in sites]
        self.states: list[Tensor] = []
        self.timesteps = torch.zeros(0)
        self.evaluations = 0
        self.seconds = 0.0
        self._sites = sites

    def contents(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """As a checkpoint stores it, of one site."""
        (outputs,) = self.outputs
        tensors = {"timesteps": self.timesteps, "neutral": outputs.neutral, "empty": outputs.empty}
        facts = {"square": outputs.square, "evaluations": self.evaluations, "seconds": self.seconds}
        return {"states": torch.cat(self.states), **tensors}, facts

    @classmethod
    def of(cls, sites: Sequence[Site], tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> Recording:
        """From its contents."""
        recording = cls(sites)
        (outputs,) = recording.outputs
        recording.states, recording.timesteps = [tensors["states"]], tensors["timesteps"]
        outputs.neutral, outputs.empty, outputs.square = tensors["neutral"], tensors["empty"], facts["square"]
        recording.evaluations, recording.seconds = facts["evaluations"], facts["seconds"]
        return recording

    def draw(self, call: PipelineCall, prompt: str, numbers: Sequence[int], seed: int) -> None:
        """Draws the images of these numbers in one batch, and records the way."""
        model = call.model
        states: list[Tensor] = []
        times: list[Tensor] = []
        guidance = Guidance(model.pipeline)
        rows = len(numbers)
        first = model.guidance_layout == "conditional-unconditional"
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
            if states:
                end_step()
            passes = 1
            inputs = named(model.denoiser, args, kwargs)
            states.append(torch.as_tensor(next(iter(inputs.values())))[-rows:].float().cpu())
            times.append(torch.as_tensor(inputs["timestep"]).flatten()[:1].cpu())

        def whole(outputs: _Outputs) -> Callable[[Tensor], None]:
            return lambda h: None if partial else outputs.see(h)

        with ExitStack() as stack:
            stack.enter_context(guidance.watching())
            stack.enter_context(hooks.before_call(model.denoiser, see))
            for site, outputs in zip(self._sites, self.outputs, strict=True):
                stack.enter_context(activations.read(model.pipeline, site, whole(outputs)))
            call.latents([prompt] * rows, [generator(seed, "image", prompt, "", n) for n in numbers])
        end_step()
        if not all(bool(torch.isfinite(state).all()) for state in states):
            raise ModelError(
                "The model's states are not finite numbers.",
                "finite latents.",
                "load the model in float32 or bfloat16 (half precision overflows on some models).",
            )
        drawn = sum(map(len, self.states))
        for each in self.outputs:
            each.end_batch(rows, drawn)
        self.timesteps = torch.cat(times)
        self.states.append(torch.stack(states, dim=1))


def _branches(outputs: Sequence[Tensor], rows: int, conditional_first: bool) -> tuple[Tensor, Tensor | None]:
    """A step's outputs in the conditional branch, and those in the other if there is one."""
    # Models with the guidance scale built in are called once only, whatever the scale.
    if len(outputs[0]) == rows:
        return outputs[0], outputs[1] if len(outputs) == 2 else None
    first, second = outputs[0][:rows], outputs[0][-rows:]
    return (first, second) if conditional_first else (second, first)
