"""Reconstruction, the method of the paper (Li et al., CVPR 2024, arXiv 2311.17216).

Images x+ are drawn with the target prompt. Given only the neutral prompt y-, and with c added to the output
of its mid block (h-space), the frozen denoiser should still denoise them::

    min_c  E_{x+, t, eps} || eps - eps_theta(x+_t, t, y-, h + c) ||^2

with t uniform over the training timesteps, or with v in place of eps for a model that predicts v. As in the
authors' code: 1,000 images, batches of 8, 20 epochs = 2,500 steps, Adam at a constant rate (0.1 on
SD 1.4), one c for all timesteps, starting from U(-1, 1) times the rate, the last iterate. Unlike theirs, prompts are as
long as in inference unless ``padding`` is "longest".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from directrix.checks import one_of
from directrix.discovery import prompt_padding
from directrix.discovery.optimize import minimise
from directrix.discovery.problem import Defaults, Fit, Method, Problem

if TYPE_CHECKING:
    from directrix.discovery.samples import Samples
    from directrix.models.steerable import SteerableModel


@dataclass(frozen=True)
class Reconstruction(Method):
    """Options.

    average: the mean of the iterates' last half in place of the last one (not the paper's).
    initial_scale: vectors start from U(-1, 1) times this times the learning rate.
    padding: "model" for neutral prompts of the model's length, "longest" for those of the paper (see `prompt_padding`).
    """

    average: bool = False
    initial_scale: float = 1.0
    padding: str = "model"

    name: ClassVar = "reconstruction"
    learns_from: ClassVar = "samples"
    # At a constant rate the vector's noise grows with the rate: at .05 it is nine tenths of what is learned.
    defaults: ClassVar = Defaults(images=1000, steps=2500, batch_size=8, relative_learning_rate=0.001)
    objective: ClassVar = "min_c E || eps - eps_theta(x+_t, t, y-, h + c) ||^2"

    def __post_init__(self) -> None:
        one_of("padding", self.padding, prompt_padding.PADDINGS)

    def check(self, model: SteerableModel) -> None:
        """ModelError where the model's prompts cannot be padded so."""
        if self.padding == "longest":
            prompt_padding.check(model)

    def fit(self, problem: Problem[Samples]) -> Fit:
        """Finds the vectors; see the module."""
        neutral = None
        if self.padding == "longest":
            neutral = prompt_padding.longest(problem.denoiser, [pair.neutral for pair in problem.data.pairs])
        return minimise(
            problem,
            lambda batch: problem.data.schedule.target(batch.x_0, batch.timesteps, batch.noise),
            initial_scale=self.initial_scale,
            average=self.average,
            neutral=neutral,
        )
