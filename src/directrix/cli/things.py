"""`directrix discover --thing PHRASE ...`: the directions of things that a picture may hold, a file each."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from directrix.cli import group, options

if TYPE_CHECKING:
    from directrix.concept import AttributeSet, Concept


def run(arguments: argparse.Namespace, preserve: Sequence[AttributeSet]) -> None:
    """Discover them; see `group.run`."""
    from directrix.discover.things import discover_things, thing_concepts

    group.check(arguments, "--thing")
    thing_concepts(arguments.thing)  # raises before anything slow
    folder = options.writable_folder(arguments.output)

    def concepts(pipeline: Any) -> Sequence[Concept]:
        from directrix import models

        return thing_concepts(arguments.thing, models.facts(pipeline).subjects)

    group.run(
        arguments,
        folder,
        folder / ".things.checkpoint",
        concepts,
        partial(discover_things, things=arguments.thing, method=arguments.method, preserve=preserve),
        {"things": arguments.thing},
        exclusive=False,
        level_by={},
    )
