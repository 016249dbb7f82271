"""The loop that the gradient methods share: Adam on the added vectors, and on nothing else.

Each step takes a batch of states x_t and lowers the mean over all elements of

    || target - denoiser(x_t, t, y-, h + c) ||^2

where c is the vector of the state's concept, y- the neutral prompt of its pair; the methods differ in the target.
A state is an image x_0 with noise eps at a timestep t ~ U{0, ..., T-1} of its own, and images come in epochs, each in
an order of its own; or it is one of a trajectory's, and a batch is spread evenly over the trajectory's steps.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import mse_loss

from directrix.discovery.checkpoint import interrupted
from directrix.discovery.problem import Fit
from directrix.discovery.rng import generator
from directrix.discovery.samples import Samples
from directrix.errors import DirectrixError
from directrix.progress import silent

if TYPE_CHECKING:
    from torch import Tensor

    from directrix.discovery.conditioning import Conditioning
    from directrix.discovery.noise_schedule import Noising
    from directrix.discovery.problem import Problem
    from directrix.discovery.trajectories import Trajectories

# Gradients of a mean over many elements underflow in float16; a power of two is undone without rounding.
HALF_PRECISION_SCALE = 2.0**14


@dataclass(frozen=True)
class Batch:
    """B states. x_t: float32 (B, c, h, w); timesteps, concept, pair: (B,).

    x_0, noise: the image and the noise that x_t was made of, like x_t; nothing for states of a trajectory.
    """

    x_0: Tensor
    noise: Tensor
    timesteps: Tensor
    x_t: Tensor
    concept: Tensor
    pair: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        return Batch(**{key: value.to(device) for key, value in vars(self).items()})


def batch_of(problem: Problem, step: int) -> Batch:
    """The batch of a step, from whatever the problem learns from."""
    if isinstance(problem.data, Samples):
        return draw_batch(problem.data, problem.noising, step, problem.batch_size, problem.seed)
    return draw_states(problem.data, step, problem.batch_size, problem.seed)


def draw_states(trajectories: Trajectories, step: int, batch_size: int, seed: int) -> Batch:
    """States of trajectories: pairs in turn, trajectories by chance, steps stratified over the batch."""
    source = generator(seed, "step", step)
    number, steps = trajectories.states.shape[1:3]
    places = torch.arange(step * batch_size, (step + 1) * batch_size)
    pair = places % len(trajectories.pairs)
    image = torch.randint(number, (batch_size,), generator=source)
    spread = (torch.arange(batch_size) + torch.rand(batch_size, generator=source)) / batch_size
    at = (spread * steps).long().clamp(max=steps - 1)[torch.randperm(batch_size, generator=source)]
    prompt = torch.tensor(trajectories.prompt)[pair]
    return Batch(
        x_0=torch.zeros(0),
        noise=torch.zeros(0),
        timesteps=trajectories.timesteps[at],
        x_t=trajectories.states[prompt, image, at],
        concept=torch.tensor(trajectories.concept)[pair],
        pair=pair,
    )


def draw_retained(trajectories: Trajectories, step: int, batch_size: int, seed: int) -> Batch:
    """States of the prompts that must not change; ``pair`` is the prompt's place, ``concept`` each in turn."""
    source = generator(seed, "kept", step)
    number, steps = trajectories.states.shape[1:3]
    places = torch.arange(step * batch_size, (step + 1) * batch_size)
    prompt = torch.tensor(trajectories.retained)[places % len(trajectories.retained)]
    concept = places // len(trajectories.retained) % (max(trajectories.concept) + 1)
    image = torch.randint(number, (batch_size,), generator=source)
    at = torch.randint(steps, (batch_size,), generator=source)
    nothing = torch.zeros(0)
    states = trajectories.states[prompt, image, at]
    return Batch(nothing, nothing, trajectories.timesteps[at], states, concept, prompt)


def draw_batch(samples: Samples, schedule: Noising, step: int, batch_size: int, seed: int) -> Batch:
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
    return Batch(x_0, noise, schedule.told(timesteps), x_t, samples.concept[rows], samples.pair[rows])


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
        retained = checkpoint.load("fit") if checkpoint else None
        return None if retained is None else cls(**retained[0], **retained[1])


def minimise(
    problem: Problem,
    target: Callable[[Batch], Tensor],
    *,
    initial_scale: float = 0.0,
    initial: Tensor | None = None,
    average: bool,
    keep_weight: float = 0.0,
) -> Fit:
    """Fits one vector for each concept so that the steered denoiser answers ``target(batch)``.

    target: gives float32 (B, c, h, w) for a batch that is on the denoiser's device.
    initial_scale: vectors start from U(-1, 1) times this and the learning rate.
    initial: vectors to start from instead, of the problem's shape.
    keep_weight: of the mean square by which predictions under the trajectories' kept prompts change.
    average: return the mean of the iterates' last half, not the last iterate.

    With a checkpoint, a run that was stopped and resumed gives the same bits as one that was not. Raises
    InterruptedRun on Ctrl-C and DirectrixError when the loss is no longer finite.
    """
    report = problem.progress or silent
    denoiser = problem.denoiser
    state = State.load(problem.checkpoint) or _initial(problem, initial_scale, initial)
    neutral = denoiser.encode([pair.neutral for pair in problem.data.pairs])
    retained = denoiser.encode(list(problem.trajectories.prompts)) if keep_weight else neutral
    forward, forward_backward = (state.forward - denoiser.forward, state.forward_backward - denoiser.forward_backward)
    started = time.perf_counter() - state.seconds
    try:
        with report(problem.steps, "Fitting") as bar:
            bar.advance(state.step)
            while state.step < problem.steps:
                batch = batch_of(problem, state.step)
                state = _step(problem, state, batch, target, neutral, keep_weight, retained)
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
        problem.separation((state.average if average else state.vectors).cpu()),
        state.losses,
        state.forward,
        state.forward_backward,
        state.seconds,
    )


def _initial(problem: Problem, scale: float, given: Tensor | None) -> State:
    uniform = torch.rand(problem.shape, generator=generator(problem.seed, "initial")) * 2 - 1
    start = uniform * (scale * problem.learning_rate) if given is None else given.clone()
    # Separate tensors: files can't hold two names for the same memory.
    first, second, average = (torch.zeros(problem.shape) for _ in range(3))
    return State(0, start, first, second, average, torch.zeros(0, dtype=torch.float64))


def _step(
    problem: Problem,
    state: State,
    batch: Batch,
    target: Callable[[Batch], Tensor],
    neutral: Conditioning,
    keep_weight: float,
    retained: Conditioning,
) -> State:
    """One step of Adam, into a new state: an interrupt can't leave one half updated."""
    denoiser = problem.denoiser
    batch = batch.to(denoiser.device)
    vectors = state.vectors.to(denoiser.device, copy=True).requires_grad_()
    optimizer = _adam(vectors, state, problem.learning_rate)

    prediction = denoiser.steered(batch.x_t, batch.timesteps, neutral[batch.pair], vectors[batch.concept])
    loss = mse_loss(prediction, target(batch))
    if keep_weight:
        loss = loss + keep_weight * _change(problem, state.step, vectors, retained)
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


def _change(problem: Problem, step: int, vectors: Tensor, embeddings: Conditioning) -> Tensor:
    """Mean square by which the vectors change the predictions under the kept prompts; embeddings: of all prompts."""
    denoiser, trajectories = problem.denoiser, problem.trajectories
    retained = draw_retained(trajectories, step, problem.batch_size, problem.seed).to(denoiser.device)
    told = embeddings[retained.pair]
    plain = denoiser.predict(retained.x_t, retained.timesteps, told)
    return mse_loss(denoiser.steered(retained.x_t, retained.timesteps, told, vectors[retained.concept]), plain)


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
