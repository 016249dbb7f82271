"""The settings of a discovery, by what they are for; None leaves a setting to the method or to the model.

discover(pipeline, concept, sampling=Sampling(images=4), optimizer=Optimizer(steps=10))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import wraps
from typing import Any, TypeVar

from directrix.checks import number, one_of, whole_number
from directrix.concept import AttributeSet, Concept
from directrix.deprecation import warn
from directrix.errors import ConceptError, DirectrixError

SHAPES = ("map", "channel")

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Sampling:
    """How the pipeline draws what a discovery learns from: images, or trajectories.

    Args:
        images: for each concept, at least 1; None for the method's own number.
        batch_size: images drawn at once, at least 1. A checkpoint is written after each batch of images, or, where
            trajectories are recorded, after each neutral prompt.
        guidance_scale, num_inference_steps: None for those on the model's card.
        call: further arguments of the pipeline's call, as JSON values: height, width, max_sequence_length, ...

    Raises:
        DirectrixError: a number is out of its range.
    """

    images: int | None = None
    batch_size: int = 8
    guidance_scale: float | None = None
    num_inference_steps: int | None = None
    call: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        for name in ("images", "num_inference_steps"):
            if getattr(self, name) is not None:
                whole_number(name, getattr(self, name))
        whole_number("batch_size", self.batch_size)


@dataclass(frozen=True)
class Optimizer:
    """How a method that is no closed form fits its vectors.

    Args:
        steps: for each concept. A run of several concepts has as many times the steps, so that each concept's images
            are gone through as often as alone. None for the method's own number; a closed form takes none.
        batch_size: states in a step, or that a closed form looks at together, at least 1; None for the method's own.
        learning_rate: Adam's, above 0; None for the one on the model's card (0.1 on SD 1.4) times the method's factor,
            else the method's multiple of the root mean square of the site's output (see `problem.Defaults`).
        checkpoint_every: steps from one checkpoint to the next, at least 1.

    Raises:
        DirectrixError: a number out of its range.
    """

    steps: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    checkpoint_every: int = 100

    def __post_init__(self) -> None:
        if self.steps is not None:
            whole_number("steps", self.steps, 0)
        if self.batch_size is not None:
            whole_number("batch_size", self.batch_size)
        whole_number("checkpoint_every", self.checkpoint_every)
        if self.learning_rate is not None:
            number("learning_rate", self.learning_rate, above=0)


@dataclass(frozen=True)
class Orthogonalization:
    """What is taken out of the vectors of a run, and which form they get (see `orthogonalize`).

    Args:
        contrast: take out what all the concepts share, so that opposites are opposite; two or more concepts. None for
            not to, or in `discover_attribute` to do so where there are two values. Of three and more, `embedding` also
            adds what `discovery.opposed` says.
        preserve: concepts that must not change, such as those of skin tone where the concepts are genders. They are
            learned in the same run, and the space that they span is taken out. Or prompts, such as "a dog", under which
            nothing must change (method "trajectory" only). None for nothing, or in `discover_attribute` for all other
            attributes that are known.
        shape: "map" for a direction (C, H, W), tied to the pipeline's own image size, or "channel" for (C,), free of
            it. Where the site has tokens in place of height and width, it is always (C,).
        rank: of a map, as a matrix (C, H * W), at least 1; None for a full one.

    Raises:
        ConceptError: something cannot be preserved.
        DirectrixError: there is no such shape, or a rank that does not go with the other settings.
    """

    contrast: bool | None = None
    preserve: Sequence[Concept | AttributeSet | str] | Concept | AttributeSet | str | None = None
    shape: str = "map"
    rank: int | None = None

    def __post_init__(self) -> None:
        one_of("shape", self.shape, SHAPES)
        preserved, _ = self.preserved()
        if self.rank is not None and whole_number("rank", self.rank) and (preserved or self.shape == "channel"):
            raise DirectrixError(
                f"A rank was given {'together with concepts to preserve' if preserved else 'for the shape channel'}.",
                "a rank for a map from which nothing is taken out: truncated, it would not be free of it any longer.",
                "rank=None.",
            )

    def preserved(self) -> tuple[list[Concept], list[str]]:
        """What must not change: concepts, and prompts."""
        preserve = () if self.preserve is None else self.preserve
        concepts: list[Concept] = []
        prompts: list[str] = []
        for each in [preserve] if isinstance(preserve, Concept | AttributeSet | str) else preserve:
            if isinstance(each, AttributeSet):
                concepts += each.concepts
            elif isinstance(each, Concept):
                concepts.append(each)
            elif isinstance(each, str) and each.strip():
                prompts.append(each)
            else:
                raise ConceptError(
                    f"{each!r} cannot be preserved.",
                    "a concept, an attribute set or a prompt.",
                    'preserve=[SKIN_TONE, "a dog"].',
                )
        return concepts, prompts

    def attributes(self) -> list[tuple[Concept, ...]]:
        """The concepts of each attribute that must not change."""
        preserve = (self.preserve,) if isinstance(self.preserve, AttributeSet | Concept | str) else self.preserve
        return [each.concepts for each in preserve or () if isinstance(each, AttributeSet)]


_GROUPS: dict[str, type] = {"sampling": Sampling, "optimizer": Optimizer, "orthogonalization": Orthogonalization}
# Where a setting of one name stands: `batch_size` alone is the optimizer's.
_PLACES = {each.name: (group, each.name) for group, cls in _GROUPS.items() for each in fields(cls)}
_PLACES |= {"batch_size": ("optimizer", "batch_size"), "collection_batch_size": ("sampling", "batch_size")}


def grouped(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by the names that recipes and the command line have for them, in their groups; others as they are.

    {"images": 4, "seed": 1} becomes {"sampling": Sampling(images=4), "seed": 1}.
    """
    found = {name: value for name, value in settings.items() if name not in _PLACES}
    for group, cls in _GROUPS.items():
        given = {_PLACES[name][1]: settings[name] for name in settings if _PLACES.get(name, ("",))[0] == group}
        if given:
            found[group] = replace(found.get(group) or cls(), **given)
    return found


def regrouped(function: F) -> F:
    """Lets a function take the settings by the names that they had as arguments, for one release."""

    @wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        for name in kwargs:
            if name in _PLACES:
                group, field = _PLACES[name]
                warn(f"{name}=", f"{group}={_GROUPS[group].__name__}({field}=...)")
        return function(*args, **grouped(kwargs))

    return called  # pyright: ignore[reportReturnType]
