"""Concept erasure with a retain set: what a prompt says of harmful concepts is taken out, the rest is left.

With h_c - h_u what the prompt is about (see `prompt_conditioned`), v_j a direction that draws a harmful concept (the
opposite of one that keeps it out) and s_m one that draws a concept of the retain set, how much of each there is are the
weights w, u of the best explanation by concepts that are there or not, but never less than not:

    w, u = argmin_{w, u >= 0} || h_c - h_u - sum_j w_j v_j - sum_m u_m s_m ||^2

and ``times`` sum_j w_j v_j is taken away. A prompt that names a concept loses much, one whose setting only brings it
along loses less, and one that has nothing to do with it next to nothing. The size of a direction does not matter, so it
needs no calibration; its strength says what part is taken, with the sign that keeps the concept out. Categories that
are off in an image explain nothing of it.

Once a setting is to be seen, the image itself suggests what belongs to it, in both branches alike, where the difference
no longer shows it. What a prompt suggests is therefore remembered from its first steps (see ``EARLY``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from directrix.directions.collection import Effect
from directrix.interventions.prompt_conditioned import RETAINED, PromptConditioned, StepState
from directrix.interventions.steering import as_json
from directrix.models.activations import by_image

if TYPE_CHECKING:
    from torch import Tensor

# How much more is taken away than is found: 1 leaves the image without what the prompt says of the concept, and 2 with
# its opposite. Measured on an earlier embedded model.
TIMES = 3.0
# A category is suggested when so much of its concepts is found, together, in this first part of the steps; LEAST of
# each of them is then taken away at every step.
EARLY, SUGGESTED, LEAST = 0.15, 0.5, 0.25
ITERATIONS = 100


class ConceptErasure(PromptConditioned):
    """Concepts erased by step and image.

    Args:
        categories, on, branch, start, stop: as of `PromptConditioned`; every direction is a concept of its own.
        retain: directions that draw what must not be taken for something harmful.
        times: how much more is taken away than is found, above 0.
    """

    combine = "erase"
    remembers = True

    def __init__(
        self,
        categories: Mapping[str, Effect],
        on: Sequence[frozenset[str]] | None = None,
        branch: str = "conditional",
        start: float = 0.0,
        stop: float = 1.0,
        *,
        retain: Effect | None = None,
        times: float = TIMES,
    ) -> None:
        # The retain set must be of the same site, so it passes the same check.
        super().__init__({**categories, RETAINED: dict(retain or {})}, on, branch, start, stop)
        self._retain = self._categories.pop(RETAINED)
        self._times = times

    @property
    def config(self) -> Mapping[str, Any]:
        """Settings as JSON values."""
        return {**super().config, "retain": as_json(self._retain), "times": self._times}

    def candidates(self) -> list[tuple[str, Effect]]:
        """Every direction of every category, and the retain set."""
        objects = [
            (name, {direction: strength})
            for name, effect in self._categories.items()
            for direction, strength in effect.items()
            if strength
        ]
        # A candidate adds what keeps its concept out; so does the opposite of what is retained.
        return [*objects, *((RETAINED, {direction: -1.0}) for direction in self._retain)]

    def weights(self, about: Tensor, candidates: Tensor, on: Tensor, state: StepState) -> Tensor:
        """What is taken away of each that is on, as a share of what the direction draws at strength 1."""
        import torch

        listed = self.candidates()
        sizes = torch.tensor([abs(next(iter(effect.values()))) for _, effect in listed])
        retain_set = torch.tensor([name == RETAINED for name, _ in listed])
        found = non_negative(about, -candidates / sizes.to(about.device)[:, None], on | retain_set.to(about.device))
        found = found * on
        names = [name for name, _ in listed]
        same = torch.tensor([[one == other for other in names] for one in names], device=about.device).float()
        suggested = found @ same
        if state.fraction < EARLY:
            state.retained["suggested"] = torch.maximum(suggested, state.retained.get("suggested", suggested))
        least = LEAST * (state.retained.get("suggested", suggested) > SUGGESTED)
        return torch.maximum(self._times * found, least) * on


def non_negative(about: Tensor, objects: Tensor, allowed: Tensor, iterations: int = ITERATIONS) -> Tensor:
    """Non-negative least squares, by accelerated projected gradient (Beck and Teboulle 2009).

    about: float32 (images, D); objects: (n, D); allowed: bool (images, n), the objects that may explain an image.
    Returns the weights, float32 (images, n), that minimise ``|| about - weights @ objects ||`` with weights >= 0.
    """
    import torch

    # Unit length: objects of very different sizes would take many more iterations.
    lengths = objects.norm(dim=1).clamp_min(1e-12)
    objects = objects / lengths[:, None]
    gram = objects @ objects.T
    target = by_image(lambda rows: rows @ objects.T, about)
    # The largest eigenvalue is at most the largest sum of a row.
    step = 1.0 / gram.abs().sum(dim=1).max().clamp_min(1e-12)
    weights = torch.zeros_like(target)
    ahead, momentum = weights, 1.0
    for _ in range(iterations):
        # Summed image by image: a product's last bits depend on how many there are.
        new = (ahead - step * ((ahead[:, None] * gram).sum(-1) - target)).clamp_min(0) * allowed
        following = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        ahead = new + (momentum - 1) / following * (new - weights)
        weights, momentum = new, following
    return weights / lengths
