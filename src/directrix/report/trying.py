"""A direction tried on what its discovery has not seen: all occupations, what is no person, and nine strengths."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from directrix.apply.held import Held
from directrix.apply.replaced import Replaced
from directrix.metrics import bootstrap, pooled_mean, proportion
from directrix.report.comparison import CATEGORIES
from directrix.report.leakage import leakage, never_falls
from directrix.trial import SUBJECT, Aim, Trial, Verdicts
from directrix.world.caption import with_article
from directrix.world.vocabulary import NON_PEOPLE, OCCUPATIONS

if TYPE_CHECKING:
    from directrix.concept import AttributeSet, Concept
    from directrix.direction import Direction
    from directrix.gauge import Gauge
    from directrix.judges import Judge
    from directrix.progress import Progress

STRENGTHS = (-1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0)
# Pictures of each occupation at each of the strengths.
IMAGES_BY_STRENGTH = 2


class Trials:
    """What directions are tried on, drawn when first asked for."""

    def __init__(self, pipeline: Any, judge: Judge, images_per_prompt: int, seed: int) -> None:
        self._trial = partial(Trial, pipeline, judge)
        self._images = images_per_prompt
        self._seed = seed + 500

    @cached_property
    def people(self) -> Trial:
        """All occupations."""
        return self._trial(_photos(OCCUPATIONS), self._images, seed=self._seed)

    def told(self, concept: Concept) -> Trial:
        """The same pictures with the concept said in the prompt: "a female judge"."""
        prompts = [f"a photo of {pair.target}" for pair in concept.pairs[-len(OCCUPATIONS) :]]
        return self._trial(prompts, self._images, seed=self._seed)

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


def tried(direction: Direction, aim: Aim, trials: Trials, progress: Progress) -> dict[str, Any]:
    """What it does where it is added, at strength 1 and at nine others."""
    people, animals, few = trials.people, trials.animals, trials.few
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
    return {
        **_effect(after, aim),
        "subject_unsteered": _subjects(people.plain),
        "leakage": _leaked(people, after, aim.attribute),
        "non_people": proportion(sum(kept), len(kept)).as_dict(),
        "strengths": [{"strength": step.strength, "effect": step.effect.as_dict()} for step in steps],
        "monotone": never_falls([step.effect for step in steps]),
    }


def replaced(direction: Direction, group: Mapping[Direction, Aim], trials: Trials) -> dict[str, Any]:
    """The same pictures with all directions of the attribute known (``group``); see `directrix.apply.replaced`."""
    people, name = trials.people, group[direction].attribute
    attributes, assigned = _assigned(direction, group, people)
    after = people.verdicts_under(Replaced(attributes, assigned, insist=False))
    return {**_effect(after, group[direction]), "leakage": _leaked(people, after, name)}


def told(group: AttributeSet, name: str, aim: Aim, trials: Trials) -> dict[str, Any]:
    """What comes out where nothing is steered and the prompt says it in words: what the model itself makes of them."""
    subjects = group.among([with_article(each) for each in OCCUPATIONS])
    concept = next(each for each in subjects.concepts if each.name == name)
    after = trials.told(concept).plain
    return {**_effect(after, aim), "leakage": _leaked(trials.people, after, aim.attribute)}


def held(
    direction: Direction, group: Mapping[Direction, Aim], gauge: Gauge, trials: Trials
) -> dict[str, Any]:
    """As ``replaced``, with what drifts brought back."""
    people, name = trials.people, group[direction].attribute
    attributes, assigned = _assigned(direction, group, people)
    after = people.verdicts_under(Held(attributes, assigned, gauges={name: gauge}))
    return {**_effect(after, group[direction]), "leakage": _leaked(people, after, name)}


def _assigned(direction: Direction, group: Mapping[Direction, Aim], people: Trial) -> tuple[Any, Any]:
    """The attribute with all its categories at strength 1, and every picture given one of them."""
    name = group[direction].attribute
    return (
        {name: {one.name: {one: 1.0} for one in group}},
        [{name: direction.name}] * len(people.plain),
    )


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
