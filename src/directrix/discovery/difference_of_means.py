"""Difference, in closed form: what the prompt itself changes at the site.

    c = s * mean_{x_t, t} [ h(x_t, t, y+) - h(x_t, t, y-) ]

over states of the model's own neutral trajectories (see `trajectories`). No gradient is needed: y- is answered while
the trajectory is drawn, y+ costs one evaluation a state. s comes from a line search on the predictions.

A negative prompt n acts on the unconditional branch of guidance; as in ``distillation``, its effect is folded into the
conditional branch: (1 - 1/w) (h("") - h(n)) is added to the difference, with w the guidance scale.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from directrix.discovery.line_search import line_search
from directrix.discovery.problem import Defaults, Fit, Method, Problem

if TYPE_CHECKING:
    from torch import Tensor

    from directrix.discovery.conditioning import Conditioning
    from directrix.discovery.trajectories import Trajectories


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
    trajectories, denoiser = problem.data, problem.denoiser
    states, times = trajectories.flat(pair)

    def mean(prompt: Conditioning) -> Tensor:
        total = states.new_zeros(trajectories.neutral.shape[-3:])
        for some, at in zip(states.split(problem.batch_size), times.split(problem.batch_size), strict=True):
            total = total + denoiser.site_output(some, at, prompt.expand(len(some))).sum(dim=0).cpu()
        return total / len(states)

    words, place = trajectories.pairs[pair], trajectories.prompt[pair]
    neutral = trajectories.neutral[place].mean(dim=0)
    change = mean(denoiser.encode([words.target])) - neutral if words.target != words.neutral else neutral * 0
    if words.negative is not None:
        folded = 1 - 1 / problem.guidance_scale
        empty = trajectories.empty[place].mean(dim=0)
        change = change + folded * (empty - mean(denoiser.unconditional([words.negative])))
    return change
