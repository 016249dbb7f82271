"""One run of `directrix discover`: find directions, write them, and calibrate them, a file each."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from directrix.cli import format_direction, terminal
from directrix.cli.app import Result
from directrix.cli.discover import calibration
from directrix.errors import NoEffectError

if TYPE_CHECKING:
    from directrix.concept import Concept
    from directrix.directions.direction import Direction
    from directrix.directions.target_label import TargetLabel
    from directrix.discovery.problem import Defaults

_WORDS = {"images": "images", "steps": "steps", "batch_size": "images a step"}


@dataclass(frozen=True)
class Search:
    """What is searched, and where it goes.

    concepts: for a pipeline, the concepts in order, each with those that it is distinguished from.
    find: the library's function, given the pipeline and settings; the directions of `concepts` come first.
    checkpoint: stays until all directions are written.
    file: where a direction goes.
    data: the command's JSON from that of the directions.
    compensate_for: see `directions_of_others`; all directions are calibrated before the first is compensated.
    in_place: compensate also for taking the place of the prompt's component.
    """

    concepts: Callable[[Any], Sequence[tuple[Concept, Sequence[Concept]]]]
    find: Callable[..., Sequence[Direction]]
    checkpoint: Path
    file: Callable[[Direction], Path]
    data: Callable[[list[dict[str, Any]]], dict[str, Any]]
    compensate_for: Mapping[Direction, TargetLabel] = field(default_factory=dict)
    in_place: bool = False

    def run(
        self,
        load: Callable[[], Any],
        method: str,
        settings: Mapping[str, Any],
        *,
        command: str,
        calibrate: bool,
        judge: str | None,
    ) -> Result:
        """Discovers, writes and calibrates.

        A direction whose effect cannot be seen is written as it was found, and the others are calibrated before the
        command ends with the status of a direction without effect.

        load: loads the pipeline. command: goes into the recipes. judge: by name; None for one that fits.
        """
        from directrix.discovery import registry
        from directrix.discovery.settings import grouped
        from directrix.experiments.cost.measure import measured

        defaults = registry.METHODS.get(method).defaults
        terminal.LOG.info(announcement(method, settings, defaults))
        if self.checkpoint.is_dir():
            terminal.LOG.info("Going on from %s.", self.checkpoint)
        pipeline = load()
        concepts = self.concepts(pipeline)
        judges = [calibration.judge_of(pipeline, *each, judge) if calibrate else None for each in concepts]
        with measured() as cost:
            found = self.find(pipeline, **grouped(settings), checkpoint=self.checkpoint, progress=terminal.progress())
        written, among = [], []
        unseen: NoEffectError | None = None
        for direction, (_, others), seeing in zip(found, concepts, judges, strict=False):
            recipe = {**direction.recipe, "command": command, "others": [asdict(each) for each in others]}
            provenance = {**direction.provenance, "memory_mb": round(cost.memory_mb, 1)}
            direction = direction.with_(recipe=recipe, provenance=provenance)
            path = self.file(direction)
            direction.save(path)
            if seeing is not None:
                try:
                    direction = calibration.calibrated(pipeline, direction, *seeing)
                except NoEffectError as error:
                    unseen = error
                    among.append(direction)
                    continue
                direction.save(path)
            terminal.LOG.info("Wrote %s.", path)
            among.append(direction)
            written.append((direction, path, seeing))
        rows = []
        for direction, path, seeing in written:
            if self.compensate_for and seeing is not None:
                direction = calibration.compensated(
                    pipeline, direction, self.compensate_for, seeing[0], among if self.in_place else ()
                )
                direction.save(path)
            rows.append((direction, path))
        # Until now: an interrupted calibration finds the directions again at once.
        shutil.rmtree(self.checkpoint, ignore_errors=True)
        if not rows and unseen is not None:
            raise unseen
        text, data, _ = format_direction.result(rows)
        return Result(text, self.data(data["directions"]), unseen)


def announcement(method: str, given: Mapping[str, Any], defaults: Defaults) -> str:
    """One line with every setting, and which of them nobody asked for."""
    parts = []
    # A closed form takes no steps.
    for key in ("images", "steps", "batch_size") if defaults.steps else ("images",):
        value = getattr(defaults, key) if given[key] is None else given[key]
        parts.append(f"{value:,} {_WORDS[key]}" + (" (default)" if given[key] is None else ""))
    rate = given["learning_rate"]
    if defaults.steps:
        parts.append(f"learning rate {'from the model (default)' if rate is None else format(rate, 'g')}")
    return f"Discovering by {method}: " + ", ".join(parts) + "."
