"""The starter directions of the embedded models: what a page can offer before anybody has discovered anything.

All are found by `embedding`, which draws no image.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from directrix.concept import GENDER, SKIN_TONE, Concept
from directrix.directions.direction import Direction
from directrix.directions.target_label import TargetLabel
from directrix.discovery import discover
from directrix.discovery.attribute import discover_attribute
from directrix.measurement.calibration.calibrate import calibrate
from directrix.measurement.judges import emoji_vocabulary as words
from directrix.models import load
from directrix.models.steerable import SteerableModel
from directrix.progress import Progress, labelled, silent

METHOD = "embedding"
_ABSENT = {"no weapon": "weapon", "no alcohol": "alcohol", "no smoking": "smoking"}
_SHOWN = {"3D": "3D style", "flat": "flat style", "night": "at night", "snow": "in the snow"}
# What the judge sees of these.
_LABELS = {
    "3D": TargetLabel("style", "3d"),
    "flat": TargetLabel("style", "flat"),
    "night": TargetLabel("setting", "night"),
    "snow": TargetLabel("setting", "snow"),
}


def concepts(subjects: Sequence[str]) -> list[Concept]:
    """The concepts beside gender and skin tone, on "a person" and these subjects.

    What is kept out is an anti-concept of all objects of its category.
    """
    among = ("a person", *subjects)
    found = []
    for name, category in _ABSENT.items():
        objects = [drawn.phrases[0] for drawn in words.HARMFUL[category].values()]
        found.append(Concept.of(name, neutral="a person", negative=objects))
    for name, phrase in _SHOWN.items():
        joined = ", " if phrase.endswith("style") else " "
        found.append(Concept.of(name, [f"{subject}{joined}{phrase}" for subject in among], among))
    return found


def write(name: str, folder: Path, *, calibrated: bool = False, progress: Progress = silent) -> list[Path]:
    """Finds the starter directions of an embedded model and writes a file each.

    Args:
        name: "emoji" or "emoji-sd3".
        calibrated: whether strength 1.0 is measured; else it stays what the words themselves add. Of what is kept out
            it always does: neutral prompts draw none of it, so there is no effect to measure.

    Returns the files. Raises ModelError for another model, and OutputError where a file cannot be written.
    """
    model = SteerableModel.of(load(name))
    found: list[Direction] = []
    for attribute in (GENDER, SKIN_TONE):
        found += discover_attribute(model, attribute, METHOD, progress=progress)
    for concept in concepts(model.facts.subjects):
        found.append(discover(model, concept, METHOD, progress=progress))
    files = []
    for direction in found:
        if calibrated and direction.name not in _ABSENT:
            bars = labelled(progress, f"{direction.name}: ")
            direction = calibrate(model, direction, target_label=_LABELS.get(direction.name), progress=bars)
        files.append(folder / f"{direction.name.replace(' ', '-')}.safetensors")
        direction.save(files[-1])
    return files
