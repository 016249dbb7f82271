"""Distillation: the model's own prediction under the target prompt takes the place of the noise.

The noise is a noisy target: most of it no vector can explain. What the same model predicts when it is given
the target prompt y+ is the part that can be, so far fewer images and steps suffice::

    min_c  E_{x, t, eps} || p(x_t, t) - eps_theta(x_t, t, y-, h + c) ||^2 ,    p = eps_theta(x_t, t, y+)

A negative prompt n acts on the unconditional branch of guidance, but a direction is added to the conditional
branch alone. Guidance of scale w gives u + w (p - u), with u the unconditional prediction; a negative prompt puts
eps_theta(n) in the place of u. The conditional branch has the same effect if it answers with that folded in::

    p = eps_theta(y+) - (1 - 1/w) (eps_theta(n) - eps_theta(""))

Images of the target prompt show the concept already, and little is left for a vector to do; so x_t comes from
images of the *neutral* prompt. A model that is biased against the concept resists it elsewhere, so the target
is moved further the same way: eps_theta(y-) + a (p - eps_theta(y-)).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from directrix.checks import fraction
from directrix.discovery.frozen_denoiser import Batch
from directrix.discovery.optimize import minimise
from directrix.discovery.problem import Defaults, Fit, Method, Problem

if TYPE_CHECKING:
    from torch import Tensor

    from directrix.discovery.conditioning import Conditioning
    from directrix.discovery.samples import Samples


@dataclass(frozen=True)
class Distillation(Method):
    """Options.

    average: the mean of the iterates' last half in place of the last one.
    initial_scale: vectors start from U(-1, 1) times this times the learning rate.
    neutral_fraction: share of the images drawn from the neutral prompt, in [0, 1]; what the direction then
        learns as well is to turn a neutral image towards the target, not only to keep a target one.
    amplification: the target is moved this many times as far from the prediction under y- as p is.
    """

    average: bool = True
    initial_scale: float = 0.0
    neutral_fraction: float = 1.0
    amplification: float = 3.0

    name: ClassVar = "distillation"
    learns_from: ClassVar = "samples"
    defaults: ClassVar = Defaults(images=50, steps=150, batch_size=8, learning_rate=6.0, relative_learning_rate=0.3)
    objective: ClassVar = "min_c E || eps_theta(x_t, t, y+) - eps_theta(x_t, t, y-, h + c) ||^2"

    def __post_init__(self) -> None:
        fraction("neutral_fraction", self.neutral_fraction)

    def fit(self, problem: Problem[Samples]) -> Fit:
        """Finds the vectors; see the module."""
        target = distilled(problem, self.amplification)
        return minimise(problem, target, initial_scale=self.initial_scale, average=self.average)


def distilled(problem: Problem[Any], amplification: float) -> Callable[[Batch], Tensor]:
    """The target p of the module's text, ``amplification`` times as far from the prediction under y-."""
    denoiser, pairs = problem.denoiser, problem.data.pairs
    neutral = denoiser.encode([pair.neutral for pair in pairs])
    positive = denoiser.encode([pair.target for pair in pairs])
    negatives: tuple[Conditioning, ...] = ()
    if any(pair.negative for pair in pairs):
        # For a pair without a negative prompt both are the same, and cancel.
        each = ([pair.negative for pair in pairs], [None] * len(pairs))
        negatives = tuple(denoiser.unconditional(prompts) for prompts in each)

    def target(batch: Batch) -> Tensor:
        def predict(prompts: Conditioning) -> Tensor:
            return denoiser.predict(batch.x_t, batch.timesteps, prompts[batch.pair])

        answer = predict(positive)
        if negatives:
            negative, unconditional = map(predict, negatives)
            answer = answer - (1 - 1 / problem.guidance_scale) * (negative - unconditional)
        if amplification != 1:
            plain = predict(neutral)
            answer = plain + amplification * (answer - plain)
        return answer

    return target
