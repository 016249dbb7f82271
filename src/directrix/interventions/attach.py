"""Directions that stay on a pipeline between its calls, handled as diffusers handles LoRA.

    pipeline = directrix.attach(pipeline)
    pipeline.load_direction("me/woman", name="woman")
    pipeline.set_directions(["woman"], [0.8])
    pipeline("a firefighter")
    pipeline.unload_directions()

What is loaded is steered as `steer` does it, with one steering for all of it that stays open. New strengths open it
anew, which a compiled model does not notice; strength 0 keeps the hooks and every bit of the images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache
from os import PathLike
from typing import TYPE_CHECKING, Any

from directrix.directions import hub
from directrix.directions.direction import Direction
from directrix.directions.strength import Strength, checked, images_of
from directrix.errors import DirectrixError, MismatchError, StrengthError, suggestion
from directrix.interventions.compatibility import check_model
from directrix.interventions.finite import check_range
from directrix.interventions.steering import Steering
from directrix.models.steerable import SteerableModel

if TYPE_CHECKING:
    from torch import Tensor

    from directrix.directions.part import Part


class DirectionsMixin:
    """Methods that a pipeline gains; see `attach` and `with_directions`. The conditional branch is steered."""

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        # The class is made at run time, and the steering belongs to this very denoiser: a copy opens its own.
        state = {name: value for name, value in vars(self).items() if name != "_directions"}
        loaded = _loaded(self)
        return _restored, (_plain(type(self)), state, dict(loaded.entries), loaded.enabled)

    def load_direction(
        self,
        direction: Direction | str | PathLike[str],
        name: str | None = None,
        *,
        strength: Strength | None = None,
        revision: str | None = None,
        file: str = hub.FILE,
        token: str | bool | None = None,
    ) -> str:
        """Loads a direction beside those that are there, and switches it on.

        Args:
            direction: a Direction, a file, a folder, or "owner/name[@revision]" on the Hugging Face hub.
            name: what it is called from now on; None for its own name.
            strength: a number or one per image; None for the direction's default.
            revision, file, token: see `directrix.directions.hub.locate`.

        Returns:
            Its name.

        Raises:
            DirectrixError: the name is taken, or there is no such direction.
            MismatchError: it belongs to another model.
            SiteError: the model lacks its site.
            StrengthError: a strength that is no number, or a pipeline whose batches have three parts.
        """
        if not isinstance(direction, Direction):
            direction = Direction.from_pretrained(direction, revision, file=file, token=token)
        name = direction.name if name is None else name
        loaded = _loaded(self)
        if name in loaded.entries:
            raise DirectrixError(
                f"A direction named '{name}' is loaded already.",
                "a name of its own for each.",
                f"name=..., or pipeline.delete_directions('{name}') first.",
            )
        strength = checked(direction.strengths.default if strength is None else strength)
        check_model(SteerableModel.of(self), [direction])
        check_range(direction, strength)
        # By its name here: a direction may be loaded twice, and errors call it what the user does.
        entry = _Entry(direction.with_(name=name), strength)
        loaded.steer(self, {**loaded.entries, name: entry}, loaded.enabled)
        return name

    def set_directions(
        self, names: str | Sequence[str], strengths: Strength | Sequence[Strength] | None = None
    ) -> None:
        """Switches these directions on, at these strengths, and all others off.

        Args:
            names: one name or several.
            strengths: for one name a number or one per image; for several a number for all, or a list with a number, a
                list of one per image, or None for each; None for each direction's default.

        Raises:
            DirectrixError: no such direction is loaded.
            StrengthError: not one strength a name, or a strength that is no number. Nothing is changed then.
        """
        loaded = _loaded(self)
        known = [names] if isinstance(names, str) else list(names)
        entries = [loaded.entry(name) for name in known]
        given: list[Any]
        if isinstance(names, str):
            # A list of one is how diffusers would have it, and counts for all images; a longer one is an image each.
            given = [strengths]
        elif strengths is None or isinstance(strengths, int | float):
            given = [strengths] * len(known)
        else:
            given = list(strengths)
        if len(given) != len(known) or len(set(known)) != len(known):
            raise StrengthError(
                f"There are {len(given)} strengths for {len(set(known))} directions.",
                "one strength for each, and each direction once.",
                'set_directions(["woman", "old"], [1.0, [0.0, 0.5]]).',
            )
        values = [
            checked(entry.direction.strengths.default if each is None else each)
            for entry, each in zip(entries, given, strict=True)
        ]
        for entry, value in zip(entries, values, strict=True):
            check_range(entry.direction, value)
        given_by_name = dict(zip(known, values, strict=True))
        changed = {
            name: replace(entry, strength=given_by_name.get(name, 0.0)) for name, entry in loaded.entries.items()
        }
        loaded.steer(self, changed, loaded.enabled)

    def get_active_directions(self) -> list[str]:
        """Names of the directions whose strength is not 0; none while they are disabled."""
        loaded = _loaded(self)
        return [name for name, entry in loaded.entries.items() if loaded.enabled and any(entry.values)]

    def get_list_directions(self) -> list[str]:
        """Names of all directions that are loaded, in that order."""
        return list(_loaded(self).entries)

    def disable_directions(self) -> None:
        """Switches all off without forgetting their strengths; images have the bits of no steering."""
        loaded = _loaded(self)
        loaded.steer(self, loaded.entries, False)

    def enable_directions(self) -> None:
        """Switches them on again, at the strengths that they had."""
        loaded = _loaded(self)
        loaded.steer(self, loaded.entries, True)

    def delete_directions(self, names: str | Sequence[str]) -> None:
        """Removes directions; the hook of a site goes with its last one.

        Raises:
            DirectrixError: no such direction is loaded. Nothing is removed then.
        """
        loaded = _loaded(self)
        known = [names] if isinstance(names, str) else list(names)
        for name in known:
            loaded.entry(name)
        retained = {name: entry for name, entry in loaded.entries.items() if name not in known}
        loaded.steer(self, retained, loaded.enabled)

    def unload_directions(self) -> None:
        """Removes all directions and every hook, also those on a denoiser that the pipeline no longer has."""
        _loaded(self).steer(self, {}, True)

    def prepare_latents(self, *args: Any, **kwargs: Any) -> Any:
        """As the pipeline does; the number of strengths is checked against the number of images here."""
        made = super().prepare_latents(*args, **kwargs)  # pyright: ignore[reportAttributeAccessIssue]
        _loaded(self).check(self, (made[0] if isinstance(made, tuple | list) else made).shape[0])
        return made


@cache
def with_directions(pipeline_class: type) -> type:
    """The class of pipelines with the methods of `DirectionsMixin`: with_directions(StableDiffusionPipeline).

    It keeps its name, so a pipeline is saved as what it was. A class that has the methods is returned as it is.
    """
    if issubclass(pipeline_class, DirectionsMixin):
        return pipeline_class
    names = ("__module__", "__qualname__", "__doc__")
    described = {name: getattr(pipeline_class, name) for name in names}
    return type(pipeline_class.__name__, (DirectionsMixin, pipeline_class), described)


def attach(pipeline: Any) -> Any:
    """Gives a pipeline (or that of a `SteerableModel`) the methods of `DirectionsMixin`, and returns it.

    What is loaded acts in all threads and tasks, as a LoRA does.
    """
    pipeline = SteerableModel.of(pipeline).pipeline
    pipeline.__class__ = with_directions(type(pipeline))
    return pipeline


def _plain(pipeline_class: type) -> type:
    """The class of pipelines that the methods were added to."""
    return next(each for each in pipeline_class.__mro__[1:] if not issubclass(each, DirectionsMixin))


def _restored(pipeline_class: type, state: dict[str, Any], entries: Mapping[str, _Entry], enabled: bool) -> Any:
    """A copy of a pipeline with directions, which has its own steering."""
    pipeline: Any = object.__new__(pipeline_class)
    vars(pipeline).update(state)
    pipeline = attach(pipeline)
    if entries:
        _loaded(pipeline).steer(pipeline, entries, enabled)
    return pipeline


@dataclass(frozen=True)
class _Entry:
    """One direction, and its strengths as they were asked for."""

    direction: Direction
    strength: float | tuple[float, ...]

    @property
    def values(self) -> tuple[float, ...]:
        return self.strength if isinstance(self.strength, tuple) else (self.strength,)

    @property
    def for_all(self) -> float | tuple[float, ...]:
        """The strength, where a single number in a list counts for all images."""
        first, *rest = self.values
        return self.strength if rest else first

    def check(self, images: int) -> None:
        """Raises StrengthError unless there is one strength, or one for each of the images."""
        if len(self.values) not in (1, images):
            raise StrengthError(
                f"There are {len(self.values)} strengths of '{self.direction.name}' for {images} images.",
                f"one number, or {images} (prompts times images per prompt).",
                "set_directions with one strength per image: all images of the first prompt come first.",
            )


class _Standing(Steering):
    """The steering of what is loaded, which names the direction whose strengths do not count the images."""

    def __init__(self, entries: Mapping[str, _Entry], enabled: bool) -> None:
        super().__init__({each.direction: each.for_all if enabled else 0.0 for each in entries.values()})

    def rows(self, direction: Direction, part: Part, batch: int, guided: bool, layout: str) -> Tensor | None:
        _Entry(direction, self.strengths[direction]).check(images_of(batch, guided, layout))
        return super().rows(direction, part, batch, guided, layout)


class _Loaded:
    """The directions of one pipeline, and the steering with them that is open."""

    def __init__(self) -> None:
        self.entries: Mapping[str, _Entry] = {}
        self.enabled = True
        self._open = ExitStack()
        self._network: Any = None
        self._compiled = False

    def entry(self, name: str) -> _Entry:
        if name not in self.entries:
            raise DirectrixError(
                f"No direction '{name}' is loaded.", "a name of one that is.", suggestion(name, self.entries)
            )
        return self.entries[name]

    def steer(self, pipeline: Any, entries: Mapping[str, _Entry], enabled: bool) -> None:
        """Steers with these directions from now on; where that cannot be, an error leaves all as it was."""
        if entries:
            self.check(pipeline)
        before = self.entries, self.enabled
        self._open.close()
        try:
            self._steer(SteerableModel.of(pipeline), entries, enabled)
        except Exception:
            self._steer(SteerableModel.of(pipeline), *before)
            raise

    def _steer(self, model: SteerableModel, entries: Mapping[str, _Entry], enabled: bool) -> None:
        if entries:
            self._network, self._compiled = model.denoiser, model.compiled
            self._open.enter_context(_Standing(entries, enabled).opened(model, everywhere=True))
        self.entries, self.enabled = entries, enabled

    def check(self, pipeline: Any, images: int | None = None) -> None:
        """Raises where the denoiser is another than the one with the hooks, or strengths do not count the images.

        Where it was compiled since the hooks were opened, they are opened anew, as compiled models need them.
        """
        if not self.entries:
            return
        model = SteerableModel.of(pipeline)
        if model.denoiser is not self._network:
            raise MismatchError(
                "The pipeline has another denoiser than when its directions were loaded.",
                "the one that they were loaded for.",
                "unload_directions(), then load_direction(...) again.",
            )
        if images is not None and model.compiled != self._compiled:
            self.steer(pipeline, self.entries, self.enabled)
        if images is not None and self.enabled:
            for entry in self.entries.values():
                entry.check(images)


def _loaded(pipeline: Any) -> _Loaded:
    # Not in __init__: a pipeline that was made before it was attached never runs ours.
    return vars(pipeline).setdefault("_directions", _Loaded())
