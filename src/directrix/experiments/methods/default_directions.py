"""What can be trusted in the default method's directions: woman and man, and the three skin tones.

Each is found and calibrated as a user's would be, and compensated for what it changes of the other attribute. Then each
goes through the generalisation test.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from directrix.concept import GENDER, SKIN_TONE, AttributeSet
from directrix.directions.direction import Direction
from directrix.directions.target_label import TargetLabel
from directrix.discovery.attribute import discover_attribute
from directrix.errors import NoEffectError
from directrix.experiments.cache import cached
from directrix.experiments.cost.measure import measured
from directrix.experiments.emoji_world.caption import with_article
from directrix.experiments.methods.generalisation import GeneralisationTest, Group
from directrix.interventions.probe import Probe
from directrix.measurement.calibration.calibrate import calibrate
from directrix.measurement.calibration.fit_probe import fit_probe
from directrix.measurement.calibration.leakage_correction import compensate_leakage
from directrix.measurement.judges.emoji_vocabulary import OCCUPATIONS
from directrix.measurement.reports.leakage import CATEGORIES
from directrix.progress import Progress, labelled, silent

if TYPE_CHECKING:
    from directrix.measurement.judges import Judge

GROUPS: Mapping[str, AttributeSet] = {"gender": GENDER, "tone": SKIN_TONE}
# What else shifts is put back by the directions of this attribute.
COMPENSATED = {"gender": "tone", "tone": "gender"}
# Compensated also for project-and-set, where tones shift the genders most.
IN_PLACE = ("tone",)
# Categories that miss their mark although the prompt's component is projected out.
PROBED = ("tone",)
# Images that a probe is fitted to, of each occupation and category: with fewer it corrects fewer.
PROBE_IMAGES = 60


def directions(
    pipeline: Any,
    judge: Judge,
    folder: Path,
    *,
    images_per_prompt: int = 20,
    seed: int = 0,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Find, calibrate, compensate and test them; ``folder`` keeps the directions and every part of the figures.

    images_per_prompt: of each occupation at strength 1, and of each subject that is no person.

    Returns by concept: "effect" over all occupations, "least", the occupation with the least, "subject_accuracy" and
    "subject_unsteered", "leakage" by label of the other attribute, "non_people" (the share that retain their subject,
    of those that show it unsteered), "strengths" and "monotone" (see ``never_falls``), and the same under
    "project_and_set", for tones under "feedback" (a probe fitted on other images of the same occupations), and where
    nothing is steered and the prompt says it under "prompted". Then "cosine" of woman and man; "seconds" of the
    discovery of each group, "seconds_calibrating" and "seconds_compensating" of each concept, and
    "seconds_fitting_probe" of each attribute that has a probe.
    """
    run = _Run(pipeline, judge, folder, seed, progress)
    test = GeneralisationTest(pipeline, judge, images_per_prompt, seed)
    concepts: dict[str, Any] = {concept.name: {} for group in GROUPS.values() for concept in group.concepts}
    seconds: dict[str, dict[str, float]] = {key: {} for key in ("", "_calibrating", "_compensating", "_fitting_probe")}
    found: dict[str, Any] = {"concepts": concepts, **{f"seconds{key}": row for key, row in seconds.items()}}
    groups: dict[str, dict[Direction, TargetLabel]] = {attribute: {} for attribute in GROUPS}
    for attribute, group in GROUPS.items():
        note = cached(folder / f"calibrated-{attribute}.json", run.calibrate, attribute)
        seconds[""][group.name] = note["seconds"]
        found |= {"cosine": note["cosine"]} if "cosine" in note else {}
        for concept, label in zip(group.concepts, CATEGORIES[attribute], strict=True):
            each = note["concepts"][concept.name]
            if "no_effect" in each:
                concepts[concept.name] = each
                continue
            seconds["_calibrating"][concept.name] = each["seconds"]
            groups[attribute][Direction.load(run.file("calibrated", concept.name))] = TargetLabel(attribute, label)
    for attribute, by in COMPENSATED.items():
        if not groups[by]:
            continue
        compensated: dict[Direction, TargetLabel] = {}
        for direction, target_label in groups[attribute].items():
            among = list(groups[attribute]) if attribute in IN_PLACE else []
            note = cached(folder / f"compensated-{direction.name}.json", run.compensate, direction, groups[by], among)
            seconds["_compensating"][direction.name] = note["seconds"]
            compensated[Direction.load(run.file("compensated", direction.name))] = target_label
        groups[attribute] = compensated
    if len(groups["gender"]) == 2:
        one, other = groups["gender"]
        found["cosine"] = round(one.cosine(other), 4)
    for attribute, group in groups.items():
        probe = None
        if attribute in PROBED and len(group) == len(CATEGORIES[attribute]):
            note = cached(folder / f"probe-{attribute}.json", run.fit, attribute, group)
            seconds["_fitting_probe"][attribute] = note["seconds"]
            probe = Probe.load(run.probe(attribute))
        for direction, label in group.items():
            name = direction.name
            direction.save(run.file("default", name))
            parts: dict[str, Callable[..., Any]] = {
                "added": partial(test.added, direction, label, labelled(progress, f"{name}: ")),
                "project_and_set": partial(test.project_and_set, direction, group),
                "prompted": partial(test.prompted, GROUPS[attribute], name, label),
            }
            if probe is not None:
                parts["feedback"] = partial(test.project_and_set, direction, group, probe)
            notes = {key: cached(folder / f"{key}-{name}.json", part) for key, part in parts.items()}
            concepts[name] = {**notes.pop("added"), **notes}
    return found


@dataclass(frozen=True)
class _Run:
    """What is found and fitted; each returns the seconds that it takes, and a file holds the result."""

    pipeline: Any
    judge: Judge
    folder: Path
    seed: int
    progress: Progress

    def file(self, stage: str, name: str) -> Path:
        return self.folder / f"{stage}-{name}.safetensors"

    def probe(self, attribute: str) -> Path:
        return self.folder / f"probe-{attribute}.probe"

    def calibrate(self, attribute: str) -> dict[str, Any]:
        """Of all values of an attribute, and the seconds that each takes to calibrate."""
        with measured() as cost:
            raw = discover_attribute(self.pipeline, GROUPS[attribute], seed=self.seed, progress=self.progress)
        found: dict[str, Any] = {"seconds": round(cost.seconds, 2), "concepts": {}}
        if len(raw) == 2:
            found["cosine"] = round(raw[0].cosine(raw[1]), 4)
        for direction, label in zip(raw, CATEGORIES[attribute], strict=True):
            settings: Any = {"target_label": TargetLabel(attribute, label), "progress": self._bars(direction)}
            try:
                with measured() as cost:
                    direction = calibrate(self.pipeline, direction, self.judge, **settings)
            except NoEffectError as error:
                found["concepts"][direction.name] = {"no_effect": str(error)}
                continue
            found["concepts"][direction.name] = {"seconds": round(cost.seconds, 2)}
            direction.save(self.file("calibrated", direction.name))
        return found

    def compensate(self, direction: Direction, others: Group, among: Sequence[Direction]) -> dict[str, Any]:
        settings: Any = {"among": among, "progress": self._bars(direction)}
        with measured() as cost:
            better = compensate_leakage(self.pipeline, direction, others, self.judge, **settings)
        better.save(self.file("compensated", direction.name))
        return {"seconds": round(cost.seconds, 2)}

    def fit(self, attribute: str, group: Group) -> dict[str, Any]:
        """Of a probe. The test's prompts are longer, and its seeds others."""
        prompts = [with_article(name) for name in OCCUPATIONS]
        whole = {each.with_(strengths=replace(each.strengths, default=1.0)): label for each, label in group.items()}
        settings: Any = {"images_per_prompt": PROBE_IMAGES, "rounds": 1, "progress": self.progress}
        with measured() as cost:
            probe = fit_probe(self.pipeline, attribute, whole, self.judge, prompts, **settings)
        probe.save(self.probe(attribute))
        return {"seconds": round(cost.seconds, 2)}

    def _bars(self, direction: Direction) -> Progress:
        return labelled(self.progress, f"{direction.name}: ")
