"""`directrix discover --attribute NAME`: the directions of all values of an attribute, a file each."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from directrix.cli import options
from directrix.cli.discover import common, many
from directrix.errors import ConceptError

if TYPE_CHECKING:
    from directrix.concept import AttributeSet, Concept


def run(arguments: argparse.Namespace, preserve: Sequence[AttributeSet] | None) -> None:
    """Discover them; see `group.run`."""
    from directrix.concept import attribute_set

    attribute = attribute_set(arguments.attribute)
    many.check(arguments, "--attribute")
    if arguments.level is not None and arguments.no_calibration:
        raise ConceptError(
            "'--level' was given together with '--no-calibration'.",
            "one of the two: a shift is measured at a calibrated strength.",
            "leave one out.",
        )
    folder = options.writable_folder(arguments.output)
    names = [concept.name for concept in attribute.concepts]
    compensate_for = {} if arguments.level is None else common.compensation(arguments.level, names)

    from directrix import models
    from directrix.discovery.attribute import discover_attribute

    def concepts(pipeline: Any) -> Sequence[Concept]:
        return attribute.among(models.facts(pipeline).subjects).concepts

    many.run(
        arguments,
        folder,
        folder / f".{attribute.name.replace(' ', '-')}.checkpoint",
        concepts,
        partial(discover_attribute, attribute=attribute, method=arguments.method),
        preserve,
        {"attribute": attribute.name},
        exclusive=True,
        compensate_for=compensate_for,
        in_place=arguments.in_place,
    )
