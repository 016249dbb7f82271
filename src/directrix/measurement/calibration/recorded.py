"""What the unconditional branch of guidance is at each step of images that are being drawn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import psutil
import torch
from torch import Tensor

from directrix.errors import DirectrixError
from directrix.interventions.protocol import Intervention, select
from directrix.interventions.step_window import StepWindow
from directrix.models import activations
from directrix.models.denoiser_calls import Scope
from directrix.models.identity import Site
from directrix.models.steerable import SteerableModel

# Of the steps, those before this tell nothing yet: the image is noise.
BEGIN = 0.15
# Activations below this are stored in half precision.
HALF = 3e4


@dataclass
class Recorded:
    """An intervention whose images leave what the unconditional branch was at each step.

    ahead: how many images are still to come, of all runs. states: by image, (T, ...), in float32 or half precision.
    """

    inner: Intervention
    site: Site
    ahead: int
    images: Sequence[int] = ()
    states: dict[int, Tensor] = field(default_factory=dict)
    times: list[float] = field(default_factory=list)
    name: str = "recorded"
    config: Mapping[str, Any] = field(default_factory=dict)

    def select(self, images: Sequence[int], total: int) -> Recorded:
        return replace(self, inner=select(self.inner, images, total), images=images)

    def add(self, steps: Mapping[float, Tensor]) -> None:
        """Store a batch's steps; DirectrixError where there are none, or no room for as many as will come."""
        if not steps:
            raise DirectrixError("No step could be read.", "an image of two steps or more.", "more steps.")
        rows = torch.stack(list(steps.values()), 1)
        needed = rows[0].numel() * rows.element_size() * self.ahead
        free = psutil.virtual_memory().available
        if not self.states and needed > free:
            raise DirectrixError(
                f"The activations of {self.ahead:,} images take {needed:,} bytes, and {free:,} are free.",
                "room for them.",
                "fewer images of each prompt, fewer prompts or steps, or another site.",
            )
        self.times[:] = steps
        self.states.update(zip(self.images, rows, strict=True))

    @contextmanager
    def applied(self, pipeline: Any) -> Iterator[Any]:
        scope = Scope(SteerableModel.of(pipeline))
        window = StepWindow(scope, BEGIN, 1.0)
        steps: dict[float, Tensor] = {}

        def see(h: Tensor) -> None:
            call = scope.now()
            if call is None or not window.open(call):
                return
            guided, layout = call.layout
            if guided and layout == "conditional":
                # A further call of the step, about the other branch alone.
                return
            if not (guided and "-" in layout):
                raise DirectrixError(
                    "There is no unconditional branch in the batch, so nothing can be read.",
                    "a pipeline with both branches in one batch, and a guidance scale above 1.",
                )
            half = h.chunk(2)[0 if layout == "unconditional-conditional" else 1].detach()
            # A solver that asks twice within a step is read the first time.
            steps.setdefault(float(call.step.timestep), half.half().cpu() if half.abs().max() < HALF else half.cpu())

        with ExitStack() as stack:
            stack.enter_context(scope.opened())
            stack.enter_context(activations.read(scope.model, self.site, see, scope))
            stack.enter_context(self.inner.applied(pipeline))
            yield pipeline
        self.add(steps)
