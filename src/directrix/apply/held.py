"""Categories put in the place of what prompts say, and held there: a picture that drifts is brought back.

What is added is decided before the picture is there, and the same for every image of a category; what becomes of it is
not. Some pictures of "brown-skinned" turn out light, others dark. A gauge reads at each step where each picture is
(`directrix.gauge`). With its drift e, one number a category k, and v_k what the categories add,

    h' = h_c - P_A(h_c - h_u) + v_j - sum_k e_k v_k

so that a picture that reads too light gets less of light and more of what it lacks: proportional feedback, where
`Replaced` alone is open loop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from directrix import sites
from directrix.apply.catalogue import Effect
from directrix.apply.replaced import Replaced
from directrix.apply.watching import Moment
from directrix.errors import MismatchError
from directrix.fingerprint import fits
from directrix.gauge import Gauge

if TYPE_CHECKING:
    from torch import Tensor

# No reading counts for more than this: one of a picture unlike all that the gauge has seen can be anything.
MOST = 1.5


class Held(Replaced):
    """`Replaced`, with pictures held where a gauge reads them to be right.

    Args:
        attributes, assigned, branch, start, stop: as in `Replaced`.
        gauges: by attribute; attributes without one are only replaced.

    It always insists on both halves of guidance in one batch: without them there is nothing to read.

    Raises:
        MismatchError: a gauge of another site, or of categories that the attribute lacks.
        MismatchError, StrengthError: as in `Replaced`.
    """

    combine = "held"
    instead = "no gauge (in a policy, no `hold`)"
    remembers = True

    def __init__(
        self,
        attributes: Mapping[str, Mapping[str, Effect]],
        assigned: Sequence[Mapping[str, str]],
        branch: str = "conditional",
        start: float = 0.0,
        stop: float = 1.0,
        *,
        gauges: Mapping[str, Gauge],
    ) -> None:
        super().__init__(attributes, assigned, branch, start, stop, insist=True)
        self._gauges = dict(gauges)
        for attribute, gauge in self._gauges.items():
            lacking = [name for name in gauge.categories if name not in attributes.get(attribute, ())]
            if lacking:
                raise MismatchError(
                    f"The gauge of '{attribute}' reads {', '.join(lacking)}, which no direction draws.",
                    "a direction for each category of the gauge.",
                    "add its directions, or leave the gauge out.",
                )
            if self._site is not None and gauge.site != self._site:
                raise MismatchError(
                    f"The gauge of '{attribute}' reads at '{gauge.site.name}', the directions are at "
                    f"'{self._site.name}'.",
                    "one site.",
                    "fit the gauge with these directions.",
                )

    @property
    def config(self) -> Mapping[str, Any]:
        """As of `Replaced`, with the gauges."""
        return {
            **super().config,
            "held": {
                name: gauge.digest() for name, gauge in self._gauges.items() if name in self._replaced()
            },
        }

    def over(self, on: Sequence[frozenset[str]]) -> Held:
        """The same, for images with these categories."""
        return Held(self._attributes, self._given(on), *self._window(), gauges=self._gauges)

    def applied(self, pipeline: Any) -> Any:
        """As of `Replaced`; MismatchError also for a gauge of another model."""
        for attribute, gauge in self._gauges.items():
            if not fits(gauge.model.fingerprint, sites.denoiser(pipeline)):
                raise MismatchError(
                    f"The gauge of '{attribute}' belongs to the model '{gauge.model.name}'.",
                    "a gauge that was fitted with this very model.",
                    "fit it anew: directrix gauge.",
                )
        return super().applied(pipeline)

    def weights(self, about: Tensor, candidates: Tensor, on: Tensor, moment: Moment) -> Tensor:
        """Those of `Replaced`, less each picture's drift."""
        weights = super().weights(about, candidates, on, moment)
        listed = [self._choices[key] for key, _ in self.candidates()]
        if moment.without is None or moment.timestep is None:
            return weights
        given = on.cpu()
        for column, (attribute, category) in enumerate(listed):
            gauge = self._gauges.get(attribute)
            images = given[:, column].nonzero().flatten()
            if gauge is None or category not in gauge.categories or not len(images):
                continue
            drift = gauge.drift(moment.without[images], category, moment.timestep)
            if drift is not None:
                columns = [listed.index((attribute, name)) for name in gauge.categories]
                weights[images[:, None], columns] -= drift.clamp(-MOST, MOST)
        return weights
