"""Nearest concept: of several safety directions each image gets one at each step, the best aligned one.

With h_c - h_u what the prompt is about (see `prompt_conditioned`): safety category j adds c_j to keep something out, so
-c_j is what it keeps out, and

    j* = argmax_j cos(h_c - h_u, -c_j)        over the categories that are on for this image

is the category that the image is nearest to. Only c_j* is added.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from directrix.directions.collection import Effect
from directrix.interventions.prompt_conditioned import PromptConditioned, StepState
from directrix.models.activations import by_image

if TYPE_CHECKING:
    from torch import Tensor


class NearestConcept(PromptConditioned):
    """The best aligned of several categories, by step and image; arguments as of `PromptConditioned`."""

    combine = "nearest"

    def candidates(self) -> list[tuple[str, Effect]]:
        """The categories that are on in any image."""
        return [(name, self._categories[name]) for name in self._used()]

    def weights(self, about: Tensor, candidates: Tensor, on: Tensor, state: StepState) -> Tensor:
        """1 for the best aligned of those that are on."""
        import torch

        harmful = -candidates
        # The length of `about` is the same for all candidates of an image.
        units = harmful / harmful.norm(dim=1, keepdim=True).clamp_min(1e-12)
        alignment = by_image(lambda rows: rows @ units.T, about)
        best = alignment.masked_fill(~on, -torch.inf).argmax(dim=1)
        return torch.nn.functional.one_hot(best, len(candidates)).float() * on
