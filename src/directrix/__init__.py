"""Directrix: directions for concepts inside frozen text-to-image models.

    import directrix

    pipeline = directrix.load("emoji")
    concept = directrix.Concept.of("woman", "a woman", "a person")
    woman = directrix.discover(pipeline, concept, method="distillation")
    with directrix.steer(pipeline, {woman: 1.0}):
        image = pipeline("a firefighter").images[0]

Everything heavy is imported on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from directrix._version import __version__

if TYPE_CHECKING:
    from directrix.concept import AttributeSet as AttributeSet
    from directrix.concept import Concept as Concept
    from directrix.concept import PromptPair as PromptPair
    from directrix.directions.direction import Direction as Direction
    from directrix.directions.published import import_published as import_published
    from directrix.discovery import discover as discover
    from directrix.discovery.attribute import discover_attribute as discover_attribute
    from directrix.discovery.objects import discover_objects as discover_objects
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
    from directrix.models import load as load
    from directrix.policies.fair import Fair as Fair
    from directrix.policies.policy import Policy as Policy
    from directrix.policies.safe import Safe as Safe
    from directrix.policies.wording.understand import understand as understand

_HOME = {
    "load": "models",
    "Concept": "concept",
    "PromptPair": "concept",
    "AttributeSet": "concept",
    "Direction": "directions.direction",
    "import_published": "directions.published",
    "discover": "discovery",
    "discover_attribute": "discovery.attribute",
    "discover_objects": "discovery.objects",
    "search_sites": "discovery.site_search",
    "calibrate": "measurement.calibration.calibrate",
    "compensate_leakage": "measurement.calibration.leakage_correction",
    "Probe": "interventions.probe",
    "fit_probe": "measurement.calibration.fit_probe",
    "steer": "interventions.steering",
    "attach": "interventions.attach",
    "generate": "generation.generate",
    "Fair": "policies.fair",
    "fair": "generation.fair",
    "Safe": "policies.safe",
    "Policy": "policies.policy",
    "understand": "policies.wording.understand",
    "evaluate": "measurement.evaluation",
    "reproduce": "experiments.paper",
    "DirectrixError": "errors",
}

__all__ = [  # noqa: RUF022 - in the order of use
    "load",
    "Concept",
    "PromptPair",
    "AttributeSet",
    "Direction",
    "import_published",
    "discover",
    "discover_attribute",
    "discover_objects",
    "search_sites",
    "calibrate",
    "compensate_leakage",
    "Probe",
    "fit_probe",
    "steer",
    "attach",
    "generate",
    "Fair",
    "fair",
    "Safe",
    "Policy",
    "understand",
    "evaluate",
    "reproduce",
    "DirectrixError",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    else:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
