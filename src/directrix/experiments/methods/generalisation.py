"""The generalisation test: a direction on what its discovery has not seen.

All occupations at strength 1, subjects that are no people, and nine strengths; beside it, the same with
project-and-set, with feedback, and with nothing but the words of the prompt.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from directrix.experiments.emoji_world.caption import with_article
from directrix.experiments.methods.tasks import by_occupation, photos, right_subjects, share
from directrix.interventions.feedback_control import FeedbackSteering
from directrix.interventions.project_and_set import ProjectAndSet
from directrix.measurement.calibration.dose_response import SUBJECT, DoseResponse, Verdicts
from directrix.measurement.judges.emoji_vocabulary import NON_PEOPLE, OCCUPATIONS
from directrix.measurement.metrics import proportion
from directrix.measurement.reports.leakage import CATEGORIES, leakage, never_falls

if TYPE_CHECKING:
    from directrix.concept import AttributeSet
    from directrix.directions.direction import Direction
    from directrix.directions.target_label import TargetLabel
    from directrix.interventions.probe import Probe
    from directrix.measurement.judges import Judge
    from directrix.progress import Progress

STRENGTHS = (-1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0)
# Images of each occupation at each of the strengths.
IMAGES_BY_STRENGTH = 2

Group = Mapping["Direction", "TargetLabel"]  # the directions of one attribute


class GeneralisationTest:
    """Images of all occupations and of non-people, drawn when first asked for, always with the same seeds."""

    def __init__(self, pipeline: Any, judge: Judge, images_per_prompt: int, seed: int) -> None:
        self._of = cache(partial(DoseResponse, pipeline, judge))
        self._settings: Any = {"images_per_prompt": images_per_prompt, "seed": seed + 500}
        self._people = partial(self._of, photos(), **self._settings)
        self._non_people = partial(self._of, photos(NON_PEOPLE), **self._settings)
        self._few = partial(self._of, photos(), images_per_prompt=IMAGES_BY_STRENGTH, seed=seed + 501)

    def added(self, direction: Direction, target_label: TargetLabel, progress: Progress) -> dict[str, Any]:
        """What the direction does where it is added, at strength 1 and at nine others."""
        with progress(len(STRENGTHS) + 2, "Testing") as bar:
            after = self._people().verdicts(direction, 1.0)
            bar.advance(1)
            steered = self._non_people().verdicts(direction, 1.0)
            bar.advance(1)
            steps = []
            for strength in STRENGTHS:
                steps.append(self._few().step(direction, target_label, strength))
                bar.advance(1)
        retained = [
            new[SUBJECT].label == old[SUBJECT].label
            for old, new in zip(self._non_people().plain, steered, strict=True)
            if old[SUBJECT].label in NON_PEOPLE
        ]
        return {
            **self._figures(after, target_label),
            "subject_unsteered": share(right_subjects(self._people().plain)),
            "non_people": proportion(sum(retained), len(retained)).as_dict(),
            "strengths": [{"strength": step.strength, "effect": step.effect.as_dict()} for step in steps],
            "monotone": never_falls([step.effect for step in steps]),
        }

    def project_and_set(self, direction: Direction, group: Group, probe: Probe | None = None) -> dict[str, Any]:
        """The same images with all directions of the attribute known; with a probe, under feedback."""
        name = group[direction].attribute
        attributes = {name: {one.name: {one: 1.0} for one in group}}
        assigned = [{name: direction.name}] * len(self._people().plain)
        if probe is None:
            intervention: Any = ProjectAndSet(attributes, assigned, insist=False)
        else:
            intervention = FeedbackSteering(attributes, assigned, probes={name: probe})
        return self._figures(self._people().verdicts_under(intervention), group[direction])

    def prompted(self, group: AttributeSet, name: str, target_label: TargetLabel) -> dict[str, Any]:
        """What the model makes of the words: nothing is steered, and the prompt says "a female judge"."""
        subjects = group.among([with_article(each) for each in OCCUPATIONS])
        concept = next(each for each in subjects.concepts if each.name == name)
        prompts = tuple(f"a photo of {pair.target}" for pair in concept.pairs[-len(OCCUPATIONS) :])
        return self._figures(self._of(prompts, **self._settings).plain, target_label)

    def _figures(self, after: Verdicts, target_label: TargetLabel) -> dict[str, Any]:
        """Over all occupations, where the effect is least, and how the labels of the other attribute change."""
        seen = [target_label.shown(verdict) for verdict in after]
        shown = by_occupation(seen)
        least = min(shown, key=lambda name: sum(shown[name]))
        leaked = leakage(self._people().plain, after, target_label.attribute)
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
