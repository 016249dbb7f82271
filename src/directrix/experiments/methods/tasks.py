"""What methods of discovery are compared on (tasks.yaml): concepts, settings, and the twenty occupations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from directrix.concept import GENDER, SKIN_TONE, Concept
from directrix.directions.target_label import TargetLabel
from directrix.experiments.emoji_world.caption import with_article
from directrix.measurement.calibration.dose_response import SUBJECT, Verdicts
from directrix.measurement.judges.emoji_vocabulary import OCCUPATIONS
from directrix.measurement.metrics import bootstrap, pooled_mean

V = TypeVar("V")


@dataclass(frozen=True)
class Task:
    """A concept, what the judge is to see, and the frame that the twenty occupations are drawn in."""

    concept: Concept
    target_label: TargetLabel
    frame: str = "a photo of {}"


@dataclass(frozen=True)
class Contender:
    """A method as it is compared. calibrated: whether 1.0 is set by calibration, or left as the method gives it."""

    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    calibrated: bool = True


_DATA = yaml.safe_load(Path(__file__).with_name("tasks.yaml").read_text(encoding="utf-8"))
_CONCEPTS = {each.name: each for each in (*GENDER.concepts, *SKIN_TONE.concepts)}
_CONCEPTS |= {name: Concept.of(name, **prompts) for name, prompts in _DATA["concepts"].items()}
TASKS = tuple(Task(_CONCEPTS[each.pop("concept")], TargetLabel(**each.pop("label")), **each) for each in _DATA["tasks"])
# What is timed together, to see what concepts of one neutral prompt share.
EIGHT = tuple(_CONCEPTS[name] for name in _DATA["eight"])
PAPER = "reconstruction"
CONTENDERS = {name: Contender(name, calibrated=name != PAPER) for name in _DATA["budgets"]}
# Settings at rising cost; the method's defaults are among them.
BUDGETS: Mapping[str, Sequence[Mapping[str, int]]] = _DATA["budgets"]


def photos(names: Iterable[str] = OCCUPATIONS, frame: str = "a photo of {}") -> tuple[str, ...]:
    """A prompt for each name."""
    return tuple(frame.format(with_article(name)) for name in names)


def by_occupation(*runs: Sequence[V]) -> dict[str, list[V]]:
    """The values of each occupation: a run has as many of each, in the order of the occupations."""
    each = len(runs[0]) // len(OCCUPATIONS)
    return {name: [v for run in runs for v in run[i * each : (i + 1) * each]] for i, name in enumerate(OCCUPATIONS)}


def share(*runs: Sequence[bool]) -> dict[str, float | int]:
    """The share over all values of all runs, with the interval of a bootstrap over occupations."""
    return bootstrap(by_occupation(*runs), pooled_mean).as_dict()


def right_subjects(verdicts: Verdicts) -> list[bool]:
    """Whether each image shows the occupation that was asked for; the images are in the order of the occupations."""
    each = len(verdicts) // len(OCCUPATIONS)
    return [verdict[SUBJECT].label == OCCUPATIONS[place // each] for place, verdict in enumerate(verdicts)]
