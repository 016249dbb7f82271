"""What methods of discovery are compared on (tasks.yaml): concepts, settings, and the ten test occupations.

Discovery and calibration see development prompts alone: "a person" and the subjects of the model's card. Figures are of
test prompts. The split is that of the benchmark emoji-occupations.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from directrix.concept import GENDER, SKIN_TONE, AttributeSet, Concept
from directrix.directions.target_label import TargetLabel
from directrix.experiments.emoji_world.caption import with_article
from directrix.measurement import benchmarks
from directrix.measurement.calibration.dose_response import SUBJECT, Verdicts
from directrix.measurement.metrics import bootstrap, pooled_mean

V = TypeVar("V")


@dataclass(frozen=True)
class Task:
    """A concept, and what the judges are to see."""

    concept: Concept
    target_label: TargetLabel


@dataclass(frozen=True)
class Contender:
    """A method as it is compared.

    settings: those that are not the method's own. concepts: names of those that it finds; None for all.
    seeds: how many discoveries of each.
    """

    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    concepts: Sequence[str] | None = None
    seeds: int = 1


_DATA = yaml.safe_load(Path(__file__).with_name("tasks.yaml").read_text(encoding="utf-8"))
_CONCEPTS = {each.name: each for each in (*GENDER.concepts, *SKIN_TONE.concepts)}
TASKS = tuple(Task(_CONCEPTS[each["concept"]], TargetLabel(**each["label"])) for each in _DATA["tasks"])
# The paper's objective, at fewer images and steps than the paper's.
PAPER = "reconstruction"
CONTENDERS = {name: Contender(name, **each) for name, each in _DATA["contenders"].items()}
# How directions are calibrated; see `calibrate`.
CALIBRATION: Mapping[str, Any] = _DATA["calibration"]
# Denoising steps of the images that are judged.
STEPS = 10
TEST = tuple(dict.fromkeys(row.group for row in benchmarks.load("emoji-occupations").part(split="test").rows))


def photos(names: Iterable[str] = TEST, more: str = "") -> tuple[str, ...]:
    """A prompt for each name, with more words behind it."""
    return tuple(f"a photo of {with_article(name)}{more}" for name in names)


def worded(group: AttributeSet, concept: str, names: Iterable[str] = TEST) -> tuple[str, ...]:
    """The same prompts with the concept's own word: "a photo of a female pilot"."""
    words = dict(zip([each.name for each in group.concepts], group.words, strict=True))
    return photos(f"{words[concept]} {name}" for name in names)


def by_occupation(*runs: Sequence[V]) -> dict[str, list[V]]:
    """The values of each test occupation: a run has as many of each, in their order."""
    each = len(runs[0]) // len(TEST)
    return {name: [v for run in runs for v in run[i * each : (i + 1) * each]] for i, name in enumerate(TEST)}


def share(*runs: Sequence[bool]) -> dict[str, float | int]:
    """The share over all values of all runs, with the interval of a bootstrap over occupations."""
    return bootstrap(by_occupation(*runs), pooled_mean).as_dict()


def right_subjects(verdicts: Verdicts) -> list[bool]:
    """Whether each image shows the occupation that was asked for; the images are in the order of the occupations."""
    each = len(verdicts) // len(TEST)
    return [verdict[SUBJECT].label == TEST[place // each] for place, verdict in enumerate(verdicts)]
