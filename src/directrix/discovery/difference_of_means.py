"""Difference, in closed form: what the prompt itself changes at the site.

    c = s * mean_{x_t, t} [ h(x_t, t, y+) - h(x_t, t, y-) ]

over states of the model's own neutral trajectories (see `trajectories`). No gradient is needed: y- is answered while
the trajectory is drawn, y+ costs one evaluation a state. s is found by a line search on the predictions: it is where
eps_theta(x_t, t, y-, h + c) comes nearest to eps_theta(x_t, t, y+).

A negative prompt n acts on the unconditional branch of guidance; as in ``distillation``, its effect is folded into the
conditional branch: (1 - 1/w) (h("") - h(n)) is added to the difference, with w the guidance scale.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from directrix.discovery.problem import Defaults, Fit, Method, Problem

if TYPE_CHECKING:
    from torch import Tensor

    from directrix.discovery.conditioning import Conditioning
    from directrix.discovery.trajectories import Trajectories

# States that the line search looks at, for each concept.
SEARCHED = 16
SEARCHED_OF_A_PAIR = 4


@dataclass(frozen=True)
class Difference(Method):
    """Options.

    search: whether the size comes from the line search; otherwise s is 1.
    """

    search: bool = True

    name: ClassVar = "difference"
    learns_from: ClassVar = "trajectories"
    defaults: ClassVar = Defaults(images=8, steps=0, batch_size=32)
    objective: ClassVar = "c = s E [ h(x_t, t, y+) - h(x_t, t, y-) ]"

    def fit(self, problem: Problem[Trajectories]) -> Fit:
        """Finds the vectors; see the module."""
        import torch

        started = time.perf_counter()
        trajectories, concepts = problem.data, problem.shape[0]
        before = problem.denoiser.forward
        rows: list[list[Tensor]] = [[] for _ in range(concepts)]
        with problem.progress(len(trajectories.pairs), "Comparing") as bar:
            for pair in range(len(trajectories.pairs)):
                rows[trajectories.concept[pair]].append(mean_change(problem, pair))
                bar.advance(1)
        vectors = problem.orthogonalized(torch.stack([torch.stack(changes).mean(dim=0) for changes in rows]))
        if self.search:
            scales = torch.ones(concepts, 1, 1, 1)
            # Preserved concepts are not given out, whatever their size.
            for concept in range(concepts - problem.preserved):
                scales[concept] = line_search(problem, concept, vectors[concept])
            vectors = vectors * scales
        return Fit(vectors, forward=problem.denoiser.forward - before, seconds=time.perf_counter() - started)


def mean_change(problem: Problem[Trajectories], pair: int) -> Tensor:
    """Mean over trajectories and steps of what a pair's prompts change at the site: float32 (C, H, W) on the CPU."""
    trajectories = problem.data
    words = trajectories.pairs[pair]
    place = trajectories.prompt[pair]
    states = trajectories.states[place]
    neutral = trajectories.neutral[place].mean(dim=0)
    change = _mean_output(problem, states, words.target) - neutral if words.target != words.neutral else neutral * 0
    if words.negative is not None:
        empty = trajectories.empty[place].mean(dim=0)
        folded = 1 - 1 / problem.guidance_scale
        change = change + folded * (empty - _mean_output(problem, states, words.negative, negative=True))
    return change


def _mean_output(problem: Problem[Trajectories], states: Tensor, prompt: str, negative: bool = False) -> Tensor:
    """Mean of the site's output over states (N, S, c, h, w) under a prompt, or under a negative one."""
    import torch

    flat, times = _flat(states, problem.data.timesteps)
    denoiser = problem.denoiser
    embedding = denoiser.unconditional([prompt]) if negative else denoiser.encode([prompt])
    total = torch.zeros(problem.data.neutral.shape[-3:])
    for first in range(0, len(flat), problem.batch_size):
        part = flat[first : first + problem.batch_size]
        output = denoiser.site_output(part, times[first : first + len(part)], embedding.expand(len(part), -1, -1))
        total = total + output.sum(dim=0).cpu()
    return total / len(flat)


def _flat(states: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor]:
    """States (N, S, c, h, w) and timesteps (S,) as rows of one batch: (N * S, c, h, w), (N * S,)."""
    return states.flatten(0, 1), timesteps.repeat(len(states))


def line_search(problem: Problem[Trajectories], concept: int, vector: Tensor) -> float:
    """The s at which the steered prediction is nearest to the target's, as far as a straight line tells.

    With f(s) = eps_theta(x_t, t, y-, h + s c) and target p, f(s) is close to f(0) + s (f(1) - f(0)), so
    s = <p - f(0), f(1) - f(0)> / |f(1) - f(0)|^2. It is 1 where the vector changes no prediction,
    or only away from the target's.
    """
    import torch

    trajectories = problem.data
    pairs = [p for p, c in enumerate(trajectories.concept) if c == concept]
    along = across = 0.0
    for place, pair in enumerate(pairs):
        flat, times = _flat(trajectories.states[trajectories.prompt[pair]], trajectories.timesteps)
        count = min(len(flat), max(SEARCHED_OF_A_PAIR, SEARCHED // len(pairs)))
        # Spread over trajectories and steps, elsewhere for each pair.
        chosen = ((torch.arange(count) + (place + 0.5) / len(pairs)) * len(flat) / count).long()
        states, steps = flat[chosen], times[chosen]
        plain, wanted = predictions(problem, pair, states, steps)
        embedding = problem.denoiser.encode([trajectories.pairs[pair].neutral]).expand(len(states), -1, -1)
        with torch.no_grad():
            moved = problem.denoiser.steered(states, steps, embedding, vector[None]) - plain
        along += float(((wanted - plain) * moved).sum())
        across += float(moved.square().sum())
    return along / across if across > 0 and along > 0 else 1.0


def predictions(problem: Problem[Trajectories], pair: int, states: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor]:
    """The denoiser's plain prediction under y-, and the one that the vector should give in its place."""
    words = problem.data.pairs[pair]

    def predict(prompts: Conditioning) -> Tensor:
        return problem.denoiser.predict(states, timesteps, prompts.expand(len(states), -1, -1))

    denoiser = problem.denoiser
    plain = predict(denoiser.encode([words.neutral]))
    wanted = plain if words.target == words.neutral else predict(denoiser.encode([words.target]))
    if words.negative is not None:
        folded = 1 - 1 / problem.guidance_scale
        empty = predict(denoiser.unconditional([None]))
        wanted = wanted + folded * (empty - predict(denoiser.unconditional([words.negative])))
    return plain, wanted
