"""What a discovery method is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    from torch import Tensor

    from directrix.discover.checkpoint import Checkpoint
    from directrix.discover.collect import Samples
    from directrix.discover.denoiser import FrozenDenoiser
    from directrix.discover.schedule import Schedule
    from directrix.progress import Progress


@dataclass(frozen=True)
class Problem:
    """The frozen model, the images, and the size of what is to be found.

    shape: (K, C, H, W), one vector for each of K concepts at the site.
    guidance_scale: of the images, and of the pictures the directions are meant for.
    learning_rate: absolute; steps: in all, for all concepts together; batch_size: images a step.
    """

    denoiser: FrozenDenoiser
    schedule: Schedule
    samples: Samples
    shape: tuple[int, int, int, int]
    guidance_scale: float
    learning_rate: float
    steps: int
    batch_size: int
    seed: int = 0
    checkpoint: Checkpoint | None = None
    checkpoint_every: int = 100
    progress: Progress | None = None


@dataclass(frozen=True)
class Fit:
    """What a method found.

    vectors: float32 (K, C, H, W) on the CPU; losses: float64 (steps,), one mean over each batch.
    forward, forward_backward: samples through the denoiser without and with a gradient.
    """

    vectors: Tensor
    losses: Tensor
    forward: int
    forward_backward: int
    seconds: float


@dataclass(frozen=True)
class Defaults:
    """A method's settings where the caller names none.

    images and steps are per concept. learning_rate is a factor on the model's own (see ``discover``).
    """

    images: int
    steps: int
    batch_size: int
    learning_rate: float = 1.0


class Method(Protocol):
    """A way to find directions: a frozen dataclass whose fields are its options."""

    name: ClassVar[str]
    defaults: ClassVar[Defaults]

    @property
    def neutral_fraction(self) -> float:
        """Share of the images that is drawn from the neutral prompt, in [0, 1]."""
        ...

    def fit(self, problem: Problem) -> Fit:
        """Finds one vector for each concept of the problem."""
        ...

    def describe(self) -> Mapping[str, Any]:
        """The options, and one line saying what is minimised, for the recipe."""
        ...
