"""Trajectory: distillation on the model's own neutral trajectories, started from the closed form.

    min_c  E_{x_t, t} || p(x_t, t) - eps_theta(x_t, t, y-, h + c) ||^2 ,   p = eps_theta(x_t, t, y+)

with x_t among the states that the model meets while it draws y- (see ``follow``), as RespoDiff does it (NeurIPS 2025):
no image set, no noising. Under prompts that must not change, the mean square of the change is lowered with it.

Started from ``difference``, a few steps suffice, and what they change is what a mean of the site's output cannot know:
how the layers behind the site answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from directrix.discovery.difference_of_means import Difference
from directrix.discovery.distillation import distilled
from directrix.discovery.problem import Defaults, Fit, Problem
from directrix.errors import DirectrixError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Trajectory:
    """Options.

    average: the mean of the iterates' last half in place of the last one.
    closed_form: start from the vectors of ``difference``, not from zero.
    keep_weight: how much a change of the predictions under preserved prompts weighs, 0 or more.
    amplification: the target is moved this many times as far from the prediction under y- as p is.
    """

    average: bool = True
    closed_form: bool = True
    keep_weight: float = 1.0
    amplification: float = 1.0

    def __post_init__(self) -> None:
        for option in ("keep_weight", "amplification"):
            if not 0 <= getattr(self, option) < float("inf"):
                raise DirectrixError(f"{option} is {getattr(self, option)!r}.", "a finite number of 0 or more.", "1.0.")

    name: ClassVar[str] = "trajectory"
    source: ClassVar[str] = "trajectories"
    defaults: ClassVar[Defaults] = Defaults(images=8, steps=20, batch_size=8)
    neutral_fraction: ClassVar[float] = 1.0

    def fit(self, problem: Problem) -> Fit:
        """Finds the vectors; see the module."""
        from directrix.discovery.optimize import minimise

        initial: Tensor | None = None
        start = Fit.nothing()
        if self.closed_form:
            start = Difference().fit(problem)
            initial = start.vectors
        found = minimise(
            problem,
            distilled(problem, self.amplification),
            initial=initial,
            average=self.average,
            keep_weight=self.keep_weight if problem.trajectories.retained else 0.0,
        )
        return replace(found, forward=found.forward + start.forward, seconds=found.seconds + start.seconds)

    def describe(self) -> Mapping[str, Any]:
        """The options and the objective."""
        return {**asdict(self), "objective": "min_c E || eps_theta(x_t, t, y+) - eps_theta(x_t, t, y-, h + c) ||^2"}
