"""Directions that stay on a pipeline between its calls, handled as diffusers handles LoRA.

    pipeline = directrix.attach(pipeline)
    pipeline.load_direction("me/woman", name="woman")
    pipeline.set_directions(["woman"], [0.8])
    pipeline("a firefighter")
    pipeline.unload_directions()

At each site there is one hook for all directions. What it reads are tensors that are written in place:

    h'[row] = h[row] + sum_i s_i[row % n_i] * direction_i      for the rows of the conditional half

so that new strengths need neither another hook nor another compilation. Rows of strength 0 keep their bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from os import PathLike
from typing import TYPE_CHECKING, Any

from directrix import _hooks, hub, sites
from directrix.direction import Direction, Site
from directrix.errors import DirectrixError, MismatchError, StrengthError, suggestion
from directrix.guidance import is_guided
from directrix.steer import check_fit, check_model
from directrix.strength import Strength, checked

if TYPE_CHECKING:
    from torch import Tensor

# Strengths per image have room for so many, and twice as many when that is not enough: a larger tensor means another
# compilation.
ROOM = 16


class DirectionsMixin:
    """Methods that a pipeline gains; see `attach` and `with_directions`. Directions act on the conditional half."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if not any(
            "do_classifier_free_guidance" in vars(each) for each in cls.__mro__ if each is not DirectionsMixin
        ):
            raise DirectrixError(
                f"{cls.__name__} does not say whether its batch holds both halves of guidance.",
                "a pipeline with `do_classifier_free_guidance`, such as Stable Diffusion's.",
                "directrix.steer(pipeline, {direction: 1.0}, guided=True).",
            )

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
            revision, file, token: see `directrix.hub.locate`.

        Returns:
            Its name.

        Raises:
            DirectrixError: the name is taken, or there is no such direction.
            MismatchError: it belongs to another model.
        """
        if not isinstance(direction, Direction):
            direction = hub.load(direction, revision, file=file, token=token)
        name = direction.name if name is None else name
        loaded = _loaded(self)
        if name in loaded.entries:
            raise DirectrixError(
                f"A direction named '{name}' is loaded already.",
                "a name of its own for each.",
                f"name=..., or pipeline.delete_directions('{name}') first.",
            )
        strength = checked(direction.strengths.default if strength is None else strength)
        check_model(self, [direction])
        loaded.add(self, name, direction, strength)
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
        for entry in loaded.entries.values():
            entry.strength = 0.0
        for entry, value in zip(entries, values, strict=True):
            entry.strength = value
        loaded.write()

    def get_active_directions(self) -> list[str]:
        """Names of the directions whose strength is not 0; none while they are disabled."""
        loaded = _loaded(self)
        return [name for name, entry in loaded.entries.items() if loaded.enabled and any(entry.values)]

    def get_list_directions(self) -> list[str]:
        """Names of all directions that are loaded, in that order."""
        return list(_loaded(self).entries)

    def disable_directions(self) -> None:
        """Switches all off without forgetting their strengths; pictures have the bits of no steering."""
        _loaded(self).enable(False)

    def enable_directions(self) -> None:
        """Switches them on again, at the strengths that they had."""
        _loaded(self).enable(True)

    def delete_directions(self, names: str | Sequence[str]) -> None:
        """Removes directions; the hook of a site goes with its last one.

        Raises:
            DirectrixError: no such direction is loaded. Nothing is removed then.
        """
        loaded = _loaded(self)
        known = [names] if isinstance(names, str) else list(names)
        for name in known:
            loaded.entry(name)
        loaded.remove(dict.fromkeys(known))

    def unload_directions(self) -> None:
        """Removes all directions and every hook."""
        loaded = _loaded(self)
        loaded.remove(list(loaded.entries))
        loaded.enabled = True

    @property
    def do_classifier_free_guidance(self) -> bool:
        """As the pipeline has it. It asks before each call of its denoiser, and the hooks are told here."""
        guided = super().do_classifier_free_guidance  # pyright: ignore[reportAttributeAccessIssue]
        _loaded(self).tell(bool(guided))
        return guided

    def prepare_latents(self, *args: Any, **kwargs: Any) -> Any:
        """As the pipeline does; the number of strengths is checked against the number of images here."""
        made = super().prepare_latents(*args, **kwargs)  # pyright: ignore[reportAttributeAccessIssue]
        _loaded(self).check(self, (made[0] if isinstance(made, tuple | list) else made).shape[0])
        return made


@cache
def with_directions(pipeline_class: type) -> type:
    """The class of pipelines with the methods of `DirectionsMixin`: with_directions(StableDiffusionPipeline).

    It keeps its name, so a pipeline is saved as what it was. A class that has the methods is returned as it is.

    Raises:
        DirectrixError: the pipeline does not say whether its batch holds both halves of guidance.
    """
    if issubclass(pipeline_class, DirectionsMixin):
        return pipeline_class
    names = ("__module__", "__qualname__", "__doc__")
    told = {name: getattr(pipeline_class, name) for name in names}
    return type(pipeline_class.__name__, (DirectionsMixin, pipeline_class), told)


def attach(pipeline: Any) -> Any:
    """Gives a pipeline the methods of `DirectionsMixin`, and returns it. Twice is as good as once.

    Raises:
        DirectrixError: the pipeline does not say whether its batch holds both halves of guidance.
    """
    pipeline.__class__ = with_directions(type(pipeline))
    return pipeline


@dataclass(eq=False)
class _Entry:
    """One direction, its strengths as they were asked for, and the tensors that the hook reads."""

    direction: Direction
    strength: float | tuple[float, ...]
    tensor: Tensor
    strengths: Tensor
    count: Tensor
    written: int = 1

    @property
    def values(self) -> tuple[float, ...]:
        return self.strength if isinstance(self.strength, tuple) else (self.strength,)

    def write(self, enabled: bool) -> None:
        import torch

        values = self.values if enabled else (0.0,)
        if len(values) > len(self.strengths):
            room = len(self.strengths)
            while room < len(values):
                room *= 2
            self.strengths = torch.zeros(room, device=self.strengths.device)
        self.strengths.zero_()
        self.strengths[: len(values)] = torch.tensor(values, device=self.strengths.device)
        self.count.fill_(len(values))
        self.written = len(values)


class _Sum:
    """Adds all directions of one site to its output. torch.compile traces it, so its branches are few."""

    def __init__(self, pipeline: Any, guided: Tensor) -> None:
        self.entries: list[_Entry] = []
        self.guided = guided
        self._pipeline = pipeline

    def __call__(self, h: Tensor) -> Tensor:
        import torch

        if not torch.compiler.is_compiling():
            # Whoever calls the denoiser itself did not ask the pipeline before.
            guided = is_guided(self._pipeline)
            for each in self.entries:
                _check_number(each, h.shape[0] // (2 if guided else 1))
        if self.guided.device != h.device:
            self.guided = self.guided.to(h.device)
        row = torch.arange(h.shape[0], device=h.device)
        steered = (row >= h.shape[0] // 2) | ~self.guided
        for each in self.entries:
            check_fit(each.direction, h)
            if each.tensor.device != h.device:
                each.tensor, each.strengths, each.count = (
                    kept.to(h.device) for kept in (each.tensor, each.strengths, each.count)
                )
            factors = torch.where(steered, each.strengths[row % each.count], 0.0)
            factors = factors.reshape(-1, *[1] * (h.ndim - 1))
            h = torch.where(factors != 0, h + (factors * each.tensor).to(h.dtype), h)
        return h


class _Loaded:
    """The directions of one pipeline, and the hooks that add them."""

    def __init__(self) -> None:
        self.entries: dict[str, _Entry] = {}
        self.enabled = True
        self._sums: dict[Site, tuple[_Sum, ExitStack]] = {}
        self._network: Any = None
        self._guided = False

    def entry(self, name: str) -> _Entry:
        if name not in self.entries:
            raise DirectrixError(
                f"No direction '{name}' is loaded.", "a name of one that is.", suggestion(name, self.entries)
            )
        return self.entries[name]

    def add(
        self, pipeline: Any, name: str, direction: Direction, strength: float | tuple[float, ...]
    ) -> None:
        import torch

        self.check(pipeline)
        self._network = sites.denoiser(pipeline)
        device = next(iter(self._network.parameters())).device
        flat = direction.tensor.ndim == 1 and direction.site.layout == "channels-first"
        tensor = direction.tensor[:, None, None] if flat else direction.tensor
        count = torch.ones((), dtype=torch.long, device=device)
        entry = _Entry(direction, strength, tensor.to(device), torch.zeros(ROOM, device=device), count)
        entry.write(self.enabled)
        if direction.site not in self._sums:
            self._hook(pipeline, direction.site, device)
        self._sums[direction.site][0].entries.append(entry)
        self.entries[name] = entry

    def _hook(self, pipeline: Any, site: Site, device: Any) -> None:
        import torch

        module = sites.module_of(pipeline, site)
        added = _Sum(pipeline, torch.tensor(self._guided, device=device))
        stack = ExitStack()
        stack.enter_context(_hooks.edit_output(module, added))
        self._sums[site] = added, stack
        if _is_compiled(pipeline, self._network):
            # What was compiled without the hook would go on without it.
            torch.compiler.reset()

    def remove(self, names: Iterable[str]) -> None:
        for name in names:
            entry = self.entries.pop(name)
            added, stack = self._sums[entry.direction.site]
            # Compiled code may hold on to the sum, never to a direction in it.
            added.entries.remove(entry)
            if not added.entries:
                stack.close()
                del self._sums[entry.direction.site]

    def write(self) -> None:
        for entry in self.entries.values():
            entry.write(self.enabled)

    def enable(self, enabled: bool) -> None:
        self.enabled = enabled
        self.write()

    def tell(self, guided: bool) -> None:
        if guided != self._guided:
            self._guided = guided
            for added, _ in self._sums.values():
                added.guided.fill_(guided)

    def check(self, pipeline: Any, images: int | None = None) -> None:
        """Raises where the denoiser is another than the one with the hooks, or strengths do not count the images."""
        if self.entries and sites.denoiser(pipeline) is not self._network:
            raise MismatchError(
                "The pipeline has another denoiser than when its directions were loaded.",
                "the one that they were loaded for.",
                "unload_directions(), then load_direction(...) again.",
            )
        if images is not None:
            for entry in self.entries.values():
                _check_number(entry, images)


def _check_number(entry: _Entry, images: int) -> None:
    if entry.written not in (1, images):
        raise StrengthError(
            f"There are {entry.written} strengths of '{entry.direction.name}' for {images} images.",
            f"one number, or {images} (prompts times images per prompt).",
            "set_directions with one strength per image: all images of the first prompt come first.",
        )


def _is_compiled(pipeline: Any, network: Any) -> bool:
    held = (getattr(pipeline, name, None) for name in ("unet", "transformer"))
    return any(hasattr(each, "_orig_mod") for each in held) or any(
        getattr(each, "_compiled_call_impl", None) is not None for each in network.modules()
    )


def _loaded(pipeline: Any) -> _Loaded:
    # Not in __init__: a pipeline that was made before it was attached never runs ours.
    kept = vars(pipeline)
    if "_directions" not in kept:
        kept["_directions"] = _Loaded()
    return kept["_directions"]
