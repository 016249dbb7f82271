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
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from directrix._version import __version__

if TYPE_CHECKING:
    from directrix.apply.enhance import understand as understand
    from directrix.apply.fair import Fair as Fair
    from directrix.apply.fair import fair as fair
    from directrix.apply.policy import Policy as Policy
    from directrix.apply.safe import Safe as Safe
    from directrix.calibration import calibrate as calibrate
    from directrix.concept import AttributeSet as AttributeSet
    from directrix.concept import Concept as Concept
    from directrix.concept import PromptPair as PromptPair
    from directrix.direction import Direction as Direction
    from directrix.discover import discover as discover
    from directrix.discover.attribute import discover_attribute as discover_attribute
    from directrix.discover.search import search_sites as search_sites
    from directrix.discover.things import discover_things as discover_things
    from directrix.errors import DirectrixError as DirectrixError
    from directrix.evaluate import evaluate as evaluate
    from directrix.gauge import Gauge as Gauge
    from directrix.gauging import fit_gauge as fit_gauge
    from directrix.generate import generate as generate
    from directrix.levelling import level as level
    from directrix.models import load as load
    from directrix.pipelines import attach as attach
    from directrix.published import import_published as import_published
    from directrix.reproduce import reproduce as reproduce
    from directrix.steer import steer as steer

_HOME = {
    "load": "models",
    "Concept": "concept",
    "PromptPair": "concept",
    "AttributeSet": "concept",
    "Direction": "direction",
    "import_published": "published",
    "discover": "discover",
    "discover_attribute": "discover.attribute",
    "discover_things": "discover.things",
    "search_sites": "discover.search",
    "calibrate": "calibration",
    "level": "levelling",
    "Gauge": "gauge",
    "fit_gauge": "gauging",
    "steer": "steer",
    "attach": "pipelines",
    "generate": "generate",
    "Fair": "apply.fair",
    "fair": "apply.fair",
    "Safe": "apply.safe",
    "Policy": "apply.policy",
    "understand": "apply.enhance",
    "evaluate": "evaluate",
    "reproduce": "reproduce",
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
    "discover_things",
    "search_sites",
    "calibrate",
    "level",
    "Gauge",
    "fit_gauge",
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


class _Package(ModuleType):
    """Keeps a public name from being hidden by the submodule of the same name.

    After importing directrix.steer, Python binds that module to `directrix.steer`; the function must stay
    there.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, ModuleType) and name in _HOME:
            return
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    else:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
