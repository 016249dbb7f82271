"""A direction tried on what its discovery has not seen: all occupations, what is no person, and nine strengths."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from directrix.directions.target_label import TargetLabel
from directrix.experiments.emoji_world.caption import with_article
from directrix.interventions.feedback_control import FeedbackSteering
from directrix.interventions.project_and_set import ProjectAndSet
from directrix.measurement.calibration.dose_response import SUBJECT, DoseResponse, Verdicts
from directrix.measurement.judges.emoji_vocabulary import NON_PEOPLE, OCCUPATIONS
from directrix.measurement.metrics import bootstrap, pooled_mean, proportion
from directrix.measurement.reports.leakage import CATEGORIES, leakage, never_falls

if TYPE_CHECKING:
    from directrix.concept import AttributeSet, Concept
    from directrix.directions.direction import Direction
    from directrix.interventions.probe import Probe
    from directrix.measurement.judges import Judge
    from directrix.progress import Progress

STRENGTHS = (-1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0)
# Pictures of each occupation at each of the strengths.
IMAGES_BY_STRENGTH = 2


class TestSets:
    """What directions are tried on, drawn when first asked for."""

    def __init__(self, pipeline: Any, judge: Judge, images_per_prompt: int, seed: int) -> None:
        self._test_set = partial(DoseResponse, pipeline, judge)
        self._images = images_per_prompt
        self._seed = seed + 500

    @cached_property
    def people(self) -> DoseResponse:
        """All occupations."""
        return self._test_set(_photos(OCCUPATIONS), self._images, seed=self._seed)

    def told(self, concept: Concept) -> DoseResponse:
        """The same pictures with the concept said in the prompt: "a female judge"."""
        prompts = [f"a photo of {pair.target}" for pair in concept.pairs[-len(OCCUPATIONS) :]]
        return self._test_set(prompts, self._images, seed=self._seed)

    @cached_property
    def animals(self) -> DoseResponse:
        """Subjects that are no people."""
        return self._test_set(_photos(NON_PEOPLE), self._images, seed=self._seed)

    @cached_property
    def few(self) -> DoseResponse:
        """A few of each occupation, for many strengths."""
        return self._test_set(_photos(OCCUPATIONS), IMAGES_BY_STRENGTH, seed=self._seed + 1)


def _photos(names: Iterable[str]) -> list[str]:
    return [f"a photo of {with_article(name)}" for name in names]


def tried(direction: Direction, target_label: TargetLabel, test_sets: TestSets, progress: Progress) -> dict[str, Any]:
    """What it does where it is added, at strength 1 and at nine others."""
    people, animals, few = test_sets.people, test_sets.animals, test_sets.few
    with progress(len(STRENGTHS) + 2, "Trying") as bar:
        after = people.verdicts(direction, 1.0)
        bar.advance(1)
        beasts = animals.verdicts(direction, 1.0)
        bar.advance(1)
        steps = []
        for strength in STRENGTHS:
            steps.append(few.step(direction, target_label, strength))
            bar.advance(1)
    retained = [
        new[SUBJECT].label == old[SUBJECT].label
        for old, new in zip(animals.plain, beasts, strict=True)
        if old[SUBJECT].label in NON_PEOPLE
    ]
    return {
        **_effect(after, target_label),
        "subject_unsteered": _subjects(people.plain),
        "leakage": _leaked(people, after, target_label.attribute),
        "non_people": proportion(sum(retained), len(retained)).as_dict(),
        "strengths": [{"strength": step.strength, "effect": step.effect.as_dict()} for step in steps],
        "monotone": never_falls([step.effect for step in steps]),
    }


def replaced(direction: Direction, group: Mapping[Direction, TargetLabel], test_sets: TestSets) -> dict[str, Any]:
    """The same pictures with all directions of the attribute known (``group``); see `interventions.project_and_set`."""
    people, name = test_sets.people, group[direction].attribute
    attributes, assigned = _assigned(direction, group, people)
    after = people.verdicts_under(ProjectAndSet(attributes, assigned, insist=False))
    return {**_effect(after, group[direction]), "leakage": _leaked(people, after, name)}


def told(group: AttributeSet, name: str, target_label: TargetLabel, test_sets: TestSets) -> dict[str, Any]:
    """What comes out where nothing is steered and the prompt says it in words: what the model itself makes of them."""
    subjects = group.among([with_article(each) for each in OCCUPATIONS])
    concept = next(each for each in subjects.concepts if each.name == name)
    after = test_sets.told(concept).plain
    return {**_effect(after, target_label), "leakage": _leaked(test_sets.people, after, target_label.attribute)}


def held(
    direction: Direction, group: Mapping[Direction, TargetLabel], probe: Probe, test_sets: TestSets
) -> dict[str, Any]:
    """As ``replaced``, with what drifts brought back."""
    people, name = test_sets.people, group[direction].attribute
    attributes, assigned = _assigned(direction, group, people)
    after = people.verdicts_under(FeedbackSteering(attributes, assigned, probes={name: probe}))
    return {**_effect(after, group[direction]), "leakage": _leaked(people, after, name)}


def _assigned(direction: Direction, group: Mapping[Direction, TargetLabel], people: DoseResponse) -> tuple[Any, Any]:
    """The attribute with all its categories at strength 1, and every picture given one of them."""
    name = group[direction].attribute
    return ({name: {one.name: {one: 1.0} for one in group}}, [{name: direction.name}] * len(people.plain))


def _leaked(people: DoseResponse, after: Verdicts, attribute: str) -> dict[str, Any]:
    """The changes of the labels of the other attribute."""
    leaked = leakage(people.plain, after, attribute)
    return {
        label: change.as_dict()
        for other in CATEGORIES
        if other != attribute
        for label, change in leaked[other].items()
        if label in CATEGORIES[other]
    }


def _effect(after: Verdicts, target_label: TargetLabel) -> dict[str, Any]:
    """Over all occupations, and where it is least."""
    shown = by_name(OCCUPATIONS, [target_label.shown(verdict) for verdict in after])
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
