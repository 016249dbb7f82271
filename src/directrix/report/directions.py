"""What can be trusted in the default method's directions: woman and man, and the three skin tones.

Each is found and calibrated as a user's would be, the genders levelled by the tones. Then each is tried on what none of
this has seen: all occupations at strength 1, subjects that are no people, and nine strengths.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from directrix import storage
from directrix.calibration import calibrate
from directrix.concept import GENDER, SKIN_TONE, AttributeSet
from directrix.discover.attribute import discover_attribute
from directrix.errors import NoEffectError
from directrix.gauge import SUFFIX, Gauge
from directrix.gauging import fit_gauge
from directrix.levelling import level
from directrix.progress import Progress, labelled, silent
from directrix.report.comparison import CATEGORIES
from directrix.report.kept import kept
from directrix.report.trying import Trials, held, replaced, told, tried
from directrix.trial import Aim
from directrix.world.caption import with_article
from directrix.world.vocabulary import OCCUPATIONS

if TYPE_CHECKING:
    from directrix.direction import Direction
    from directrix.judges import Judge

GROUPS: Mapping[str, AttributeSet] = {"gender": GENDER, "tone": SKIN_TONE}
# What else shifts is put back by the directions of this attribute.
LEVELLED = {"gender": "tone", "tone": "gender"}
# Levelled also for being put in the place of what prompts say, where tones shift the genders most.
IN_PLACE = ("tone",)
# Categories that drift although what prompts say of them is taken out.
GAUGED = ("tone",)
# Pictures that a gauge is fitted to, of each occupation and category: with fewer it holds fewer.
GAUGED_IMAGES = 60


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
    subjects and leakage where what the prompt itself says of the attribute is taken out first, and for tones "held",
    the same where a gauge brings back what drifts, fitted on other pictures of the same occupations; "told", the same
    where nothing is steered and the prompt says it ("a female judge"); "cosine" of woman and man; "seconds" of the
    discovery of each group, "seconds_calibrating" and "seconds_levelling" of each concept, "seconds_gauging" of each
    attribute that has a gauge.
    """
    trials = Trials(pipeline, judge, images_per_prompt, seed)
    found: dict[str, Any] = {
        "concepts": {},
        "seconds": {},
        "seconds_calibrating": {},
        "seconds_levelling": {},
        "seconds_gauging": {},
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
                partial(
                    _levelled,
                    pipeline,
                    direction,
                    calibrated[by],
                    list(calibrated[attribute]) if attribute in IN_PLACE else [],
                    judge,
                    folder,
                    progress,
                ),
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
                folder / f"tried-{direction.name}.json", partial(tried, direction, aim, trials, bars)
            )
            found["concepts"][direction.name]["replaced"] = kept(
                folder / f"replaced-{direction.name}.json", partial(replaced, direction, group, trials)
            )
            found["concepts"][direction.name]["told"] = kept(
                folder / f"told-{direction.name}.json",
                partial(told, GROUPS[aim.attribute], direction.name, aim, trials),
            )
    for attribute in GAUGED:
        group = calibrated[attribute]
        if len(group) < len(CATEGORIES[attribute]):
            continue
        file = folder / f"gauge-{attribute}{SUFFIX}"
        note = kept(
            folder / f"gauged-{attribute}.json",
            partial(_gauged, pipeline, judge, attribute, group, file, progress),
        )
        found["seconds_gauging"][attribute] = note["seconds"]
        gauge = Gauge.load(file)
        for direction in group:
            found["concepts"][direction.name]["held"] = kept(
                folder / f"held-{direction.name}.json", partial(held, direction, group, gauge, trials)
            )
    names = [concept.name for group in GROUPS.values() for concept in group.concepts]
    return {**found, "concepts": {name: found["concepts"][name] for name in names}}


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
    among: Sequence[Direction],
    judge: Judge,
    folder: Path,
    progress: Progress,
) -> dict[str, Any]:
    """The seconds that it takes; a file holds the direction."""
    started = time.perf_counter()
    bars = labelled(progress, f"{direction.name}: ")
    direction = level(pipeline, direction, others, judge, among=among, progress=bars)
    storage.save(direction, _file(folder, "levelled", direction.name))
    return {"seconds": round(time.perf_counter() - started, 2)}


def _gauged(
    pipeline: Any,
    judge: Judge,
    attribute: str,
    group: Mapping[Direction, Aim],
    file: Path,
    progress: Progress,
) -> dict[str, Any]:
    """The seconds that a gauge takes; the file holds it. The trials' prompts are longer, and their seeds others."""
    started = time.perf_counter()
    prompts = [with_article(name) for name in OCCUPATIONS]
    directions = {
        each.with_(strengths=replace(each.strengths, default=1.0)): aim for each, aim in group.items()
    }
    gauge = fit_gauge(
        pipeline,
        attribute,
        directions,
        judge,
        prompts,
        images_per_prompt=GAUGED_IMAGES,
        rounds=1,
        progress=progress,
    )
    gauge.save(file)
    return {"seconds": round(time.perf_counter() - started, 2)}
