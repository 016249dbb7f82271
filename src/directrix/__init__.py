"""Directrix: directions for concepts inside frozen text-to-image models.

    import directrix

    pipeline = directrix.load("emoji")
    concept = directrix.Concept.of("woman", "a woman", "a person")
    woman = directrix.discover(pipeline, concept)
    with directrix.steer(pipeline, {woman: 1.0}):
        image = pipeline("a firefighter").images[0]

Everything heavy is imported on first use: the stub `__init__.pyi` says where each name lives.
"""

import re
from pathlib import Path
from typing import Any

from directrix.registry import Registry

__version__ = "0.2.0"

_STUB = Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8")
_PUBLIC = Registry(
    "public name",
    "",
    {name: f"{module}:{name}" for module, name in re.findall(r"^from (\S+) import (\w+)", _STUB, re.MULTILINE)},
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
