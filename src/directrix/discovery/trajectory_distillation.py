"""Trajectory: distillation on the model's own neutral trajectories, started from the closed form.

    min_c  E_{x_t, t} || p(x_t, t) - eps_theta(x_t, t, y-, h + c) ||^2 ,   p = eps_theta(x_t, t, y+)

with x_t among the states that the model meets while it draws y- (see `trajectories`), as RespoDiff does it (NeurIPS
2025): no image set, no noising. Under prompts that must not change, the mean square of the change is lowered with it.

Started from ``difference``, a few steps suffice, and what they change is what a mean of the site's output cannot know:
how the layers behind the site answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from torch.nn.functional import mse_loss

from directrix.checks import number
from directrix.discovery.difference_of_means import Difference
from directrix.discovery.distillation import distilled
from directrix.discovery.optimize import minimise
from directrix.discovery.problem import Defaults, Fit, Method, Problem

if TYPE_CHECKING:
    from torch import Tensor

    from directrix.discovery.trajectories import Trajectories


@dataclass(frozen=True)
class Trajectory(Method):
    """Options.

    average: the mean of the iterates' last half in place of the last one.
    closed_form: start from the vectors of ``difference``, not from zero.
    keep_weight: how much a change of the predictions under preserved prompts weighs, 0 or more.
    amplification: the target is moved this many times as far from the prediction under y- as p is, 0 or more.
    """

    average: bool = True
    closed_form: bool = True
    keep_weight: float = 1.0
    amplification: float = 1.0

    name: ClassVar = "trajectory"
    learns_from: ClassVar = "trajectories"
    defaults: ClassVar = Defaults(images=8, steps=20, batch_size=8)
    objective: ClassVar = "min_c E || eps_theta(x_t, t, y+) - eps_theta(x_t, t, y-, h + c) ||^2"
    retains_prompts: ClassVar = True

    def __post_init__(self) -> None:
        for option in ("keep_weight", "amplification"):
            number(option, getattr(self, option), 0)

    def fit(self, problem: Problem[Trajectories]) -> Fit:
        """Finds the vectors; see the module."""
        start = Difference().fit(problem) if self.closed_form else None
        weighs = self.keep_weight and problem.data.retained
        found = minimise(
            problem,
            distilled(problem, self.amplification),
            initial=None if start is None else start.vectors,
            average=self.average,
            change=_retained_change(problem, self.keep_weight) if weighs else None,
        )
        if start is None:
            return found
        return replace(found, forward=found.forward + start.forward, seconds=found.seconds + start.seconds)


def _retained_change(problem: Problem[Trajectories], weight: float) -> Callable[[int, Tensor], Tensor]:
    """The weighted mean square by which vectors change the predictions under the prompts that must not change."""
    denoiser, trajectories = problem.denoiser, problem.data
    embeddings = denoiser.encode(list(trajectories.prompts))

    def change(step: int, vectors: Tensor) -> Tensor:
        batch = trajectories.retained_batch(step, problem.batch_size, problem.seed).to(denoiser.device)
        prompts = embeddings[batch.pair]
        plain = denoiser.predict(batch.x_t, batch.timesteps, prompts)
        return weight * mse_loss(denoiser.steered(batch.x_t, batch.timesteps, prompts, vectors[batch.concept]), plain)

    return change
