"""Directrix: directions for concepts inside frozen text-to-image models.

    import directrix

    pipeline = directrix.load("emoji")
    concept = directrix.Concept.of("woman", "a woman", "a person")
    woman = directrix.discover(pipeline, concept)
    with directrix.steer(pipeline, {woman: 1.0}):
        image = pipeline("a firefighter").images[0]

Everything heavy is imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from directrix._version import __version__
from directrix.registry import Registry

if TYPE_CHECKING:
    from directrix.concept import AttributeSet as AttributeSet
    from directrix.concept import Concept as Concept
    from directrix.concept import PromptPair as PromptPair
    from directrix.directions.direction import Direction as Direction
    from directrix.directions.published import import_published as import_published
    from directrix.discovery import discover as discover
    from directrix.discovery.attribute import discover_attribute as discover_attribute
    from directrix.discovery.objects import discover_objects as discover_objects
    from directrix.discovery.settings import Optimizer as Optimizer
    from directrix.discovery.settings import Orthogonalization as Orthogonalization
    from directrix.discovery.settings import Sampling as Sampling
    from directrix.discovery.site_search import search_sites as search_sites
    from directrix.errors import DirectrixError as DirectrixError
    from directrix.experiments.paper import reproduce as reproduce
    from directrix.generation.fair import fair as fair
    from directrix.generation.generate import generate as generate
    from directrix.interventions.attach import attach as attach
    from directrix.interventions.probe import Probe as Probe
    from directrix.interventions.steering import steer as steer
    from directrix.measurement.calibration.calibrate import calibrate as calibrate
    from directrix.measurement.calibration.fit_probe import fit_probe as fit_probe
    from directrix.measurement.calibration.leakage_correction import compensate_leakage as compensate_leakage
    from directrix.measurement.evaluation import evaluate as evaluate
    from directrix.measurement.reports.page import report as report
    from directrix.models import load as load
    from directrix.models.steerable import SteerableModel as SteerableModel
    from directrix.policies.fair import Fair as Fair
    from directrix.policies.policy import Policy as Policy
    from directrix.policies.safe import Safe as Safe
    from directrix.policies.wording.understand import understand as understand

# In the order of use.
_PUBLIC = Registry(
    "public name",
    "",
    {
        "load": "directrix.models:load",
        "SteerableModel": "directrix.models.steerable:SteerableModel",
        "Concept": "directrix.concept:Concept",
        "PromptPair": "directrix.concept:PromptPair",
        "AttributeSet": "directrix.concept:AttributeSet",
        "Direction": "directrix.directions.direction:Direction",
        "import_published": "directrix.directions.published:import_published",
        "discover": "directrix.discovery:discover",
        "discover_attribute": "directrix.discovery.attribute:discover_attribute",
        "discover_objects": "directrix.discovery.objects:discover_objects",
        "search_sites": "directrix.discovery.site_search:search_sites",
        "Sampling": "directrix.discovery.settings:Sampling",
        "Optimizer": "directrix.discovery.settings:Optimizer",
        "Orthogonalization": "directrix.discovery.settings:Orthogonalization",
        "calibrate": "directrix.measurement.calibration.calibrate:calibrate",
        "compensate_leakage": "directrix.measurement.calibration.leakage_correction:compensate_leakage",
        "Probe": "directrix.interventions.probe:Probe",
        "fit_probe": "directrix.measurement.calibration.fit_probe:fit_probe",
        "steer": "directrix.interventions.steering:steer",
        "attach": "directrix.interventions.attach:attach",
        "generate": "directrix.generation.generate:generate",
        "Fair": "directrix.policies.fair:Fair",
        "fair": "directrix.generation.fair:fair",
        "Safe": "directrix.policies.safe:Safe",
        "Policy": "directrix.policies.policy:Policy",
        "understand": "directrix.policies.wording.understand:understand",
        "evaluate": "directrix.measurement.evaluation:evaluate",
        "report": "directrix.measurement.reports.page:report",
        "reproduce": "directrix.experiments.paper:reproduce",
        "DirectrixError": "directrix.errors:DirectrixError",
    },
)
# Names of version 0.1, which go with 0.3.
_RENAMED = {
    "Gauge": "Probe",
    "fit_gauge": "fit_probe",
    "level": "compensate_leakage",
    "discover_things": "discover_objects",
}

__all__ = [*_PUBLIC.names(), "__version__"]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _RENAMED:
        from directrix.deprecation import warn

        warn(f"directrix.{name}", f"directrix.{_RENAMED[name]}")
        return __getattr__(_RENAMED[name])
    if name not in _PUBLIC:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    value = globals()[name] = _PUBLIC.get(name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
