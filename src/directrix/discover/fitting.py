"""The loop that the gradient methods share: Adam on the added vectors, and on nothing else.

Each step takes a batch of images x_0, draws for each its own timestep t ~ U{0, ..., T-1} and noise eps, and
lowers the mean over all elements of

    || target - denoiser(x_t, t, y-, h + c) ||^2

where c is the vector of the image's concept, y- the neutral prompt of its pair; the methods differ in the
target. Images come in epochs, each in an order of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import mse_loss

from directrix.discover.checkpoint import interrupted
from directrix.discover.problem import Fit
from directrix.discover.randomness import generator
from directrix.errors import DirectrixError
from directrix.progress import silent

if TYPE_CHECKING:
    from torch import Tensor

    from directrix.discover.collect import Samples
    from directrix.discover.problem import Problem
    from directrix.discover.schedule import Schedule

# Gradients of a mean over many elements underflow in float16; a power of two is undone without rounding.
HALF_PRECISION_SCALE = 2.0**14


@dataclass(frozen=True)
class Batch:
    """B images, noised. x_0, noise, x_t: float32 (B, c, h, w); timesteps, concept, pair: int64 (B,)."""

    x_0: Tensor
    noise: Tensor
    timesteps: Tensor
    x_t: Tensor
    concept: Tensor
    pair: Tensor


def draw_batch(samples: Samples, schedule: Schedule, step: int, batch_size: int, seed: int) -> Batch:
    """The batch of a step: a function of its arguments alone, on the CPU."""
    n = len(samples)
    orders: dict[int, Tensor] = {}
    rows = []
    for place in range(step * batch_size, (step + 1) * batch_size):
        epoch = place // n
        if epoch not in orders:
            orders[epoch] = torch.randperm(n, generator=generator(seed, "epoch", epoch))
        rows.append(int(orders[epoch][place % n]))
    x_0 = samples.latents[rows]
    source = generator(seed, "step", step)
    timesteps = torch.randint(schedule.timesteps, (batch_size,), generator=source)
    noise = torch.randn(x_0.shape, generator=source)
    x_t = schedule.noised(x_0, timesteps, noise)
    return Batch(x_0, noise, timesteps, x_t, samples.concept[rows], samples.pair[rows])


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

    def save(self, checkpoint: Any) -> None:
        tensors = {key: value for key, value in vars(self).items() if isinstance(value, torch.Tensor)}
        checkpoint.save("fit", tensors, **{key: v for key, v in vars(self).items() if key not in tensors})

    @classmethod
    def load(cls, checkpoint: Any) -> State | None:
        kept = checkpoint.load("fit") if checkpoint else None
        return None if kept is None else cls(**kept[0], **kept[1])


def minimise(
    problem: Problem, target: Callable[[Batch], Tensor], *, initial_scale: float, average: bool
) -> Fit:
    """Fits one vector for each concept so that the steered denoiser answers ``target(batch)``.

    target: gives float32 (B, c, h, w) for a batch that is on the denoiser's device.
    initial_scale: vectors start from U(-1, 1) times this and the learning rate.
    average: return the mean of the iterates' last half, not the last iterate.

    With a checkpoint, a run that was stopped and resumed gives the same bits as one that was not. Raises
    InterruptedRun on Ctrl-C and DirectrixError when the loss is no longer finite.
    """
    report = problem.progress or silent
    denoiser = problem.denoiser
    state = State.load(problem.checkpoint) or _initial(problem, initial_scale)
    neutral = denoiser.encode([pair.neutral for pair in problem.samples.pairs])
    forward, forward_backward = (
        state.forward - denoiser.forward,
        state.forward_backward - denoiser.forward_backward,
    )
    started = time.perf_counter() - state.seconds
    try:
        with report(problem.steps, "Fitting") as bar:
            bar.advance(state.step)
            while state.step < problem.steps:
                batch = draw_batch(
                    problem.samples, problem.schedule, state.step, problem.batch_size, problem.seed
                )
                state = _step(problem, state, batch, target, neutral)
                state = replace(
                    state,
                    forward=forward + denoiser.forward,
                    forward_backward=forward_backward + denoiser.forward_backward,
                    seconds=time.perf_counter() - started,
                )
                bar.advance(1)
                if problem.checkpoint and state.step % problem.checkpoint_every == 0:
                    state.save(problem.checkpoint)
    except KeyboardInterrupt:
        if problem.checkpoint:
            state.save(problem.checkpoint)
        raise interrupted(f"fitting (step {state.step:,} of {problem.steps:,})", problem.checkpoint) from None
    if problem.checkpoint:
        state.save(problem.checkpoint)
    return Fit(
        (state.average if average else state.vectors).cpu(),
        state.losses,
        state.forward,
        state.forward_backward,
        state.seconds,
    )


def _initial(problem: Problem, scale: float) -> State:
    uniform = torch.rand(problem.shape, generator=generator(problem.seed, "initial")) * 2 - 1
    # Separate tensors: files can't hold two names for the same memory.
    first, second, average = (torch.zeros(problem.shape) for _ in range(3))
    return State(
        0,
        uniform * (scale * problem.learning_rate),
        first,
        second,
        average,
        torch.zeros(0, dtype=torch.float64),
    )


def _step(
    problem: Problem, state: State, batch: Batch, target: Callable[[Batch], Tensor], neutral: Tensor
) -> State:
    """One step of Adam, into a new state: an interrupt can't leave one half updated."""
    denoiser = problem.denoiser
    batch = Batch(**{key: value.to(denoiser.device) for key, value in vars(batch).items()})
    vectors = state.vectors.to(denoiser.device, copy=True).requires_grad_()
    optimizer = _adam(vectors, state, problem.learning_rate)

    prediction = denoiser.steered(batch.x_t, batch.timesteps, neutral[batch.pair], vectors[batch.concept])
    loss = mse_loss(prediction, target(batch))
    if not torch.isfinite(loss):
        raise DirectrixError(
            f"The loss is {loss.item()} at step {state.step:,}.",
            "a finite loss.",
            f"a learning rate below {problem.learning_rate:g}, or load the model in float32 or bfloat16.",
        )
    scale = HALF_PRECISION_SCALE if denoiser.dtype == torch.float16 else 1.0
    (gradient,) = torch.autograd.grad(loss * scale, vectors)
    vectors.grad = gradient / scale
    optimizer.step()

    step = state.step + 1
    vectors = vectors.detach()
    moments = optimizer.state[next(iter(optimizer.state))]
    # Mean of the iterates from the middle of the run on.
    after = step - problem.steps // 2
    average = state.average.to(denoiser.device)
    if after > 0:
        average = average + (vectors - average) / after
    return replace(
        state,
        step=step,
        vectors=vectors,
        first=moments["exp_avg"],
        second=moments["exp_avg_sq"],
        average=average,
        losses=torch.cat([state.losses, loss.detach().cpu().double().view(1)]),
    )


def _adam(vectors: Tensor, state: State, learning_rate: float) -> torch.optim.Adam:
    """torch's Adam, constant rate, as it stood after ``state.step`` steps."""
    optimizer = torch.optim.Adam([vectors], lr=learning_rate)
    if state.step:
        optimizer.state[vectors] = {
            "step": torch.tensor(float(state.step)),
            "exp_avg": state.first.to(vectors.device, copy=True),
            "exp_avg_sq": state.second.to(vectors.device, copy=True),
        }
    return optimizer
