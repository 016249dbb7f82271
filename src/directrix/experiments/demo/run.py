"""The demo: find gender and skin tone inside a frozen model, make six occupations fair, and show it on one
page.
"""

from __future__ import annotations

import io
import json
import random
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from directrix import models
from directrix._version import __version__
from directrix.concept import GENDER, SKIN_TONE, AttributeSet
from directrix.directions.target_label import TargetLabel
from directrix.discovery.attribute import discover_attribute
from directrix.errors import DirectrixError
from directrix.experiments.demo.overview import overview
from directrix.experiments.demo.page import page
from directrix.generation import manifest
from directrix.generation.generate import generate
from directrix.interventions.project_and_set import ProjectAndSet
from directrix.measurement.calibration.calibrate import calibrate
from directrix.measurement.metrics import deviation_ratio
from directrix.measurement.reports.before_after import CATEGORIES, SIDES, Comparison, Picture, summary
from directrix.models.files import write_atomically
from directrix.progress import Progress, labelled, silent

if TYPE_CHECKING:
    from directrix.directions.direction import Direction

PROMPTS = ("a firefighter", "a health worker", "a pilot", "a teacher", "a mechanic", "an office worker")
METHOD = "difference"
BATCH_SIZE = 8
# Each attribute's concepts, and the judge's word for each.
ATTRIBUTES: Mapping[str, AttributeSet] = {"gender": GENDER, "tone": SKIN_TONE}


def demo(
    output: Path | str,
    *,
    pipeline: Any = None,
    judge: Any = None,
    prompts: Sequence[str] = PROMPTS,
    images_per_prompt: int = 20,
    images_per_concept: int | None = None,
    calibrated: bool = True,
    batch_size: int = BATCH_SIZE,
    num_inference_steps: int | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Write index.html, summary.json, overview.png and the directions into `output`; return the summary.

    Args:
        pipeline: the embedded model unless given.
        judge: anything with the emoji judge's `label`; the emoji judge unless given.
        prompts: two or more, each an article and the judge's word for a subject, such as "a pilot".
        images_per_prompt: drawn unsteered, and again with the same seeds, steered in equal numbers.
        images_per_concept: of the discovery; None for the method's own number.
        calibrated: whether strength 1 is set by calibration, on other occupations than these and other seeds.
        batch_size, num_inference_steps: of discovery and drawing; None for the model's own number of steps.

    The summary holds, for "unsteered" and "steered", deviation_ratio.{gender,tone} and subject_accuracy, each
    as {"value", "low", "high", "n"}, and images; and seconds. Raises OutputError before any drawing where
    `output` cannot be written, and the errors of loading, discovery and drawing.
    """
    _check(prompts, images_per_prompt)
    manifest.writable(Path(output))
    watch = _Stopwatch()
    pipeline, judge = _loaded(pipeline, judge)
    watch.lap("loading")

    settings = {"batch_size": batch_size, "seed": seed, "num_inference_steps": num_inference_steps}
    directions = _discover(pipeline, {**settings, "images": images_per_concept}, progress)
    watch.lap("discovery")
    if calibrated:
        directions = {
            category: _calibrated(pipeline, direction, judge, category, progress)
            for category, direction in directions.items()
        }
        watch.lap("calibration")
    for direction in directions.values():
        direction.save(Path(output) / f"{direction.name}.safetensors")

    quota = quotas(len(prompts), images_per_prompt, seed)
    images = {}
    for side in SIDES:
        steering = [_steering(directions, quota)] if side == "steered" else []
        bars = labelled(progress, f"{side}: ")
        records = generate(pipeline, prompts, images_per_prompt, interventions=steering, progress=bars, **settings)
        images[side] = [record.image for record in records]
    watch.lap("drawing")

    recipe = next(iter(directions.values())).recipe
    comparisons = _judged(judge, prompts, images, quota, progress)
    watch.lap("judging")
    result = {
        "version": __version__,
        "model": models.identity(pipeline).name,
        "fingerprint": models.identity(pipeline).fingerprint,
        "seed": seed,
        "images_per_prompt": images_per_prompt,
        "chance": {key: round(_chance(images_per_prompt, len(CATEGORIES[key])), 4) for key in CATEGORIES},
        "directions": [direction.name for direction in directions.values()],
        "discovery": {"method": METHOD, "images": recipe["images"], "calibrated": calibrated},
        "seconds": round(sum(watch.laps.values()), 1),
        "seconds_by_stage": watch.laps,
        **summary(comparisons),
    }
    picture = io.BytesIO()
    overview(comparisons).save(picture, "PNG")
    write_atomically(Path(output) / "overview.png", picture.getvalue())
    write_atomically(Path(output) / "index.html", page(result, comparisons).encode())
    write_atomically(Path(output) / "summary.json", (json.dumps(result, indent=2) + "\n").encode())
    return result


def quotas(prompts: int, images: int, seed: int) -> list[dict[str, str]]:
    """Return one category of each attribute, in the judge's words, for every picture of `prompts` x `images`.

    Within a prompt, the counts of an attribute's categories differ by at most one, and which of them is one
    ahead changes from prompt to prompt. The order follows from `seed`, so that it has nothing to do with the
    pictures' seeds.
    """
    deal = random.Random(f"quotas/{seed}")
    rows: list[dict[str, str]] = []
    for prompt in range(prompts):
        columns = {}
        for attribute, categories in CATEGORIES.items():
            column = [categories[(prompt + image) % len(categories)] for image in range(images)]
            deal.shuffle(column)
            columns[attribute] = column
        rows += [{key: column[image] for key, column in columns.items()} for image in range(images)]
    return rows


def _discover(pipeline: Any, settings: Mapping[str, Any], progress: Progress) -> dict[str, Direction]:
    """The directions by the judge's words; those of one attribute are learned in one run."""
    found: dict[str, Direction] = {}
    for attribute, group in ATTRIBUTES.items():
        bars = labelled(progress, f"{group.name}: ")
        directions = discover_attribute(pipeline, group, METHOD, **settings, progress=bars)
        found |= dict(zip(CATEGORIES[attribute], directions, strict=True))
    return found


def _calibrated(pipeline: Any, direction: Direction, judge: Any, category: str, progress: Progress) -> Direction:
    attribute = next(attribute for attribute, categories in CATEGORIES.items() if category in categories)
    bars = labelled(progress, f"{direction.name}: ")
    return calibrate(pipeline, direction, judge, target_label=TargetLabel(attribute, category), sweep=(), progress=bars)


def _steering(directions: Mapping[str, Direction], quota: Sequence[Mapping[str, str]]) -> ProjectAndSet:
    """Each picture given the categories of its row, at the directions' default strengths."""
    attributes = {
        attribute: {each: {directions[each]: directions[each].strengths.default} for each in categories}
        for attribute, categories in CATEGORIES.items()
    }
    return ProjectAndSet(attributes, quota, insist=False)


def _judged(
    judge: Any,
    prompts: Sequence[str],
    images: Mapping[str, Sequence[Any]],
    quota: Sequence[Mapping[str, str]],
    progress: Progress,
) -> list[Comparison]:
    with progress(len(SIDES) * len(quota), "Judging") as bar:
        verdicts = {}
        for side in SIDES:
            verdicts[side] = judge.label(images[side])
            bar.advance(len(quota))
    number = len(quota) // len(prompts)

    def picture(side: str, place: int) -> Picture:
        labels = {attribute: verdicts[side][place][attribute].label for attribute in ("subject", *CATEGORIES)}
        steered_to = tuple(quota[place].values()) if side == "steered" else ()
        return Picture(images[side][place], place % number, steered_to, labels)

    comparisons = []
    for index, prompt in enumerate(prompts):
        places = range(index * number, (index + 1) * number)
        rows = {side: [picture(side, place) for place in places] for side in SIDES}
        comparisons.append(Comparison(prompt, subject_of(prompt), rows["unsteered"], rows["steered"]))
    return comparisons


def subject_of(prompt: str) -> str:
    """Return the prompt without its article: what the judge calls its subject."""
    article, _, rest = prompt.strip().partition(" ")
    return rest.strip() if article.lower() in ("a", "an", "the") and rest.strip() else prompt.strip()


def _chance(images: int, categories: int, draws: int = 1000) -> float:
    """The mean deviation ratio of that many pictures whose categories are drawn by equal chance."""
    deal = random.Random(0)
    names = [str(category) for category in range(categories)]
    total = 0.0
    for _ in range(draws):
        row = deal.choices(names, k=images)
        total += deviation_ratio({name: row.count(name) for name in names}, names)
    return total / draws


def _loaded(pipeline: Any, judge: Any) -> tuple[Any, Any]:
    if judge is None:
        from directrix.measurement.judges.emoji import EmojiJudge

        judge = EmojiJudge.load()
    return (models.load() if pipeline is None else pipeline), judge


def _check(prompts: Sequence[str], images_per_prompt: int) -> None:
    if len(prompts) < 2 or len(set(prompts)) != len(prompts) or images_per_prompt < 1:
        raise DirectrixError(
            f"The demo was asked for {images_per_prompt} pictures of {list(prompts)!r}.",
            "one picture or more of two or more different prompts.",
            "the defaults: six occupations, 20 pictures each.",
        )


class _Stopwatch:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._since = time.perf_counter()

    def lap(self, stage: str) -> None:
        """Give the time since the last call to `stage`."""
        now = time.perf_counter()
        self.laps[stage] = round(now - self._since, 1)
        self._since = now
