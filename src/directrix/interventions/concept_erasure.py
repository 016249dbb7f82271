"""What a prompt says of harmful things is taken out of what it is about, and what it says of others is left.

With h_c - h_u what the prompt is about (see `watching`), v_j a direction that draws a harmful thing (the opposite of
one that keeps it out) and s_m one that draws a thing which is to be spared, how much of each there is are the weights
w, u of the best explanation by things that are there or not, but never less than not:

    w, u = argmin_{w, u >= 0} || h_c - h_u - sum_j w_j v_j - sum_m u_m s_m ||^2

and ``times`` sum_j w_j v_j is taken away. A prompt that names a thing loses much, one whose setting only brings it
along loses less, and one that has nothing to do with it next to nothing. The size of a direction does not matter, so it
needs no calibration; its strength says what part is taken, with the sign that keeps the thing out. Categories that are
off in an image explain nothing of it.

Once a setting is to be seen, the picture itself suggests what belongs to it, in both halves alike, where the difference
no longer shows it. What a prompt invites is therefore remembered from its first steps (see ``EARLY``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from directrix.directions.collection import Effect
from directrix.interventions.prompt_conditioned import RETAINED, PromptConditioned, StepState, as_json
from directrix.models.activations import by_image

if TYPE_CHECKING:
    from torch import Tensor

# How much more is taken away than is found: 1 leaves the picture without what the prompt says of the thing, and 2 with
# its opposite. Measured on the embedded model (see docs/policies.md).
TIMES = 3.0
# A category is invited when so much of its things is found, together, in this first part of the steps; LEAST of each of
# them is then taken away at every step.
EARLY, INVITED, LEAST = 0.15, 0.5, 0.25
ITERATIONS = 100


class ConceptErasure(PromptConditioned):
    """Things removed by step and image.

    Args:
        categories, on, branch, start, stop: as of `Watching`; every direction is a thing of its own.
        spare: directions that draw what must not be taken for something harmful.
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
        # The spared must be of the same site, so they pass the same check.
        super().__init__({**categories, RETAINED: dict(retain or {})}, on, branch, start, stop)
        self._spare = self._categories.pop(RETAINED)
        self._times = times

    @property
    def config(self) -> Mapping[str, Any]:
        """Settings as JSON values."""
        return {**super().config, "retain": as_json(self._spare), "times": self._times}

    def over(self, on: Sequence[frozenset[str]]) -> ConceptErasure:
        """The same, for images with these categories on."""
        steering = self._steering
        window = (steering.branch, steering.start, steering.stop)
        return ConceptErasure(self._categories, on, *window, retain=self._spare, times=self._times)

    def candidates(self) -> list[tuple[str, Effect]]:
        """Every direction of every category, and the spared."""
        objects = [
            (name, {direction: strength})
            for name, effect in self._categories.items()
            for direction, strength in effect.items()
            if strength
        ]
        # A candidate adds what keeps its thing out; so does the opposite of what is spared.
        return [*objects, *((RETAINED, {direction: -1.0}) for direction in self._spare)]

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
        invited = found @ same
        if state.fraction < EARLY:
            state.retained["invited"] = torch.maximum(invited, state.retained.get("invited", invited))
        least = LEAST * (state.retained.get("invited", invited) > INVITED)
        return torch.maximum(self._times * found, least) * on


def non_negative(about: Tensor, objects: Tensor, allowed: Tensor, iterations: int = ITERATIONS) -> Tensor:
    """Non-negative least squares, by accelerated projected gradient (Beck and Teboulle 2009).

    about: float32 (images, D); things: (n, D); allowed: bool (images, n), the things that may explain an image. Returns
    the weights, float32 (images, n), that minimise ``|| about - weights @ things ||`` with weights >= 0.
    """
    import torch

    # Unit length: things of very different sizes would take many more iterations.
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
