"""The discovery methods by name."""

from __future__ import annotations

import dataclasses
from importlib import import_module
from typing import Any

from directrix.discovery.problem import Method
from directrix.errors import DirectrixError, suggestion

# Name -> where it lives; imported when asked for.
METHODS: dict[str, str] = {
    "difference": "directrix.discovery.difference_of_means:Difference",
    "distillation": "directrix.discovery.distillation:Distillation",
    "reconstruction": "directrix.discovery.reconstruction:Reconstruction",
    "trajectory": "directrix.discovery.trajectory_distillation:Trajectory",
}


def method_class(name: str) -> type:
    """The class of a method; DirectrixError, with the nearest name, for an unknown one."""
    if name not in METHODS:
        raise DirectrixError(
            f"There is no discovery method {name!r}.", "the name of one.", suggestion(str(name), METHODS)
        )
    module, attribute = METHODS[name].split(":")
    return getattr(import_module(module), attribute)


def method(name: str, **options: Any) -> Method:
    """A method with its options; DirectrixError, with the nearest name, for one that it doesn't have."""
    cls = method_class(name)
    known = [field.name for field in dataclasses.fields(cls)]
    for option in options:
        if option not in known:
            raise DirectrixError(
                f"The method {name} has no option {option!r}.",
                "one of its own options, or of discover's arguments.",
                suggestion(option, known),
            )
    return cls(**options)
