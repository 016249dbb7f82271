"""Interventions that look before they add: at each step, what is this image's prompt about?

Let h_c and h_u be the activations at the site in the conditional and the unconditional branch of guidance (or under the
negative prompt). Their difference is what the prompt is about at this step; whatever was added before counts as the
prompt's. Both branches are in one batch, so looking costs no further pass; where they are not, there is nothing to
compare, and an error says so unless the subclass can do without. What is added is h + sum_j w_j c_j, of candidates c_j
that all have one site, with weights w that a subclass decides for each image (`NearestConcept`, `ConceptErasure`,
`ProjectAndSet`). Of directions that is what can be compared (`interventions.comparable`); their parts in the
unconditional branch are left out, unless the subclass adds them (`beside`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from copy import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from directrix.directions.collection import Effect
from directrix.directions.strength import expand
from directrix.errors import StrengthError
from directrix.interventions.comparable import compared, sites_of
from directrix.interventions.compatibility import check_model, fitted
from directrix.interventions.finite import watched_for_overflow
from directrix.interventions.steering import Steering, as_json
from directrix.interventions.step_window import StepWindow
from directrix.models import activations
from directrix.models.denoiser_calls import Scope
from directrix.models.identity import Site
from directrix.models.steerable import SteerableModel
from directrix.models.step_caches import renewed

if TYPE_CHECKING:
    import torch
    from torch import Tensor

# The category of candidates that are only looked at: they are on in no image.
RETAINED = ""


@dataclass
class StepState:
    """How far a batch of images is.

    fraction: of the steps, in [0, 1). timestep: in the scheduler's units, where an intervention asked to know the
    step. without: h_u, the unconditional branch, float32 (images, ...). retained: whatever is to outlast a step.
    site: the name of the one that is looked at.
    """

    fraction: float = 0.0
    timestep: float | None = None
    without: Tensor | None = None
    retained: dict[str, Tensor] = field(default_factory=dict)
    site: str = ""

    def move(self, fraction: float) -> None:
        """To the next step, or to the first one of other images, for which nothing is retained."""
        if fraction < self.fraction:
            self.retained.clear()
        self.fraction = fraction


class PromptConditioned(ABC):
    """An intervention of categories, whose candidates are weighed by step and image.

    Args:
        categories: for each, its directions and strengths; all at one site.
        on: for each image of the run, the categories that may act; None for all of them always.
        branch, start, stop: as in `steer`.

    Raises:
        StrengthError, MismatchError: directions that cannot be compared; see `comparable.sites_of`.
    """

    combine: ClassVar[str]
    # What errors advise where images cannot be looked at.
    instead: ClassVar[str] = "combine='sum'"
    # Whether directions may be at several sites, at each of which it then decides anew.
    several_sites: ClassVar[bool] = False
    # Whether it must know the present step.
    remembers: ClassVar[bool] = False

    def __init__(
        self,
        categories: Mapping[str, Effect],
        on: Sequence[frozenset[str]] | None = None,
        branch: str = "conditional",
        start: float = 0.0,
        stop: float = 1.0,
    ) -> None:
        checked = Steering({}, branch, start, stop)
        self._settings: dict[str, Any] = {"branch": checked.branch, "start": checked.start, "stop": checked.stop}
        self._categories = dict(categories)
        self._on = None if on is None else tuple(on)
        self._sites = sites_of(self._categories.values(), self.several_sites, self.instead)

    @property
    def name(self) -> str:
        """Such as "nearest weapon, alcohol"."""
        return f"{self.combine} " + ", ".join(self._used())

    @property
    def config(self) -> Mapping[str, Any]:
        """Settings as JSON values."""
        config: dict[str, Any] = {
            "method": "safe",
            "combine": self.combine,
            **self._settings,
            "categories": {name: as_json(self._categories[name]) for name in self._used()},
        }
        if self._on is not None and len(set(self._on)) > 1:
            config["on"] = [sorted(each) for each in self._on]
        return config

    def select(self, images: Sequence[int], total: int) -> PromptConditioned:
        """The same for some images of a run of `total` images; StrengthError where it is of another run."""
        if self._on is None:
            return self
        if len(self._on) != total:
            raise StrengthError(
                f"Categories are chosen for {len(self._on)} images, not for {total}.", "a plan of this run."
            )
        return self.over([self._on[image] for image in images])

    @contextmanager
    def applied(self, pipeline: Any) -> Iterator[Any]:
        """Steers the pipeline within the context.

        Raises:
            MismatchError: a direction of another model.
            StrengthError: (while drawing) images without guidance, or of another number than was planned.
        """
        model = SteerableModel.of(pipeline)
        candidates = self.candidates() if self._used() else []
        check_model(model, (each for _, effect in candidates for each in effect))
        with ExitStack() as stack:
            if candidates and self._sites:
                scope = Scope(model)
                window = StepWindow(scope, self._settings["start"], self._settings["stop"])
                stack.enter_context(scope.opened())
                stack.enter_context(renewed(model.denoisers))
                strengths = {
                    each: strength for effect in self._categories.values() for each, strength in effect.items()
                }
                stack.enter_context(watched_for_overflow(scope, window, strengths))
                for site in self._sites:
                    added = _Added(self, site, candidates, scope, self._on, self._settings["branch"], window)
                    stack.enter_context(activations.edit(model, site, added, scope))
                stack.enter_context(self.beside().opened(model))
            yield model.pipeline

    def over(self, on: Sequence[frozenset[str]]) -> PromptConditioned:
        """The same, for images with these categories on."""
        other = copy(self)
        other._on = tuple(on)
        return other

    def beside(self) -> Steering:
        """What is added whatever the prompt says."""
        return Steering({})

    @abstractmethod
    def candidates(self) -> list[tuple[str, Effect]]:
        """What is weighed: the category and the effect of each."""

    @abstractmethod
    def weights(self, about: Tensor, candidates: Tensor, on: Tensor, state: StepState) -> Tensor:
        """How much of each candidate an image gets.

        about: h_c - h_u, float32 (images, D); candidates: (n, D); on: bool (images, n), which of them may act in an
        image. Returns (images, n), 0 in all of an image that none is on in.
        """

    def unseen(self, on: Tensor) -> Tensor | None:
        """The same where the branches cannot be compared; None where that is an error."""
        return None

    def _used(self) -> list[str]:
        on = set(self._categories) if self._on is None else {name for each in self._on for name in each}
        return [name for name in self._categories if name in on]


class _Added:
    """Adds to each image's row what was decided for it."""

    def __init__(
        self,
        decides: PromptConditioned,
        site: Site,
        candidates: Sequence[tuple[str, Effect]],
        scope: Scope,
        on: Sequence[frozenset[str]] | None,
        branch: str,
        window: StepWindow,
    ) -> None:
        self._decides = decides
        self._site = site
        self._candidates = candidates
        self._scope = scope
        self._on = on
        self._branch = branch
        self._window = window
        self._vectors: Tensor | None = None

    def __call__(self, h: Tensor) -> Tensor | None:
        import torch

        call = self._scope.now()
        if call is None or not self._window.open(call):
            return None
        guided, layout = call.layout
        # Each branch then is in the batch, and they can be compared.
        parts = layout.split("-") if guided else [layout]
        both = len(set(parts)) == 2 and h.shape[0] == call.rows
        images = h.shape[0] // len(parts) if both else h.shape[0]
        if self._on is not None and len(self._on) != images:
            raise StrengthError(
                f"Categories are chosen for {len(self._on)} images; {images} are drawn.",
                "as many images as were planned.",
            )
        vectors = self._on_device(h)
        allowed = torch.tensor([self._allowed(image) for image in range(images)], device=h.device)
        weights = None
        if both:
            conditional, without = (
                h.split(images)[parts.index(branch)].float() for branch in ("conditional", "unconditional")
            )
            about = conditional - without
            state = self._scope.recall(f"state {self._site.name}", lambda: StepState(site=self._site.name))
            if self._decides.remembers:
                state.move(call.step.fraction)
                state.timestep = float(call.step.timestep)
            state.without = without
            weights = self._decides.weights(about.flatten(1), vectors, allowed, state)
            self._scope.remember(f"weights {self._site.name}", weights)
        elif guided and layout == "conditional":
            # A further call of the same step, about the conditional branch alone (Stable Diffusion 3.5).
            weights = self._scope.recall(f"weights {self._site.name}", lambda: None)
        if weights is None:
            weights = self._decides.unseen(allowed)
        if weights is None:
            raise self._incomparable(guided)
        # A row that nothing is added to keeps its very bits.
        changed = weights.ne(0).any(dim=1).float().tolist() if images else 0.0
        rows = expand(changed, h.shape[0], guided, self._branch, layout)
        if rows is None:
            return None
        steered = rows.nonzero().flatten().to(h.device)
        result = h.clone()
        addition = (weights[steered % images] @ vectors).reshape(-1, *h.shape[1:])
        result[steered] = result[steered] + addition.to(h.dtype)
        return result

    def _incomparable(self, guided: bool) -> StrengthError:
        if not guided:
            return StrengthError(
                "Without guidance there is no telling what the prompt is about.",
                "a model with guidance, and a guidance scale above 1.",
                f"{self._decides.instead}.",
            )
        return StrengthError(
            "This pipeline asks about the branches of guidance one after the other, so they cannot be compared.",
            "a pipeline with both branches in one batch.",
            f"{self._decides.instead}.",
        )

    def _allowed(self, image: int) -> list[bool]:
        on = None if self._on is None else self._on[image]
        return [name != RETAINED and (on is None or name in on) for name, _ in self._candidates]

    def _on_device(self, h: Tensor) -> Tensor:
        """What each candidate adds: float32 (candidates, D)."""
        import torch

        size = h[0].numel()
        if self._vectors is None or self._vectors.shape[1] != size or self._vectors.device != h.device:
            rows = []
            for _, effect in self._candidates:
                row: torch.Tensor = torch.zeros(h.shape[1:])
                for direction, strength in effect.items():
                    for part in compared(direction):
                        if part.site == self._site:
                            row = row + strength * fitted(direction.name, part, h)
                rows.append(row.flatten())
            self._vectors = torch.stack(rows).to(h.device)
        return self._vectors
