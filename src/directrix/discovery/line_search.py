"""How large a direction should be: where steered predictions come nearest to those that it should give.

With f(s) = eps_theta(x_t, t, y-, h + s c) and target p, f(s) is close to f(0) + s (f(1) - f(0)), so

    s = <p - f(0), f(1) - f(0)> / |f(1) - f(0)|^2
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from directrix.discovery.conditioning import Conditioning
    from directrix.discovery.problem import Problem
    from directrix.discovery.trajectories import Trajectories

# States that the search looks at, for each concept.
SEARCHED = 16
SEARCHED_OF_A_PAIR = 4


def line_search(problem: Problem[Trajectories], concept: int, vector: Tensor) -> float:
    """The s of a concept's vector; 1 where the vector changes no prediction, or only away from the target's."""
    trajectories = problem.data
    pairs = [p for p, c in enumerate(trajectories.concept) if c == concept]
    along = across = 0.0
    for place, pair in enumerate(pairs):
        flat, times = trajectories.flat(pair)
        count = min(len(flat), max(SEARCHED_OF_A_PAIR, SEARCHED // len(pairs)))
        # Spread over trajectories and steps, elsewhere for each pair.
        chosen = ((torch.arange(count) + (place + 0.5) / len(pairs)) * len(flat) / count).long()
        states, steps = flat[chosen], times[chosen]
        plain, wanted = predictions(problem, pair, states, steps)
        neutral = problem.denoiser.encode([trajectories.pairs[pair].neutral]).expand(len(states))
        with torch.no_grad():
            moved = problem.denoiser.steered(states, steps, neutral, vector[None]) - plain
        along += float(((wanted - plain) * moved).sum())
        across += float(moved.square().sum())
    return along / across if across > 0 and along > 0 else 1.0


def predictions(problem: Problem[Trajectories], pair: int, states: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
    """The denoiser's plain prediction under y-, and the one that the vector should give in its place.

    A negative prompt's effect is folded into the conditional branch, as in `distillation`.
    """
    words, denoiser = problem.data.pairs[pair], problem.denoiser

    def predict(prompt: Conditioning) -> Tensor:
        return denoiser.predict(states, times, prompt.expand(len(states)))

    plain = predict(denoiser.encode([words.neutral]))
    wanted = plain if words.target == words.neutral else predict(denoiser.encode([words.target]))
    if words.negative is not None:
        folded = 1 - 1 / problem.guidance_scale
        empty = predict(denoiser.unconditional([None]))
        wanted = wanted + folded * (empty - predict(denoiser.unconditional([words.negative])))
    return plain, wanted
