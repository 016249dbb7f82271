"""The discovery methods by name: the library's own, and those of other packages (group "directrix.methods")."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from directrix.discovery.problem import Method
from directrix.errors import DirectrixError, suggestion
from directrix.registry import Registry

METHODS = Registry(
    "discovery method",
    "directrix.methods",
    {
        "affine": "directrix.discovery.affine:Affine",
        "difference": "directrix.discovery.difference_of_means:Difference",
        "distillation": "directrix.discovery.distillation:Distillation",
        "embedding": "directrix.discovery.embedding:Embedding",
        "reconstruction": "directrix.discovery.reconstruction:Reconstruction",
        "trajectory": "directrix.discovery.trajectory_distillation:Trajectory",
    },
)


def method(name: str, **options: Any) -> Method:
    """A method with its options; DirectrixError, with the nearest name, for one that it doesn't have."""
    cls = METHODS.get(name)
    known = [field.name for field in fields(cls)]
    for option in options:
        if option not in known:
            raise DirectrixError(
                f"The method {name} has no option {option!r}.",
                "one of its own options, or of discover's arguments.",
                suggestion(option, known),
            )
    return cls(**options)
