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

from directrix.concept import GENDER, SKIN_TONE, AttributeSet
from directrix.directions.direction import Direction
from directrix.directions.target_label import TargetLabel
from directrix.discovery.attribute import discover_attribute
from directrix.errors import NoEffectError
from directrix.experiments.cache import cached
from directrix.experiments.emoji_world.caption import with_article
from directrix.experiments.methods.generalisation import TestSets, held, replaced, told, tried
from directrix.interventions.probe import SUFFIX, Probe
from directrix.measurement.calibration.calibrate import calibrate
from directrix.measurement.calibration.fit_probe import fit_probe
from directrix.measurement.calibration.leakage_correction import compensate_leakage
from directrix.measurement.judges.emoji_vocabulary import OCCUPATIONS
from directrix.measurement.reports.leakage import CATEGORIES
from directrix.progress import Progress, labelled, silent

if TYPE_CHECKING:
    from directrix.directions.direction import Direction
    from directrix.measurement.judges import Judge

GROUPS: Mapping[str, AttributeSet] = {"gender": GENDER, "tone": SKIN_TONE}
# What else shifts is put back by the directions of this attribute.
COMPENSATED = {"gender": "tone", "tone": "gender"}
# Levelled also for being put in the place of what prompts say, where tones shift the genders most.
IN_PLACE = ("tone",)
# Categories that drift although what prompts say of them is taken out.
PROBED = ("tone",)
# Pictures that a gauge is fitted to, of each occupation and category: with fewer it holds fewer.
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
    test_sets = TestSets(pipeline, judge, images_per_prompt, seed)
    found: dict[str, Any] = {
        "concepts": {},
        "seconds": {},
        "seconds_calibrating": {},
        "seconds_levelling": {},
        "seconds_gauging": {},
    }
    calibrated: dict[str, dict[Direction, TargetLabel]] = {}
    for attribute, group in GROUPS.items():
        note = cached(
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
            direction = Direction.load(_file(folder, "calibrated", concept.name))
            calibrated[attribute][direction] = TargetLabel(attribute, label)
    for attribute, by in COMPENSATED.items():
        if not calibrated[by]:
            continue
        compensated: dict[Direction, TargetLabel] = {}
        for direction, target_label in calibrated[attribute].items():
            note = cached(
                folder / f"levelled-{direction.name}.json",
                partial(
                    _compensated,
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
            compensated[Direction.load(_file(folder, "levelled", direction.name))] = target_label
        calibrated[attribute] = compensated
    if len(calibrated["gender"]) == 2:
        one, other = calibrated["gender"]
        found["cosine"] = round(one.cosine(other), 4)
    for group in calibrated.values():
        for direction, target_label in group.items():
            direction.save(_file(folder, "default", direction.name))
            bars = labelled(progress, f"{direction.name}: ")
            found["concepts"][direction.name] = cached(
                folder / f"tried-{direction.name}.json", partial(tried, direction, target_label, test_sets, bars)
            )
            found["concepts"][direction.name]["replaced"] = cached(
                folder / f"replaced-{direction.name}.json", partial(replaced, direction, group, test_sets)
            )
            found["concepts"][direction.name]["told"] = cached(
                folder / f"told-{direction.name}.json",
                partial(told, GROUPS[target_label.attribute], direction.name, target_label, test_sets),
            )
    for attribute in PROBED:
        group = calibrated[attribute]
        if len(group) < len(CATEGORIES[attribute]):
            continue
        file = folder / f"gauge-{attribute}{SUFFIX}"
        note = cached(
            folder / f"gauged-{attribute}.json", partial(_with_probe, pipeline, judge, attribute, group, file, progress)
        )
        found["seconds_gauging"][attribute] = note["seconds"]
        probe = Probe.load(file)
        for direction in group:
            found["concepts"][direction.name]["held"] = cached(
                folder / f"held-{direction.name}.json", partial(held, direction, group, probe, test_sets)
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
            direction = calibrate(pipeline, direction, judge, target_label=TargetLabel(attribute, label), progress=bars)
        except NoEffectError as error:
            found["concepts"][direction.name] = {"no_effect": str(error)}
            continue
        found["concepts"][direction.name] = {"seconds": round(time.perf_counter() - started, 2)}
        direction.save(_file(folder, "calibrated", direction.name))
    return found


def _compensated(
    pipeline: Any,
    direction: Direction,
    others: Mapping[Direction, TargetLabel],
    among: Sequence[Direction],
    judge: Judge,
    folder: Path,
    progress: Progress,
) -> dict[str, Any]:
    """The seconds that it takes; a file holds the direction."""
    started = time.perf_counter()
    bars = labelled(progress, f"{direction.name}: ")
    direction = compensate_leakage(pipeline, direction, others, judge, among=among, progress=bars)
    direction.save(_file(folder, "levelled", direction.name))
    return {"seconds": round(time.perf_counter() - started, 2)}


def _with_probe(
    pipeline: Any, judge: Judge, attribute: str, group: Mapping[Direction, TargetLabel], file: Path, progress: Progress
) -> dict[str, Any]:
    """The seconds that a gauge takes; the file holds it. The trials' prompts are longer, and their seeds others."""
    started = time.perf_counter()
    prompts = [with_article(name) for name in OCCUPATIONS]
    directions = {
        each.with_(strengths=replace(each.strengths, default=1.0)): target_label for each, target_label in group.items()
    }
    probe = fit_probe(
        pipeline, attribute, directions, judge, prompts, images_per_prompt=PROBE_IMAGES, rounds=1, progress=progress
    )
    probe.save(file)
    return {"seconds": round(time.perf_counter() - started, 2)}
