"""What can be trusted in the default method's directions: woman and man, and the three skin tones.

Each is found and calibrated as a user's would be, the genders levelled by the tones. Then each is tried on what none of
this has seen: all occupations at strength 1, subjects that are no people, and nine strengths.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
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
    """Find, calibrate and try them; the directions are kept in ``folder``.

    images_per_prompt: of each occupation at strength 1; of the subjects that are no people, as many.

    Returns by concept: "effect" over all occupations, "least", the occupation with the least, "subject_accuracy" and
    "subject_unsteered", "leakage" by label of the other attribute, "non_people" (the share that keep their subject,
    of those that show it unsteered), "strengths" and "monotone" (see ``never_falls``), and "replaced": effect, least
    and subjects where what the prompt itself says of the attribute is taken out first; "cosine" of woman and man;
    "seconds" of the discovery of each group, "seconds_calibrating" and "seconds_levelling" of each concept.
    """
    prompts = [f"a photo of {with_article(occupation)}" for occupation in OCCUPATIONS]
    others = [f"a photo of {with_article(name)}" for name in NON_PEOPLE]
    people = Trial(pipeline, judge, prompts, images_per_prompt, seed=seed + 500)
    animals = Trial(pipeline, judge, others, images_per_prompt, seed=seed + 500)
    few = Trial(pipeline, judge, prompts, IMAGES_BY_STRENGTH, seed=seed + 501)
    found: dict[str, Any] = {
        "concepts": {},
        "seconds": {},
        "seconds_calibrating": {},
        "seconds_levelling": {},
    }
    calibrated: dict[str, dict[Direction, Aim]] = {}
    for attribute, group in GROUPS.items():
        started = time.perf_counter()
        raw = discover_attribute(pipeline, group, seed=seed, progress=progress)
        found["seconds"][group.name] = round(time.perf_counter() - started, 2)
        if len(raw) == 2:
            found["cosine"] = round(raw[0].cosine(raw[1]), 4)
        calibrated[attribute] = {}
        for direction, label in zip(raw, CATEGORIES[attribute], strict=True):
            aim = Aim(attribute, label)
            bars = labelled(progress, f"{direction.name}: ")
            started = time.perf_counter()
            try:
                direction = calibrate(pipeline, direction, judge, aim=aim, progress=bars)
            except NoEffectError as error:
                found["concepts"][direction.name] = {"no_effect": str(error)}
                continue
            found["seconds_calibrating"][direction.name] = round(time.perf_counter() - started, 2)
            calibrated[attribute][direction] = aim
    for attribute, by in LEVELLED.items():
        if calibrated[by]:
            calibrated[attribute] = dict(
                _levelled(pipeline, each, aim, calibrated[by], judge, found, progress)
                for each, aim in calibrated[attribute].items()
            )
    if len(calibrated["gender"]) == 2:
        one, other = calibrated["gender"]
        found["cosine"] = round(one.cosine(other), 4)
    for group in calibrated.values():
        for direction, aim in group.items():
            storage.save(direction, folder / f"default-{direction.name}.safetensors")
            bars = labelled(progress, f"{direction.name}: ")
            found["concepts"][direction.name] = {
                **_tried(direction, aim, people, animals, few, bars),
                "replaced": _replaced(direction, group, people),
            }
    names = [concept.name for group in GROUPS.values() for concept in group.concepts]
    return {**found, "concepts": {name: found["concepts"][name] for name in names}}


def _levelled(
    pipeline: Any,
    direction: Direction,
    aim: Aim,
    others: Mapping[Direction, Aim],
    judge: Judge,
    found: dict[str, Any],
    progress: Progress,
) -> tuple[Direction, Aim]:
    started = time.perf_counter()
    bars = labelled(progress, f"{direction.name}: ")
    direction = level(pipeline, direction, others, judge, progress=bars)
    found["seconds_levelling"][direction.name] = round(time.perf_counter() - started, 2)
    return direction, aim


def _tried(
    direction: Direction, aim: Aim, people: Trial, animals: Trial, few: Trial, progress: Progress
) -> dict[str, Any]:
    with progress(len(STRENGTHS) + 2, "Trying") as bar:
        after = people.verdicts(direction, 1.0)
        bar.advance(1)
        beasts = animals.verdicts(direction, 1.0)
        bar.advance(1)
        steps = []
        for strength in STRENGTHS:
            steps.append(few.step(direction, aim, strength))
            bar.advance(1)
    kept = [
        new[SUBJECT].label == old[SUBJECT].label
        for old, new in zip(animals.plain, beasts, strict=True)
        if old[SUBJECT].label in NON_PEOPLE
    ]
    leaked = leakage(people.plain, after, aim.attribute)
    return {
        **_effect(after, aim),
        "subject_unsteered": _subjects(people.plain),
        "leakage": {
            label: change.as_dict()
            for attribute in CATEGORIES
            if attribute != aim.attribute
            for label, change in leaked[attribute].items()
            if label in CATEGORIES[attribute]
        },
        "non_people": proportion(sum(kept), len(kept)).as_dict(),
        "strengths": [{"strength": step.strength, "effect": step.effect.as_dict()} for step in steps],
        "monotone": never_falls([step.effect for step in steps]),
    }


def _replaced(direction: Direction, group: Mapping[Direction, Aim], people: Trial) -> dict[str, Any]:
    """The same pictures with the attribute's other directions known too; see `directrix.apply.replaced`."""
    name = group[direction].attribute
    each = len(people.plain)
    replaced = Replaced(
        {name: {one.name: {one: 1.0} for one in group}}, [{name: direction.name}] * each, insist=False
    )
    return _effect(people.verdicts_under(replaced), group[direction])


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
