"""What a discovery method is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from directrix.discovery.orthogonalize import Separation

if TYPE_CHECKING:
    from torch import Tensor

    from directrix.discovery.checkpoint import Checkpoint
    from directrix.discovery.frozen_denoiser import FrozenDenoiser
    from directrix.discovery.noise_schedule import Noising
    from directrix.discovery.samples import Samples
    from directrix.discovery.trajectories import Trajectories
    from directrix.progress import Progress


@dataclass(frozen=True)
class Problem:
    """The frozen model, what is learned from, and the size of what is to be found.

    schedule: how images are noised, for a method of images.
    data: images, or the model's own trajectories, as the method's ``source`` says.
    shape: (K, C, H, W), one vector for each of K concepts at the site; (K, C, 1, 1) where it is to be free of place.
    guidance_scale: of the images, and of the pictures the directions are meant for.
    learning_rate: absolute; steps: in all, for all concepts together; batch_size: images a step.
    """

    denoiser: FrozenDenoiser
    schedule: Noising | None
    data: Samples | Trajectories
    shape: tuple[int, int, int, int]
    guidance_scale: float
    learning_rate: float
    steps: int
    batch_size: int
    seed: int = 0
    checkpoint: Checkpoint | None = None
    checkpoint_every: int = 100
    progress: Progress | None = None
    separation: Separation = field(default_factory=Separation)

    @property
    def noising(self) -> Noising:
        """How images are noised, for a method of images."""
        assert self.schedule is not None
        return self.schedule

    @property
    def samples(self) -> Samples:
        """The images, for a method of images."""
        from directrix.discovery.samples import Samples

        assert isinstance(self.data, Samples)
        return self.data

    @property
    def trajectories(self) -> Trajectories:
        """The trajectories, for a method of trajectories."""
        from directrix.discovery.trajectories import Trajectories

        assert isinstance(self.data, Trajectories)
        return self.data


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

    @classmethod
    def nothing(cls) -> Fit:
        """No vectors, at no cost."""
        import torch

        return cls(torch.zeros(0), torch.zeros(0, dtype=torch.float64), 0, 0, 0.0)


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
    """A way to find directions: a frozen dataclass whose fields are its options."""

    name: ClassVar[str]
    # What it learns from: "images" (see ``collect``) or "trajectories" (see ``follow``).
    source: ClassVar[str]
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
