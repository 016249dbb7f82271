"""Several safety directions, but only one at a time: at each step each image gets the best aligned one.

Let h_c and h_u be the activations at the site under the prompt and without it. Their difference is what the
prompt is about at this step. Safety category j adds c_j to keep something out, so -c_j is what it keeps out, and

    j* = argmax_j cos(h_c - h_u, -c_j)        over the categories that are on for this image

is the category that the picture is nearest to. Only c_j* is added. Both halves of guidance are in one batch, so this
costs no further pass; without guidance there is no h_u, and an error says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from directrix import _hooks, activations, sites
from directrix.apply.catalogue import Effect
from directrix.direction import Site
from directrix.errors import MismatchError, StrengthError
from directrix.guidance import Guidance
from directrix.steer import Steering, Window, check_fit, check_model
from directrix.strength import expand

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class Aligned:
    """The best aligned of several categories, by step and image.

    Args:
        categories: for each, its directions and strengths; all at one site.
        on: for each image of the run, the categories among which to choose; None for all of them always.
        branch, start, stop: as in `steer`.

    Raises:
        MismatchError: directions of several sites, whose activations are not known at the same time.
    """

    def __init__(
        self,
        categories: Mapping[str, Effect],
        on: Sequence[frozenset[str]] | None = None,
        branch: str = "conditional",
        start: float = 0.0,
        stop: float = 1.0,
    ) -> None:
        self._steering = Steering({}, branch, start, stop)
        found = {each.site for effect in categories.values() for each in effect}
        if len(found) > 1:
            raise MismatchError(
                f"The directions are at several sites: {', '.join(sorted(each.name for each in found))}.",
                "one site, where they can be compared.",
                "combine='sum'.",
            )
        self._site: Site | None = next(iter(found), None)
        self._categories = dict(categories)
        self._on = None if on is None else tuple(on)

    @property
    def name(self) -> str:
        """Such as "aligned weapon, alcohol"."""
        return "aligned " + ", ".join(self._used())

    @property
    def config(self) -> Mapping[str, Any]:
        """Settings as JSON values."""
        steering = self._steering
        config: dict[str, Any] = {
            "method": "safe",
            "combine": "aligned",
            "branch": steering.branch,
            "start": steering.start,
            "stop": steering.stop,
            "categories": {
                name: dict(Steering(self._categories[name]).config)["directions"] for name in self._used()
            },
        }
        if self._on is not None and len(set(self._on)) > 1:
            config["on"] = [sorted(each) for each in self._on]
        return config

    def select(self, images: Sequence[int], total: int) -> Aligned:
        """The same for some images of a run of `total` images; StrengthError where it is of another run."""
        if self._on is None:
            return self
        if len(self._on) != total:
            raise StrengthError(
                f"Categories are chosen for {len(self._on)} images, not for {total}.", "a plan of this run."
            )
        steering = self._steering
        on = [self._on[image] for image in images]
        return Aligned(self._categories, on, steering.branch, steering.start, steering.stop)

    @contextmanager
    def applied(self, pipeline: Any) -> Iterator[Any]:
        """Steers the pipeline within the context.

        Raises:
            MismatchError: a direction of another model.
            StrengthError: (while drawing) images without guidance, or of another number than was planned.
        """
        used = self._used()
        check_model(pipeline, (each for name in used for each in self._categories[name]))
        window = Window(pipeline, self._steering.start, self._steering.stop)
        with ExitStack() as stack:
            if used and self._site is not None:
                if not window.whole:
                    stack.enter_context(_hooks.before_call(sites.denoiser(pipeline), window.see))
                categories = {name: self._categories[name] for name in used}
                guidance = Guidance(pipeline)
                stack.enter_context(guidance.watching())
                chosen = _Chosen(guidance, categories, self._on, self._steering.branch, window)
                stack.enter_context(activations.edit(pipeline, self._site, chosen))
            yield pipeline

    def _used(self) -> list[str]:
        on = set(self._categories) if self._on is None else {name for each in self._on for name in each}
        return [name for name in self._categories if name in on]


class _Chosen:
    """Adds to each image's row the category that is best aligned with it."""

    def __init__(
        self,
        guidance: Guidance,
        categories: Mapping[str, Effect],
        on: Sequence[frozenset[str]] | None,
        branch: str,
        window: Window,
    ) -> None:
        self._guidance = guidance
        self._categories = categories
        self._on = on
        self._branch = branch
        self._window = window
        self._added: Tensor | None = None

    def __call__(self, h: Tensor) -> Tensor | None:
        if not self._window.open:
            return None
        guided, layout = self._guidance.now()
        if not guided:
            raise StrengthError(
                "Without guidance there is no telling which safety direction is best aligned.",
                "a guidance scale above 1.",
                "combine='sum'.",
            )
        if "-" not in layout:
            raise StrengthError(
                "This pipeline asks about the halves of guidance one after the other, so they cannot be compared.",
                "a pipeline with both halves in one batch.",
                "combine='sum'.",
            )
        images = h.shape[0] // 2
        if self._on is not None and len(self._on) != images:
            raise StrengthError(
                f"Categories are chosen for {len(self._on)} images; {images} are drawn.",
                "as many images as were planned.",
            )
        added = self._vectors(h)
        first, second = h[:images], h[images:]
        about = second - first if layout == "unconditional-conditional" else first - second
        best = self._best(about, added)
        result = None
        for index in range(len(added)):
            rows = expand([float(each == index) for each in best], h.shape[0], True, self._branch, layout)
            if rows is not None:
                result = h.clone() if result is None else result
                steered = rows.nonzero().flatten().to(h.device)
                result[steered] = result[steered] + added[index].to(h.dtype)
        return result

    def _best(self, about: Tensor, added: Tensor) -> list[int]:
        """For each image the place of its category, or -1 where none is on; about: h_c - h_u, a row an image."""
        about = about.float().flatten(1)
        harmful = -added.flatten(1)
        # The length of `about` is the same for all categories of an image.
        alignment = about @ (harmful / harmful.norm(dim=1, keepdim=True).clamp_min(1e-12)).T
        names = list(self._categories)
        best = []
        for image, row in enumerate(alignment.tolist()):
            on = range(len(names)) if self._on is None else [names.index(name) for name in self._on[image]]
            best.append(max(sorted(on), key=lambda index: row[index], default=-1))
        return best

    def _vectors(self, h: Tensor) -> Tensor:
        """What each category adds: float32 (categories, *shape of one row of h)."""
        import torch

        if self._added is None or self._added.shape[1:] != h.shape[1:] or self._added.device != h.device:
            rows = []
            for effect in self._categories.values():
                row: torch.Tensor = torch.zeros(h.shape[1:])
                for direction, strength in effect.items():
                    check_fit(direction, h)
                    tensor = direction.tensor
                    channels = tensor.ndim == 1 and direction.site.layout == "channels-first"
                    row = row + strength * (tensor[:, None, None] if channels else tensor)
                rows.append(row)
            self._added = torch.stack(rows).to(h.device)
        return self._added
