"""Steering: adding directions to a frozen model's activations while it draws.

    h' = h + sum_i strength_i * direction_i

at each direction's sites, in the steered branch of guidance, during a window of the steps. Parts of the unconditional
branch act there while the conditional one is steered. Rows of strength 0 are not touched, so strength 0 gives the very
bits of an unsteered run. Affine directions first take out what is there of their attribute (`interventions.affine`).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, TypedDict

from directrix import checks
from directrix.directions.collection import Effect
from directrix.directions.direction import Direction
from directrix.directions.part import Part
from directrix.directions.strength import BRANCHES, Strength, checked, expand
from directrix.errors import DirectrixError, StrengthError
from directrix.interventions.affine import Removal, remove
from directrix.interventions.compatibility import check_model, fitted, rows_at_site
from directrix.interventions.finite import check_addition, check_range, watched_for_overflow
from directrix.interventions.step_window import StepWindow
from directrix.models import activations
from directrix.models.denoiser_calls import DenoiserCall, Scope
from directrix.models.identity import Site
from directrix.models.steerable import SteerableModel
from directrix.models.step_caches import renewed

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def steer(
    pipeline: Any,
    directions: Direction | Mapping[Direction, Strength],
    branch: str = "conditional",
    start: float = 0.0,
    stop: float = 1.0,
    *,
    guided: bool | None = None,
) -> AbstractContextManager[Any]:
    """Steers every image that the pipeline draws inside the `with` block.

        with steer(pipeline, {woman: 1.0, dark_skin: [0.0, 1.0]}):
            pipeline(["a judge", "a pilot"])

    Args:
        pipeline: the diffusers pipeline that will be called, or its `SteerableModel`.
        directions: a strength for each direction, a number or one per image (prompts times images per prompt,
            in the pipeline's order); or a single direction, which then has its default strength.
        branch: "conditional" (the guidance scale then multiplies the effect), "unconditional" or "both";
            without guidance there is one branch only, and it is steered. A direction's parts of the unconditional
            branch act with "conditional" alone.
        start, stop: window of the steps as fractions of the scheduler's timesteps; step i of n is steered if
            start <= i / n < stop.
        guided: whether your own calls of the denoiser hold both branches of guidance; a pipeline's calls show it.

    Raises:
        StrengthError: a strength, branch or window that is not usable, or not one strength per image.
        MismatchError: a direction of another model, or one that does not fit the size of the images.
        SiteError: the model lacks the direction's site.
    """
    return Steering(directions, branch, start, stop, guided=guided).applied(pipeline)


class Steering:
    """The intervention behind `steer`, with the same arguments."""

    def __init__(
        self,
        directions: Direction | Mapping[Direction, Strength],
        branch: str = "conditional",
        start: float = 0.0,
        stop: float = 1.0,
        *,
        guided: bool | None = None,
    ) -> None:
        if isinstance(directions, Direction):
            directions = {directions: directions.strengths.default}
        if not isinstance(directions, Mapping):
            raise DirectrixError(
                f"The directions are a {type(directions).__name__}.",
                "a Direction, or a mapping from directions to strengths.",
                "steer(pipeline, {direction: 1.0}).",
            )
        for each in directions:
            if not isinstance(each, Direction):
                raise DirectrixError(
                    f"{each!r} is a {type(each).__name__}, not a direction.",
                    "a Direction.",
                    'Direction.load("woman.safetensors").',
                )
        self.strengths: Mapping[Direction, float | tuple[float, ...]] = {
            each: checked(strength) for each, strength in directions.items()
        }
        self.branch = checks.one_of("branch", branch, BRANCHES, error=StrengthError)
        self.start, self.stop = checks.window(start, stop)
        self.guided = guided

    @property
    def name(self) -> str:
        """Such as "woman:1, dark-skinned:per image"."""
        parts = (
            f"{each.name}:{'per image' if isinstance(strength, tuple) else format(strength, 'g')}"
            for each, strength in self.strengths.items()
        )
        return ", ".join(parts) or "none"

    @property
    def config(self) -> Mapping[str, Any]:
        """Settings as JSON values."""
        return {
            "method": "steer",
            "branch": self.branch,
            "start": self.start,
            "stop": self.stop,
            "directions": [
                {
                    "name": each.name,
                    "digest": each.digest(),
                    "strength": list(strength) if isinstance(strength, tuple) else strength,
                }
                for each, strength in self.strengths.items()
            ],
        }

    def select(self, images: Sequence[int], total: int) -> Steering:
        """The steering of some images of a run of `total` images.

        Raises:
            StrengthError: there is not one strength per image of the run.
        """
        chosen: dict[Direction, Any] = {}
        for each, strength in self.strengths.items():
            if isinstance(strength, tuple):
                if len(strength) != total:
                    raise StrengthError(
                        f"There are {len(strength)} strengths of '{each.name}' for {total} images.",
                        f"one number, or {total}.",
                        "one strength per image: all images of the first prompt come first.",
                    )
                strength = tuple(strength[image] for image in images)
                # Equal settings must look equal, whether an image was drawn alone or in a batch.
                strength = strength[0] if len(set(strength)) == 1 else strength
            chosen[each] = strength
        return Steering(chosen, self.branch, self.start, self.stop, guided=self.guided)

    @contextmanager
    def applied(self, pipeline: Any) -> Iterator[Any]:
        """Steers the pipeline within the context; the hooks are gone afterwards, also after an exception."""
        model = SteerableModel.of(pipeline)
        check_model(model, self.strengths)
        for each, strength in self.strengths.items():
            check_range(each, strength)
        with self.opened(model):
            yield model.pipeline

    @contextmanager
    def opened(self, model: SteerableModel, everywhere: bool = False) -> Iterator[None]:
        """As `applied`, for directions that are known to belong to the model.

        everywhere: in calls of all threads and tasks, not only of those that open it.
        """
        by_site = parts_by_site(self.strengths)
        with ExitStack() as stack:
            if by_site:
                scope = Scope(model, self.guided, everywhere)
                acts = any(map(_is_on, self.strengths.values()))
                window = StepWindow(scope, self.start, self.stop, acts)
                stack.enter_context(scope.opened())
                if acts:
                    stack.enter_context(renewed(model.denoisers))
                    stack.enter_context(watched_for_overflow(scope, window, self.strengths))
                for site, parts in by_site.items():
                    added = _Added(self, scope, parts, window)
                    stack.enter_context(activations.edit(model, site, added, scope))
            yield

    def key(self) -> Hashable:
        """What `rows` gives follows from this, beside its arguments."""
        return None

    def now(self, direction: Direction) -> float | tuple[float, ...]:
        """The direction's strength in the present call, a number or one for each image."""
        return self.strengths[direction]

    def rows(self, direction: Direction, part: Part, batch: int, guided: bool, layout: str) -> Tensor | None:
        """The part's strength in each row of the denoiser's batch, float32 (batch,); see `strength.expand`."""
        branch = part.acts_in(self.branch, guided)
        return None if branch is None else expand(self.now(direction), batch, guided, branch, layout)


def parts_by_site(directions: Iterable[Direction]) -> dict[Site, list[tuple[Direction, Part]]]:
    """The directions' parts at each of their sites, in order."""
    found: dict[Site, list[tuple[Direction, Part]]] = {}
    for direction in directions:
        for part in direction.parts:
            found.setdefault(part.site, []).append((direction, part))
    return found


class PerImage(Steering):
    """Steering whose settings for one image name the directions that this image gets, and no others."""

    def select(self, images: Sequence[int], total: int) -> Steering:
        """The steering of some images; see `Steering.select`."""
        whole = super().select(images, total)
        acting = {each: strength for each, strength in whole.strengths.items() if strength != 0}
        return Steering(acting, self.branch, self.start, self.stop, guided=self.guided)


class Settings(TypedDict, total=False):
    """The branch of guidance and the window of steps that are steered, as `Steering` takes them."""

    branch: str
    start: float
    stop: float


def as_json(effect: Effect) -> Any:
    """An effect's directions and strengths, as JSON values."""
    return dict(Steering(effect).config)["directions"]


class _Added:
    """Adds the directions of one site to its output."""

    def __init__(
        self, steering: Steering, scope: Scope, parts: Sequence[tuple[Direction, Part]], window: StepWindow
    ) -> None:
        self._steering = steering
        self._scope = scope
        self._parts = parts
        self._by_step = any(part.weights is not None for _, part in parts)
        self._window = window
        # What is added depends on the batch alone, so that steps of one size make no new tensors.
        self._cached: dict[tuple[Any, ...], tuple[list[tuple[Tensor | slice, Tensor]], list[Removal]]] = {}

    def __call__(self, h: Tensor) -> Tensor | None:
        call = self._scope.now()
        if call is None or not self._window.open(call):
            return None
        additions, removals = self._changes(h, call)
        if not additions:
            return None
        result = h.clone()
        for rows, addition in additions:
            # Rows of strength 0 keep their bits.
            result[rows] += addition
        remove(result, h, removals)
        return result

    def _changes(self, h: Tensor, call: DenoiserCall) -> tuple[list[tuple[Tensor | slice, Tensor]], list[Removal]]:
        """For each direction the rows that it changes, what it adds to them, (rows, ...), and what it takes out."""
        import torch

        guided, layout = call.layout
        weights = None
        if self._by_step:
            fraction = call.step.fraction
            weights = tuple(part.weight(fraction) for _, part in self._parts)
        acting = self._steering.key()
        key = (
            h.shape,
            h.dtype,
            h.device,
            guided,
            layout,
            call.rows,
            weights,
            acting,
            torch.is_inference_mode_enabled(),
        )
        if key not in self._cached:
            if weights is not None or acting is not None:
                # As many tensors as there are steps, or calls, would be a lot.
                self._cached.clear()
            found, removals = [], []
            for place, (each, part) in enumerate(self._parts):
                rows = self._steering.rows(each, part, call.rows, guided, layout)
                if rows is None:
                    continue
                rows = rows_at_site(rows, h)
                if weights is not None:
                    rows = rows * weights[place]
                tensor = fitted(each.name, part, h)
                steered = rows.nonzero().flatten()
                if not len(steered):
                    # So small a strength that it is 0 in float32.
                    continue
                check_addition(float(rows.abs().max()) * tensor, each, self._steering.strengths[each], h.dtype, call)
                factors = rows[steered].to(h.device).reshape(-1, *[1] * (h.ndim - 1))
                # The product is rounded once, to the model's own precision.
                addition = (factors * tensor.to(h.device)).to(h.dtype)
                found.append((_places(steered, h.device), addition))
                if part.projection is not None:
                    removals.append(Removal(found[-1][0], rows[steered], part.projection))
            self._cached[key] = found, removals
        return self._cached[key]


def _is_on(strength: float | tuple[float, ...]) -> bool:
    return any(strength) if isinstance(strength, tuple) else strength != 0


def _places(rows: Tensor, device: torch.device) -> Tensor | slice:
    """The rows to index by; as a slice, which needs no copies of what it picks, where they follow one another."""
    first, last = int(rows[0]), int(rows[-1])
    return slice(first, last + 1) if last - first + 1 == len(rows) else rows.to(device)
