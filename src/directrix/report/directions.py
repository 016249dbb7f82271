"""What can be trusted in the default method's directions: woman and man, and the three skin tones.

Each is found and calibrated as a user's would be, the genders levelled by the tones. Then each is tried on what none of
this has seen: all occupations at strength 1, subjects that are no people, and nine strengths.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from directrix import storage
from directrix.apply.replaced import Replaced
from directrix.calibration import calibrate
from directrix.concept import GENDER, SKIN_TONE, AttributeSet
from directrix.discover.attribute import discover_attribute
from directrix.errors import NoEffectError
from directrix.levelling import level
from directrix.metrics import bootstrap, pooled_mean, proportion
from directrix.progress import Progress, labelled, silent
from directrix.report.comparison import CATEGORIES
from directrix.report.kept import kept
from directrix.report.leakage import leakage, never_falls
from directrix.trial import SUBJECT, Aim, Trial, Verdicts
from directrix.world.caption import with_article
from directrix.world.vocabulary import NON_PEOPLE, OCCUPATIONS

if TYPE_CHECKING:
    from directrix.direction import Direction
    from directrix.judges import Judge

GROUPS: Mapping[str, AttributeSet] = {"gender": GENDER, "tone": SKIN_TONE}
# What else shifts is put back by the directions of this attribute; tones hardly shift the genders.
LEVELLED = {"gender": "tone"}
STRENGTHS = (-1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0)
# Pictures of each occupation at each of the strengths.
IMAGES_BY_STRENGTH = 2


def directions(
    pipeline: Any,
    judge: Judge,
    folder: Path,
    *,
    images_per_prompt: int = 20,
    seed: int = 0,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Find, calibrate and try them; ``folder`` keeps the directions and every part of the figures.

    images_per_prompt: of each occupation at strength 1; of the subjects that are no people, as many.

    Returns by concept: "effect" over all occupations, "least", the occupation with the least, "subject_accuracy" and
    "subject_unsteered", "leakage" by label of the other attribute, "non_people" (the share that keep their subject,
    of those that show it unsteered), "strengths" and "monotone" (see ``never_falls``), and "replaced": effect, least,
    subjects and leakage where what the prompt itself says of the attribute is taken out first; "cosine" of woman and
    man; "seconds" of the discovery of each group, "seconds_calibrating" and "seconds_levelling" of each concept.
    """
    trials = _Trials(pipeline, judge, images_per_prompt, seed)
    found: dict[str, Any] = {
        "concepts": {},
        "seconds": {},
        "seconds_calibrating": {},
        "seconds_levelling": {},
    }
    calibrated: dict[str, dict[Direction, Aim]] = {}
    for attribute, group in GROUPS.items():
        note = kept(
            folder / f"calibrated-{attribute}.json",
            partial(_calibrated, pipeline, judge, folder, attribute, seed, progress),
        )
        found["seconds"][group.name] = note["seconds"]
        if "cosine" in note:
            found["cosine"] = note["cosine"]
        calibrated[attribute] = {}
        for concept, label in zip(group.concepts, CATEGORIES[attribute], strict=True):
            each = note["concepts"][concept.name]
            if "no_effect" in each:
                found["concepts"][concept.name] = each
                continue
            found["seconds_calibrating"][concept.name] = each["seconds"]
            direction = storage.load(_file(folder, "calibrated", concept.name))
            calibrated[attribute][direction] = Aim(attribute, label)
    for attribute, by in LEVELLED.items():
        if not calibrated[by]:
            continue
        levelled: dict[Direction, Aim] = {}
        for direction, aim in calibrated[attribute].items():
            note = kept(
                folder / f"levelled-{direction.name}.json",
                partial(_levelled, pipeline, direction, calibrated[by], judge, folder, progress),
            )
            found["seconds_levelling"][direction.name] = note["seconds"]
            levelled[storage.load(_file(folder, "levelled", direction.name))] = aim
        calibrated[attribute] = levelled
    if len(calibrated["gender"]) == 2:
        one, other = calibrated["gender"]
        found["cosine"] = round(one.cosine(other), 4)
    for group in calibrated.values():
        for direction, aim in group.items():
            storage.save(direction, _file(folder, "default", direction.name))
            bars = labelled(progress, f"{direction.name}: ")
            found["concepts"][direction.name] = kept(
                folder / f"tried-{direction.name}.json", partial(_tried, direction, aim, group, trials, bars)
            )
    names = [concept.name for group in GROUPS.values() for concept in group.concepts]
    return {**found, "concepts": {name: found["concepts"][name] for name in names}}


class _Trials:
    """What directions are tried on, drawn when first asked for."""

    def __init__(self, pipeline: Any, judge: Judge, images_per_prompt: int, seed: int) -> None:
        self._trial = partial(Trial, pipeline, judge)
        self._images = images_per_prompt
        self._seed = seed + 500

    @cached_property
    def people(self) -> Trial:
        """All occupations."""
        return self._trial(_photos(OCCUPATIONS), self._images, seed=self._seed)

    @cached_property
    def animals(self) -> Trial:
        """Subjects that are no people."""
        return self._trial(_photos(NON_PEOPLE), self._images, seed=self._seed)

    @cached_property
    def few(self) -> Trial:
        """A few of each occupation, for many strengths."""
        return self._trial(_photos(OCCUPATIONS), IMAGES_BY_STRENGTH, seed=self._seed + 1)


def _photos(names: Iterable[str]) -> list[str]:
    return [f"a photo of {with_article(name)}" for name in names]


def _file(folder: Path, stage: str, name: str) -> Path:
    return folder / f"{stage}-{name}.safetensors"


def _calibrated(
    pipeline: Any, judge: Judge, folder: Path, attribute: str, seed: int, progress: Progress
) -> dict[str, Any]:
    """The seconds that all values of an attribute take, and each its calibration; files hold the directions."""
    group = GROUPS[attribute]
    started = time.perf_counter()
    raw = discover_attribute(pipeline, group, seed=seed, progress=progress)
    found: dict[str, Any] = {"seconds": round(time.perf_counter() - started, 2), "concepts": {}}
    if len(raw) == 2:
        found["cosine"] = round(raw[0].cosine(raw[1]), 4)
    for direction, label in zip(raw, CATEGORIES[attribute], strict=True):
        bars = labelled(progress, f"{direction.name}: ")
        started = time.perf_counter()
        try:
            direction = calibrate(pipeline, direction, judge, aim=Aim(attribute, label), progress=bars)
        except NoEffectError as error:
            found["concepts"][direction.name] = {"no_effect": str(error)}
            continue
        found["concepts"][direction.name] = {"seconds": round(time.perf_counter() - started, 2)}
        storage.save(direction, _file(folder, "calibrated", direction.name))
    return found


def _levelled(
    pipeline: Any,
    direction: Direction,
    others: Mapping[Direction, Aim],
    judge: Judge,
    folder: Path,
    progress: Progress,
) -> dict[str, Any]:
    """The seconds that it takes; a file holds the direction."""
    started = time.perf_counter()
    bars = labelled(progress, f"{direction.name}: ")
    direction = level(pipeline, direction, others, judge, progress=bars)
    storage.save(direction, _file(folder, "levelled", direction.name))
    return {"seconds": round(time.perf_counter() - started, 2)}


def _tried(
    direction: Direction, aim: Aim, group: Mapping[Direction, Aim], trials: _Trials, progress: Progress
) -> dict[str, Any]:
    people, animals, few = trials.people, trials.animals, trials.few
    with progress(len(STRENGTHS) + 3, "Trying") as bar:
        after = people.verdicts(direction, 1.0)
        bar.advance(1)
        beasts = animals.verdicts(direction, 1.0)
        bar.advance(1)
        steps = []
        for strength in STRENGTHS:
            steps.append(few.step(direction, aim, strength))
            bar.advance(1)
        replaced = _replaced(direction, group, people)
        bar.advance(1)
    kept = [
        new[SUBJECT].label == old[SUBJECT].label
        for old, new in zip(animals.plain, beasts, strict=True)
        if old[SUBJECT].label in NON_PEOPLE
    ]
    return {
        **_effect(after, aim),
        "subject_unsteered": _subjects(people.plain),
        "leakage": _leaked(people, after, aim.attribute),
        "non_people": proportion(sum(kept), len(kept)).as_dict(),
        "strengths": [{"strength": step.strength, "effect": step.effect.as_dict()} for step in steps],
        "monotone": never_falls([step.effect for step in steps]),
        "replaced": replaced,
    }


def _replaced(direction: Direction, group: Mapping[Direction, Aim], people: Trial) -> dict[str, Any]:
    """The same pictures with the attribute's other directions known too; see `directrix.apply.replaced`."""
    name = group[direction].attribute
    each = len(people.plain)
    replaced = Replaced(
        {name: {one.name: {one: 1.0} for one in group}}, [{name: direction.name}] * each, insist=False
    )
    after = people.verdicts_under(replaced)
    return {**_effect(after, group[direction]), "leakage": _leaked(people, after, name)}


def _leaked(people: Trial, after: Verdicts, attribute: str) -> dict[str, Any]:
    """The changes of the labels of the other attribute."""
    leaked = leakage(people.plain, after, attribute)
    return {
        label: change.as_dict()
        for other in CATEGORIES
        if other != attribute
        for label, change in leaked[other].items()
        if label in CATEGORIES[other]
    }


def _effect(after: Verdicts, aim: Aim) -> dict[str, Any]:
    """Over all occupations, and where it is least."""
    shown = by_name(OCCUPATIONS, [aim.shown(verdict) for verdict in after])
    least = min(shown, key=lambda name: sum(shown[name]))
    return {
        "effect": bootstrap(shown, pooled_mean).as_dict(),
        "effect_by_occupation": {name: sum(row) / len(row) for name, row in shown.items()},
        "least": {"occupation": least, **proportion(sum(shown[least]), len(shown[least])).as_dict()},
        "subject_accuracy": _subjects(after),
    }


def by_name(names: Sequence[str], values: Sequence[bool]) -> dict[str, list[bool]]:
    """The values in equal stretches, one a name, in order."""
    each = len(values) // len(names)
    return {name: list(values[i * each : (i + 1) * each]) for i, name in enumerate(names)}


def _subjects(verdicts: Verdicts) -> dict[str, float | int]:
    each = len(verdicts) // len(OCCUPATIONS)
    right = [verdict[SUBJECT].label == OCCUPATIONS[place // each] for place, verdict in enumerate(verdicts)]
    return bootstrap(by_name(OCCUPATIONS, right), pooled_mean).as_dict()
