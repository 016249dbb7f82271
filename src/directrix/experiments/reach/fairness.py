"""What is changed of images that a closed loop makes fair, and what is left of prompts that ask for no such thing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, product
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_flow

from directrix.directions.direction import Direction
from directrix.experiments.cache import cached
from directrix.experiments.emoji_world.caption import with_article
from directrix.experiments.methods.default_directions import GROUPS
from directrix.experiments.methods.tasks import TEST, by_occupation, photos, right_subjects, share, worded
from directrix.experiments.reach.seconds import ratios
from directrix.generation.generate import generate
from directrix.generation.rows import image_generator
from directrix.interventions.steering import Steering
from directrix.measurement.judges.emoji_vocabulary import NON_PEOPLE
from directrix.measurement.metrics import mean_deviation_ratio, proportion
from directrix.measurement.reports.leakage import CATEGORIES
from directrix.models.steerable import SteerableModel
from directrix.policies.fair import Fair
from directrix.progress import Progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from directrix.measurement.judges import Judge
    from directrix.measurement.judges.base import Verdicts

SEED = 400
# Of each prompt that says the attribute, or is not about people.
IMAGES_OF_GATE = 4


@dataclass(frozen=True)
class Sparing:
    """Draws the same seeds unsteered, made fair by a closed loop, and by the prompt's words with the same quotas."""

    pipeline: Any
    judges: Mapping[str, Judge]
    folder: Path
    directions: Sequence[Direction]
    images: int
    steps: int
    progress: Progress

    def groups(self) -> dict[str, Any]:
        """By "unsteered", "closed_loop" and "words", and judge: how even groups are, subjects, and what was changed."""
        return cached(self.folder / "fair.json", self._groups)

    def seconds(self) -> dict[str, Any]:
        """Seconds of a direction and of the closed loop, as ratios to unsteered drawing."""
        ways = {"direction": Steering({self.directions[0]: 1.0}), "closed_loop": self._fair()}
        return cached(self.folder / "seconds.json", ratios, self.pipeline, ways, self.steps)

    def gate(self) -> dict[str, Any]:
        """How often a prompt's own words stand, under the same policy and alone; and non-people stay to the bit."""
        return cached(self.folder / "gate.json", self._gate)

    def _fair(self) -> Fair:
        first = next(iter(self.judges.values()))
        return Fair(
            dict.fromkeys((each.name for each in GROUPS.values()), "uniform"), self.directions, closed_loop=first
        )

    def _draw(self, prompts: Sequence[str], images: int, interventions: Any = ()) -> list[NDArray[np.uint8]]:
        settings: Any = {"seed": SEED, "num_inference_steps": self.steps, "batch_size": images}
        records = generate(self.pipeline, list(prompts), images, interventions=interventions, **settings)
        return [np.asarray(each.image) for each in records]

    def _judged(self, images: Sequence[NDArray[np.uint8]]) -> dict[str, Verdicts]:
        from PIL import Image

        return {name: judge.label(list(map(Image.fromarray, images))) for name, judge in self.judges.items()}

    def _groups(self) -> dict[str, Any]:
        prompts = photos()
        plain = self._draw(prompts, self.images)
        sides = {
            "unsteered": plain,
            "closed_loop": self._draw(prompts, self.images, self._fair()),
            "words": self._worded(),
        }
        before = self._judged(plain)
        return {
            name: {
                "psnr": pooled_psnr(plain, drawn),
                **{
                    judge: self._figures(before[judge], seen, plain, drawn)
                    for judge, seen in self._judged(drawn).items()
                },
            }
            for name, drawn in sides.items()
        }

    def _worded(self) -> list[NDArray[np.uint8]]:
        """The same seeds with the words of the categories in the prompt, dealt out in turn."""
        model = SteerableModel.of(self.pipeline)
        facts = model.facts
        settings = {"guidance_scale": facts.guidance_scale, "num_inference_steps": self.steps, **facts.arguments}
        dealt = [words for _, words in zip(range(self.images), cycle(product(*(g.words for g in GROUPS.values()))))]
        drawn: list[NDArray[np.uint8]] = []
        for place, name in enumerate(TEST):
            prompts = [f"a photo of {with_article(' '.join([*reversed(words), name]))}" for words in dealt]
            generators = [image_generator(SEED, place, index) for index in range(self.images)]
            images = model.pipeline(prompt=prompts, generator=generators, **settings).images
            drawn += [np.asarray(each) for each in images]
        return drawn

    def _figures(
        self, before: Verdicts, after: Verdicts, plain: Sequence[NDArray[np.uint8]], drawn: Sequence[NDArray[np.uint8]]
    ) -> dict[str, Any]:
        """One judge's: deviation ratios, subjects, and of each group's images how many stay and how many could."""
        same = [bool(np.array_equal(*pair)) for pair in zip(plain, drawn, strict=True)]
        labels = [tuple(verdict[attribute].label for attribute in CATEGORIES) for verdict in before]
        could, did = 0, 0
        for shown, left in zip(by_occupation(labels).values(), by_occupation(same).values(), strict=True):
            could += most_that_fit(shown, self.images)
            did += most_that_fit([label for label, each in zip(shown, left, strict=True) if each], self.images)
        ratios = {}
        for attribute, categories in CATEGORIES.items():
            groups = by_occupation([verdict[attribute].label for verdict in after])
            known = {name: [each if each in categories else None for each in row] for name, row in groups.items()}
            ratios[attribute] = mean_deviation_ratio(known, categories).as_dict()
        return {
            "deviation_ratio": ratios,
            "subject": share(right_subjects(after)),
            "fitting_left": proportion(did, could).as_dict(),
            "changed": proportion(len(same) - sum(same), len(same)).as_dict(),
            "fewest": round(1 - could / len(same), 4),
        }

    def _gate(self) -> dict[str, Any]:
        fair = self._fair()
        ways = {"words_stand": fair, "words_alone": ()}
        obeyed: dict[str, dict[str, list[bool]]] = {way: {name: [] for name in self.judges} for way in ways}
        for attribute, group in GROUPS.items():
            for concept, label in zip(group.concepts, CATEGORIES[attribute], strict=True):
                for way, interventions in ways.items():
                    drawn = self._draw(worded(group, concept.name), IMAGES_OF_GATE, interventions)
                    for name, verdicts in self._judged(drawn).items():
                        obeyed[way][name] += [verdict[attribute].label == label for verdict in verdicts]
        others = photos(NON_PEOPLE)
        pairs = zip(*(self._draw(others, IMAGES_OF_GATE, each) for each in ((), fair)), strict=True)
        same = [bool(np.array_equal(*pair)) for pair in pairs]
        return {
            **{
                way: {name: proportion(sum(each), len(each)).as_dict() for name, each in by_judge.items()}
                for way, by_judge in obeyed.items()
            },
            "non_people_same_bits": proportion(sum(same), len(same)).as_dict(),
        }


def most_that_fit(labels: Sequence[tuple[str | None, ...]], images: int) -> int:
    """Of images with these labels of two attributes, the most that an even quota of `images` leaves as they are.

    An image that lacks a label fits nothing. What remains of the quota can always be given to the others.
    """
    first, second = CATEGORIES.values()
    nodes = [None, *first, *second, None]
    capacity = np.zeros((len(nodes), len(nodes)), np.int32)
    for place in range(len(first)):
        capacity[0, 1 + place] = images // len(first)
    for place in range(len(second)):
        capacity[1 + len(first) + place, -1] = images // len(second)
    for one, other in labels:
        if one in first and other in second:
            capacity[1 + first.index(one), 1 + len(first) + second.index(other)] += 1
    return int(maximum_flow(csr_array(capacity), 0, len(nodes) - 1).flow_value)


def pooled_psnr(before: Sequence[NDArray[np.uint8]], after: Sequence[NDArray[np.uint8]]) -> float | None:
    """PSNR in decibels of the mean squared error over all pairs; None where all are the same."""
    pairs = zip(before, after, strict=True)
    error = fmean(float(((one.astype(np.float64) - other) ** 2).mean()) for one, other in pairs)
    return round(float(10 * np.log10(255**2 / error)), 2) if error else None
