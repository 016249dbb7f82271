"""What a discovery method is given, and what it gives back.

A method learns from one of two kinds of data: images that are noised (`samples.Samples`), or states that the model
itself meets while it draws (`trajectories.Trajectories`). Collecting them is separate from fitting. Either kind gives
batches of states by ``batch(step, size, seed)``; a method that takes steps needs nothing else of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, Protocol, TypeVar

from directrix.discovery.checkpoint import NOWHERE, Checkpoint
from directrix.discovery.orthogonalize import orthogonalized
from directrix.progress import Progress, silent

if TYPE_CHECKING:
    from torch import Tensor

    from directrix.discovery.frozen_denoiser import FrozenDenoiser
    from directrix.discovery.samples import Samples
    from directrix.discovery.trajectories import Trajectories
    from directrix.models.steerable import SteerableModel


D = TypeVar("D", bound="Samples | Trajectories")


@dataclass(frozen=True)
class Problem(Generic[D]):
    """The frozen model, what is learned from, and the size of what is to be found.

    data: images, or the model's own trajectories, as the method's ``learns_from`` says.
    shape: (K, C, H, W), one vector for each of K concepts at the site; (K, C, 1, 1) where it is to be free of place.
    guidance_scale: of the images, and of those that the directions are meant for.
    learning_rate: absolute; steps: in all, for all concepts together; batch_size: states a step.
    preserved: how many of the last concepts are only there to be left alone.
    orthogonalized: takes vectors of that shape apart as the run's settings say; every method ends with it.
    """

    denoiser: FrozenDenoiser
    data: D
    shape: tuple[int, int, int, int]
    guidance_scale: float
    learning_rate: float
    steps: int
    batch_size: int
    seed: int = 0
    checkpoint: Checkpoint = NOWHERE
    checkpoint_every: int = 100
    progress: Progress = silent
    preserved: int = 0
    orthogonalized: Callable[[Tensor], Tensor] = orthogonalized


@dataclass(frozen=True)
class Fit:
    """What a method found.

    vectors: float32 (K, C, H, W) on the CPU; losses: float64 (steps,), one mean over each batch, none in closed form.
    forward, forward_backward: samples through the denoiser without and with a gradient.
    """

    vectors: Tensor
    losses: Tensor | None = None
    forward: int = 0
    forward_backward: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Defaults:
    """A method's settings where the caller names none.

    images and steps are per concept; a method in closed form takes 0 steps. learning_rate is a factor on the one of the
    model's card; relative_learning_rate stands in where the card has none, and is a multiple of the root mean square of
    the site's output.
    """

    images: int
    steps: int
    batch_size: int
    learning_rate: float = 1.0
    relative_learning_rate: float = 0.05


class Method(Protocol):
    """A way to find directions: a frozen dataclass that derives from this, and whose fields are its options.

    name: as the recipe has it.
    learns_from: "samples" for a `Problem[Samples]`, "trajectories" for a `Problem[Trajectories]`; "prompts" for the
        library's own ``embedding``, which fits nothing.
    objective: one line for the recipe that says what is minimised, or the formula.
    neutral_fraction: share of the images that is drawn from the neutral prompt, in [0, 1], for a method of samples.
    retains_prompts: whether it looks at prompts under which nothing must change.
    """

    name: ClassVar[str]
    learns_from: ClassVar[Literal["samples", "trajectories", "prompts"]]
    defaults: ClassVar[Defaults]
    objective: ClassVar[str]
    neutral_fraction: float = 0.0
    retains_prompts: ClassVar[bool] = False

    def fit(self, problem: Problem[Any]) -> Fit:
        """Finds one vector for each concept of the problem."""
        ...

    def check(self, model: SteerableModel) -> None:
        """Raises DirectrixError where its options do not go with the model, before anything is drawn."""

    def describe(self) -> Mapping[str, Any]:
        """The options and the objective, for the recipe."""
        return {**vars(self), "objective": self.objective}
