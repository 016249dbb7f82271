"""The generalisation test: a direction on the test prompts, which no discovery and no calibration has seen.

All test occupations, at strength 1 and at lesser ones, and subjects that are no people; beside it, the same with
project-and-set, and with nothing but the words of the prompt.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from directrix.experiments.judged import JudgedImages
from directrix.experiments.methods.tasks import TEST, by_occupation, photos, right_subjects, share, worded
from directrix.interventions.project_and_set import ProjectAndSet
from directrix.interventions.steering import Steering
from directrix.measurement.calibration.dose_response import SUBJECT, Verdicts
from directrix.measurement.judges.emoji_vocabulary import NON_PEOPLE
from directrix.measurement.metrics import proportion
from directrix.measurement.reports.leakage import CATEGORIES, leakage, never_falls

if TYPE_CHECKING:
    from directrix.concept import AttributeSet
    from directrix.directions.direction import Direction
    from directrix.directions.target_label import TargetLabel
    from directrix.measurement.judges import Judge
    from directrix.progress import Progress

STRENGTHS = (-1.0, 0.0, 0.5, 1.0)

Group = Mapping["Direction", "TargetLabel"]  # the directions of one attribute


class GeneralisationTest:
    """Images of the test occupations and of non-people, drawn when first asked for, always with the same seeds.

    judges: by name; the first one's figures come first, the others' stand under "judges".
    """

    def __init__(
        self, pipeline: Any, judges: Mapping[str, Judge], images_per_prompt: int, seed: int, num_inference_steps: int
    ) -> None:
        self._draw: Any = partial(
            JudgedImages,
            pipeline,
            judges,
            images_per_prompt=images_per_prompt,
            seed=seed + 500,
            num_inference_steps=num_inference_steps,
        )
        self._people = self._draw(prompts=photos())
        self._non_people = self._draw(prompts=photos(NON_PEOPLE))

    def added(self, direction: Direction, target_label: TargetLabel, progress: Progress) -> dict[str, Any]:
        """What the direction does where it is added, at each of the strengths."""
        with progress(len(STRENGTHS) + 1, "Testing") as bar:
            by_strength = {}
            for strength in STRENGTHS:
                by_strength[strength] = self._people.under(Steering({direction: strength}) if strength else ())
                bar.advance(1)
            non_people = self.non_people(direction)
            bar.advance(1)
        steps = {}
        for strength, after in by_strength.items():
            shown = [target_label.shown(verdict) for verdict in _first(after)]
            steps[strength] = proportion(sum(shown), len(shown))
        return {
            **self._figures(by_strength[1.0], target_label),
            "subject_unsteered": share(right_subjects(_first(self._people.plain))),
            "non_people": non_people,
            "strengths": [{"strength": each, "effect": effect.as_dict()} for each, effect in steps.items()],
            "monotone": never_falls(list(steps.values())),
        }

    def at_one(self, direction: Direction, target_label: TargetLabel) -> dict[str, Any]:
        """What the direction does where it is added at strength 1."""
        return self._figures(self._people.under(Steering({direction: 1.0})), target_label)

    def non_people(self, direction: Direction) -> dict[str, Any] | None:
        """The share that retain their subject at strength 1, of non-people that show it; None where none does."""
        steered = _first(self._non_people.under(Steering({direction: 1.0})))
        retained = [
            new[SUBJECT].label == old[SUBJECT].label
            for old, new in zip(_first(self._non_people.plain), steered, strict=True)
            if old[SUBJECT].label in NON_PEOPLE
        ]
        return proportion(sum(retained), len(retained)).as_dict() if retained else None

    def project_and_set(self, direction: Direction, group: Group) -> dict[str, Any]:
        """The same images with all directions of the attribute known."""
        name = group[direction].attribute
        attributes = {name: {one.name: {one: 1.0} for one in group}}
        assigned = [{name: direction.name}] * len(_first(self._people.plain))
        intervention = ProjectAndSet(attributes, assigned, insist=False)
        return self._figures(self._people.under(intervention), group[direction])

    def prompted(self, group: AttributeSet, name: str, target_label: TargetLabel) -> dict[str, Any]:
        """What the model makes of the words: nothing is steered, and the prompt says "a female pilot"."""
        return self._figures(self._draw(prompts=worded(group, name)).plain, target_label)

    def _figures(self, found: Mapping[str, Verdicts], target_label: TargetLabel) -> dict[str, Any]:
        first, *others = (self._of_one(self._people.plain[judge], found[judge], target_label) for judge in found)
        return {**first, "judges": dict(zip([*found][1:], others, strict=True))}

    def _of_one(self, before: Verdicts, after: Verdicts, target_label: TargetLabel) -> dict[str, Any]:
        """Over all test occupations, where the effect is least, and how the labels of the other attribute change."""
        seen = [target_label.shown(verdict) for verdict in after]
        shown = by_occupation(seen)
        least = min(TEST, key=lambda name: sum(shown[name]))
        leaked = leakage(before, after, target_label.attribute)
        return {
            "effect": share(seen),
            "effect_by_occupation": {name: sum(row) / len(row) for name, row in shown.items()},
            "least": {"occupation": least, **proportion(sum(shown[least]), len(shown[least])).as_dict()},
            "subject_accuracy": share(right_subjects(after)),
            "leakage": {
                label: change.as_dict()
                for other in CATEGORIES
                if other != target_label.attribute
                for label, change in leaked[other].items()
                if label in CATEGORIES[other]
            },
        }


def _first(found: Mapping[str, Verdicts]) -> Verdicts:
    """What the first judge says."""
    return next(iter(found.values()))
