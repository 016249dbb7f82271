"""Categories put in the place of what prompts say, and held there: a picture that drifts is brought back.

What is added is decided before the picture is there, and the same for every image of a category; what becomes of it is
not. Some pictures of "brown-skinned" turn out light, others dark. A gauge reads at each step where each picture is
(`directrix.interventions.probe`). With its drift e, one number a category k, and v_k what the categories add,

    h' = h_c - P_A(h_c - h_u) + v_j - sum_k e_k v_k

so that a picture that reads too light gets less of light and more of what it lacks: proportional feedback, where
`Replaced` alone is open loop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from directrix.directions.collection import Effect
from directrix.errors import MismatchError
from directrix.interventions.probe import Probe
from directrix.interventions.project_and_set import ProjectAndSet
from directrix.interventions.prompt_conditioned import StepState
from directrix.models import sites
from directrix.models.fingerprint import fits

if TYPE_CHECKING:
    from torch import Tensor

# No reading counts for more than this: one of a picture unlike all that the gauge has seen can be anything.
MOST = 1.5


class FeedbackSteering(ProjectAndSet):
    """`Replaced`, with pictures held where a gauge reads them to be right.

    Args:
        attributes, assigned, branch, start, stop: as in `Replaced`.
        gauges: by attribute; attributes without one are only replaced.

    It always insists on both halves of guidance in one batch: without them there is nothing to read.

    Raises:
        MismatchError: a gauge of another site, or of categories that the attribute lacks.
        MismatchError, StrengthError: as in `Replaced`.
    """

    combine = "feedback"
    instead = "no gauge (in a policy, no `feedback`)"
    remembers = True

    def __init__(
        self,
        attributes: Mapping[str, Mapping[str, Effect]],
        assigned: Sequence[Mapping[str, str]],
        branch: str = "conditional",
        start: float = 0.0,
        stop: float = 1.0,
        *,
        probes: Mapping[str, Probe],
    ) -> None:
        super().__init__(attributes, assigned, branch, start, stop, insist=True)
        self._probes = dict(probes)
        for attribute, probe in self._probes.items():
            lacking = [name for name in probe.categories if name not in attributes.get(attribute, ())]
            if lacking:
                raise MismatchError(
                    f"The gauge of '{attribute}' reads {', '.join(lacking)}, which no direction draws.",
                    "a direction for each category of the gauge.",
                    "add its directions, or leave the gauge out.",
                )
            if self._site is not None and probe.site != self._site:
                raise MismatchError(
                    f"The gauge of '{attribute}' reads at '{probe.site.name}', the directions are at "
                    f"'{self._site.name}'.",
                    "one site.",
                    "fit the gauge with these directions.",
                )

    @property
    def config(self) -> Mapping[str, Any]:
        """As of `Replaced`, with the gauges."""
        return {
            **super().config,
            "feedback": {name: probe.digest() for name, probe in self._probes.items() if name in self._replaced()},
        }

    def over(self, on: Sequence[frozenset[str]]) -> FeedbackSteering:
        """The same, for images with these categories."""
        return FeedbackSteering(self._attributes, self._given(on), *self._window(), probes=self._probes)

    def applied(self, pipeline: Any) -> Any:
        """As of `Replaced`; MismatchError also for a gauge of another model."""
        for attribute, probe in self._probes.items():
            if not fits(probe.model.fingerprint, sites.denoiser(pipeline)):
                raise MismatchError(
                    f"The gauge of '{attribute}' belongs to the model '{probe.model.name}'.",
                    "a gauge that was fitted with this very model.",
                    "fit it anew: directrix fit-probe.",
                )
        return super().applied(pipeline)

    def weights(self, about: Tensor, candidates: Tensor, on: Tensor, state: StepState) -> Tensor:
        """Those of `Replaced`, less each picture's drift."""
        weights = super().weights(about, candidates, on, state)
        listed = [self._choices[key] for key, _ in self.candidates()]
        if state.without is None or state.timestep is None:
            return weights
        given = on.cpu()
        for column, (attribute, category) in enumerate(listed):
            probe = self._probes.get(attribute)
            images = given[:, column].nonzero().flatten()
            if probe is None or category not in probe.categories or not len(images):
                continue
            drift = probe.drift(state.without[images], category, state.timestep)
            if drift is not None:
                columns = [listed.index((attribute, name)) for name in probe.categories]
                weights[images[:, None], columns] -= drift.clamp(-MOST, MOST)
        return weights
