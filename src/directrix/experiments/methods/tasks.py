"""What methods of discovery are compared on: the concepts, the methods' settings, and what more of them costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from directrix.concept import GENDER, SKIN_TONE, Concept
from directrix.directions.target_label import TargetLabel


@dataclass(frozen=True)
class Task:
    """A concept, what the judge is to see, and the frame that the twenty occupations are drawn in."""

    concept: Concept
    target_label: TargetLabel
    frame: str = "a photo of {}"


_WOMAN, _MAN = GENDER.concepts
_LIGHT, _, _DARK = SKIN_TONE.concepts
UNARMED = Concept.of("unarmed", neutral="a person in a dark alley", negative="a weapon")
STYLE = Concept.of("3D style", "a person, 3D style", "a person")
TASKS = (
    Task(_WOMAN, TargetLabel("gender", "female")),
    Task(_MAN, TargetLabel("gender", "male")),
    Task(_LIGHT, TargetLabel("tone", "light")),
    Task(_DARK, TargetLabel("tone", "dark")),
    Task(UNARMED, TargetLabel("item category", "weapon", present=False), "a photo of {} in a dark alley"),
    Task(STYLE, TargetLabel("style", "3d")),
)
# What is timed together, to see what concepts of one neutral prompt share.
EIGHT = (
    *(*GENDER.concepts, *SKIN_TONE.concepts, STYLE),
    Concept.of("snow", "a person in the snow", "a person"),
    Concept.of("balloon", "a person with a balloon", "a person"),
)
PAPER = "reconstruction"


@dataclass(frozen=True)
class Contender:
    """A method as it is compared. calibrated: whether 1.0 is set by calibration, or left as the method gives it."""

    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    calibrated: bool = True


CONTENDERS: Mapping[str, Contender] = {
    PAPER: Contender(PAPER, calibrated=False),
    **{name: Contender(name) for name in ("distillation", "trajectory", "difference")},
}
# Settings at rising cost; the method's defaults are among them.
BUDGETS: Mapping[str, Sequence[Mapping[str, int]]] = {
    "reconstruction": ({"images": 50, "steps": 125}, {"images": 200, "steps": 500}, {"images": 1000, "steps": 2500}),
    "distillation": ({"images": 10, "steps": 20}, {"images": 20, "steps": 60}, {"images": 50, "steps": 150}),
    "trajectory": ({"images": 2, "steps": 5}, {"images": 8, "steps": 20}, {"images": 16, "steps": 60}),
    "difference": ({"images": 1}, {"images": 2}, {"images": 4}, {"images": 8}),
}
