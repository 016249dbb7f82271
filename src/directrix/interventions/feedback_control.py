"""Feedback steering: project-and-set in a closed loop, so that an image that leaves its category is brought back.

What project-and-set adds is decided before the image is there, and the same for every image of a category; what becomes
of it is not. Some images of "brown-skinned" turn out light, others dark. A linear probe reads at each step where each
image is (`directrix.interventions.probe`). With its error e, one number a category k, and v_k what the categories add,

    h' = h_c - P_A(h_c - h_u) + v_j - sum_k e_k v_k

so that an image that reads too light gets less of light and more of what it lacks: proportional feedback.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from directrix.directions.collection import Effect
from directrix.errors import MismatchError
from directrix.interventions.probe import Probe
from directrix.interventions.project_and_set import ProjectAndSet
from directrix.interventions.prompt_conditioned import StepState
from directrix.models.fingerprint import fits
from directrix.models.steerable import SteerableModel

if TYPE_CHECKING:
    from torch import Tensor

# No error counts for more than this: that of an image unlike all that the probe was fitted to can be anything.
MOST = 1.5


class FeedbackSteering(ProjectAndSet):
    """`ProjectAndSet`, with images kept where a probe reads them to be right.

    Args:
        attributes, assigned, branch, start, stop: as in `ProjectAndSet`.
        probes: by attribute; attributes without one get no feedback.

    It always insists on both branches of guidance in one batch: without them there is nothing to read.

    Raises:
        MismatchError: a probe of another site, or of categories that the attribute lacks.
        MismatchError, StrengthError: as in `ProjectAndSet`.
    """

    combine = "feedback"
    several_sites = False
    instead = "no probe (in a policy, no `feedback`)"
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
                    f"The probe of '{attribute}' reads {', '.join(lacking)}, which no direction draws.",
                    "a direction for each category of the probe.",
                    "add its directions, or leave the probe out.",
                )
            if probe.branch != "unconditional" or probe.grid is not None:
                raise MismatchError(
                    f"The probe of '{attribute}' was fitted for a closed loop.",
                    "a probe of the unconditional branch at every step.",
                    "closed_loop in place of feedback, or directrix fit-probe without --closed-loop.",
                )
            if self._sites and probe.site != self._sites[0]:
                raise MismatchError(
                    f"The probe of '{attribute}' reads at '{probe.site.name}', the directions are at "
                    f"'{self._sites[0].name}'.",
                    "one site.",
                    "fit the probe with these directions.",
                )

    @property
    def config(self) -> Mapping[str, Any]:
        """As of `ProjectAndSet`, with the probes."""
        return {
            **super().config,
            "feedback": {
                name: probe.digest() for name, probe in self._probes.items() if name in self._attributes_given()
            },
        }

    def applied(self, pipeline: Any) -> Any:
        """As of `ProjectAndSet`; MismatchError also for a probe of another model."""
        network = SteerableModel.of(pipeline).denoiser
        for attribute, probe in self._probes.items():
            if not fits(probe.model.fingerprint, network):
                raise MismatchError(
                    f"The probe of '{attribute}' belongs to the model '{probe.model.name}'.",
                    "a probe that was fitted with this very model.",
                    "fit it anew: directrix fit-probe.",
                )
        return super().applied(pipeline)

    def weights(self, about: Tensor, candidates: Tensor, on: Tensor, state: StepState) -> Tensor:
        """Those of `ProjectAndSet`, less each image's error."""
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
            error = probe.error(state.without[images], category, state.timestep)
            if error is not None:
                columns = [listed.index((attribute, name)) for name in probe.categories]
                weights[images[:, None], columns] -= error.clamp(-MOST, MOST)
        return weights
