"""`directrix discover --thing PHRASE ...`: the directions of things that a picture may hold, a file each."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from directrix.cli import options
from directrix.cli.discover import many

if TYPE_CHECKING:
    from directrix.concept import AttributeSet, Concept


def run(arguments: argparse.Namespace, preserve: Sequence[AttributeSet]) -> None:
    """Discover them; see `group.run`."""
    from directrix.discovery.objects import discover_objects, object_concepts

    many.check(arguments, "--thing")
    object_concepts(arguments.thing)  # raises before anything slow
    folder = options.writable_folder(arguments.output)

    def concepts(pipeline: Any) -> Sequence[Concept]:
        from directrix import models

        return object_concepts(arguments.thing, models.facts(pipeline).subjects)

    many.run(
        arguments,
        folder,
        folder / ".things.checkpoint",
        concepts,
        partial(discover_objects, objects=arguments.thing, method=arguments.method),
        preserve,
        {"things": arguments.thing},
        exclusive=False,
        compensate_for={},
    )
