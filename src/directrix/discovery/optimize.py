"""The loop that the gradient methods share: Adam on the added vectors, and on nothing else.

Each step takes a batch of states x_t and lowers the mean over all elements of

    || target - denoiser(x_t, t, y-, h + c) ||^2

where c is the vector of the state's concept, y- the neutral prompt of its pair; the methods differ in the target, and
the data say how states are drawn.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import mse_loss

from directrix.discovery.environment import generator
from directrix.discovery.frozen_denoiser import Batch
from directrix.discovery.problem import Fit, Problem
from directrix.errors import DirectrixError

if TYPE_CHECKING:
    from torch import Tensor

    from directrix.discovery.checkpoint import Checkpoint
    from directrix.discovery.conditioning import Conditioning

# Gradients of a mean over many elements underflow in float16; a power of two is undone without rounding.
HALF_PRECISION_SCALE = 2.0**14


@dataclass(frozen=True)
class State:
    """Where the loop stands after ``step`` steps.

    vectors, Adam's first and second moments, average: (K, C, H, W); losses: float64 (step,).
    """

    step: int
    vectors: Tensor
    first: Tensor
    second: Tensor
    average: Tensor
    losses: Tensor
    forward: int = 0
    forward_backward: int = 0
    seconds: float = 0.0

    def save(self, checkpoint: Checkpoint) -> None:
        tensors = {key: value for key, value in vars(self).items() if isinstance(value, torch.Tensor)}
        checkpoint.save("fit", tensors, **{key: v for key, v in vars(self).items() if key not in tensors})

    @classmethod
    def load(cls, checkpoint: Checkpoint) -> State | None:
        saved = checkpoint.load("fit")
        return None if saved is None else cls(**saved[0], **saved[1])


def minimise(
    problem: Problem[Any],
    target: Callable[[Batch], Tensor],
    *,
    initial_scale: float = 0.0,
    initial: Tensor | None = None,
    average: bool,
    change: Callable[[int, Tensor], Tensor] | None = None,
    neutral: Callable[[Tensor], Conditioning] | None = None,
) -> Fit:
    """Fits one vector for each concept so that the steered denoiser answers ``target(batch)``.

    target: gives float32 (B, c, h, w) for a batch that is on the denoiser's device.
    initial_scale: vectors start from U(-1, 1) times this and the learning rate; or from ``initial``.
    average: return the mean of the iterates' last half, not the last iterate.
    change: added to the loss; a function of the step and the vectors.
    neutral: gives what the denoiser is given of the neutral prompts, by the places (B,) of their pairs; None for what
        the pipeline gives it.

    With a checkpoint, a run that was stopped and resumed gives the same bits as one that was not. Raises
    InterruptedRun on Ctrl-C and DirectrixError when the loss is no longer finite.
    """
    denoiser, checkpoint = problem.denoiser, problem.checkpoint
    state = State.load(checkpoint) or _initial(problem, initial_scale, initial)
    neutral = neutral or denoiser.encode([pair.neutral for pair in problem.data.pairs]).__getitem__
    forward, forward_backward = (state.forward - denoiser.forward, state.forward_backward - denoiser.forward_backward)
    started = time.perf_counter() - state.seconds
    with checkpoint.interruptible(lambda: f"fitting (step {state.step:,} of {problem.steps:,})"):
        try:
            with problem.progress(problem.steps, "Fitting") as bar:
                bar.advance(state.step)
                while state.step < problem.steps:
                    batch = problem.data.batch(state.step, problem.batch_size, problem.seed)
                    state = _step(problem, state, batch, target, neutral, change)
                    state = replace(
                        state,
                        forward=forward + denoiser.forward,
                        forward_backward=forward_backward + denoiser.forward_backward,
                        seconds=time.perf_counter() - started,
                    )
                    bar.advance(1)
                    if state.step % problem.checkpoint_every == 0:
                        state.save(checkpoint)
        except KeyboardInterrupt:
            state.save(checkpoint)
            raise
    state.save(checkpoint)
    vectors = problem.orthogonalized((state.average if average else state.vectors).cpu())
    return Fit(vectors, state.losses, state.forward, state.forward_backward, state.seconds)


def _initial(problem: Problem[Any], scale: float, given: Tensor | None) -> State:
    uniform = torch.rand(problem.shape, generator=generator(problem.seed, "initial")) * 2 - 1
    start = uniform * (scale * problem.learning_rate) if given is None else given.clone()
    # Separate tensors: files can't hold two names for the same memory.
    first, second, average = (torch.zeros(problem.shape) for _ in range(3))
    return State(0, start, first, second, average, torch.zeros(0, dtype=torch.float64))


def _step(
    problem: Problem[Any],
    state: State,
    batch: Batch,
    target: Callable[[Batch], Tensor],
    neutral: Callable[[Tensor], Conditioning],
    change: Callable[[int, Tensor], Tensor] | None,
) -> State:
    """One step of Adam, into a new state: an interrupt can't leave one half updated."""
    denoiser = problem.denoiser
    batch = batch.to(denoiser.device)
    vectors = state.vectors.to(denoiser.device, copy=True).requires_grad_()
    optimizer = torch.optim.Adam([vectors], lr=problem.learning_rate)
    if state.step:
        optimizer.state[vectors] = {
            "step": torch.tensor(float(state.step)),
            "exp_avg": state.first.to(vectors.device, copy=True),
            "exp_avg_sq": state.second.to(vectors.device, copy=True),
        }
    prediction = denoiser.steered(batch.x_t, batch.timesteps, neutral(batch.pair), vectors[batch.concept])
    loss = mse_loss(prediction, target(batch))
    if change is not None:
        loss = loss + change(state.step, vectors)
    remedy = f"a learning rate below {problem.learning_rate:g}, or load the model in float32 or bfloat16."
    if not torch.isfinite(loss):
        raise DirectrixError(f"The loss is {loss.item()} at step {state.step:,}.", "a finite loss.", remedy)
    scale = HALF_PRECISION_SCALE if denoiser.dtype == torch.float16 else 1.0
    (gradient,) = torch.autograd.grad(loss * scale, vectors)
    vectors.grad = gradient / scale
    try:
        optimizer.step()
    except RuntimeError as error:
        if "overflow" not in str(error):
            raise
        raise DirectrixError(f"Step {state.step:,} is too large for any number.", "a finite step.", remedy) from error

    step = state.step + 1
    moments = optimizer.state[vectors]
    vectors = vectors.detach()
    # Mean of the iterates from the middle of the run on.
    after = step - problem.steps // 2
    average = state.average.to(denoiser.device)
    if after > 0:
        average = average + (vectors - average) / after
    losses = torch.cat([state.losses, loss.detach().cpu().double().view(1)])
    first, second = moments["exp_avg"], moments["exp_avg_sq"]
    return replace(state, step=step, vectors=vectors, first=first, second=second, average=average, losses=losses)
