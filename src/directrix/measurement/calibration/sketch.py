"""Images as the denoiser predicts them half-way: enough for a judge to see what they show, without the last steps.

A pipeline's call is left once the step is made. Of 180 images of four steps on emoji and emoji-sd3, a judge sees in 178
the same of the concept after the third step as when they are finished, and in 176 the same subject.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from directrix.discovery.pipeline_calls import own_attention
from directrix.errors import MismatchError
from directrix.interventions.protocol import Intervention
from directrix.models.denoiser_calls import DenoiserCall, Scope
from directrix.models.predicted_image import looked_at
from directrix.models.steerable import SteerableModel

if TYPE_CHECKING:
    from PIL.Image import Image

    from directrix.generation.record import Records

# The first step at this share of them or later is the last that is made.
LAST = 0.5


def sketched(draw: Callable[[Sequence[Intervention]], Records], interventions: Sequence[Intervention]) -> list[Image]:
    """The images of one batch, as they are predicted; as they are finished where nobody can look at them half-way.

    draw: draws one batch under interventions.
    """
    try:
        return [record.image for record in draw((*interventions, _Left()))]
    except _Seen as seen:
        return seen.images
    except MismatchError:
        return [record.image for record in draw(interventions)]


class _Seen(Exception):
    """Ends a pipeline's call whose images have been seen."""

    def __init__(self, images: list[Image]) -> None:
        super().__init__()
        self.images = images


class _Left:
    """Leaves the pipeline's call at the step; an intervention for the sake of where it must be entered."""

    name = "left half-way"
    config: Mapping[str, Any] = {"method": "left half-way", "at": LAST}

    @contextmanager
    def applied(self, pipeline: Any) -> Iterator[Any]:
        scope = Scope(SteerableModel.of(pipeline))

        def now() -> DenoiserCall | None:
            call = scope.now()
            return call if call is not None and call.step.fraction >= LAST else None

        def see(images: list[Image]) -> None:
            raise _Seen(images)

        with ExitStack() as stack:
            for network in scope.model.denoisers:
                stack.enter_context(own_attention(network))
            stack.enter_context(scope.opened())
            stack.enter_context(looked_at(scope, now, see))
            try:
                yield scope.model.pipeline
            except _Seen:
                # What the pipeline does at its end: models go back to where they wait, and caches forget.
                scope.model.pipeline.maybe_free_model_hooks()
                raise
