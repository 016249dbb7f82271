"""The demo: find gender and skin tone inside a frozen model, make six occupations fair, and show it on one page."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import directrix
from directrix.checks import whole_number
from directrix.concept import GENDER, SKIN_TONE, AttributeSet
from directrix.discovery.attribute import discover_attribute
from directrix.errors import DirectrixError
from directrix.experiments.cache import store, stored
from directrix.generation import manifest
from directrix.measurement import judges
from directrix.measurement.benchmarks import Benchmark, Row
from directrix.measurement.evaluation import SUMMARY
from directrix.measurement.evaluation.faces import by_judge
from directrix.measurement.reports.direction_card_image import sheet
from directrix.measurement.reports.leakage import CATEGORIES
from directrix.models.files import write_atomically
from directrix.progress import Progress, labelled, silent

if TYPE_CHECKING:
    from directrix.directions.direction import Direction

PROMPTS = ("a firefighter", "a health worker", "a pilot", "a teacher", "a mechanic", "an office worker")
ATTRIBUTES: Mapping[str, AttributeSet] = {"gender": GENDER, "tone": SKIN_TONE}  # by the judge's word
METHOD = "embedding"
COLUMNS = 5  # of each side in overview.png


def demo(
    output: Path | str,
    *,
    pipeline: Any = None,
    judge: Any = None,
    prompts: Sequence[str] = PROMPTS,
    images_per_prompt: int = 18,
    batch_size: int = 8,
    num_inference_steps: int | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Write index.html, summary.json, overview.png, the directions and the images into `output`; return the summary.

    Called again after it was stopped, it goes on where it was.

    Args:
        pipeline, judge: the embedded model and its judge unless given.
        prompts: two or more, each an article and the judge's word for a subject, such as "a pilot".
        images_per_prompt: drawn unsteered, and again with the same seeds, steered in equal numbers.
        batch_size, num_inference_steps: of sampling; None for the model's own number of steps.

    The summary is that of `directrix.evaluate`, and holds besides, for "unsteered" and "steered",
    deviation_ratio.{gender,tone}, subject_accuracy and faces.JUDGE.CATEGORY, each as {"value", "low", "high", "n"}, and
    images; faces_ratio.JUDGE.CATEGORY, the steered distance over the unsteered one; and seconds.
    Raises OutputError before any sampling where `output` cannot be written, and the errors of loading, discovery and
    sampling.
    """
    started, folder = time.perf_counter(), Path(output)
    benchmark = _benchmark(prompts, whole_number("images_per_prompt", images_per_prompt))
    manifest.writable(folder)
    pipeline = directrix.load() if pipeline is None else pipeline
    judge = judge or judges.load("emoji")
    drawing = {"batch_size": batch_size, "num_inference_steps": num_inference_steps}
    directions: list[Direction] = []
    for group in ATTRIBUTES.values():
        found = _cached(folder, pipeline, group, seed)
        if not found:
            bars = labelled(progress, f"{group.name}: ")
            raw = discover_attribute(pipeline, group, METHOD, seed=seed, progress=bars)
            found = [store(each, _file(folder, each.name), {"seed": seed}) for each in raw]
        directions += found

    fair = directrix.Fair(dict.fromkeys((group.name for group in ATTRIBUTES.values()), "uniform"), directions)
    methods = {"unsteered": (), "steered": fair}
    summary = directrix.evaluate(
        pipeline, benchmark, methods, [judge], images_per_prompt, seed, folder, **drawing, progress=progress
    )
    recipe = {"method": METHOD, "sites": [each.site.name for each in directions[0].parts]}
    summary["demo"] = {"directions": [each.name for each in directions], "discovery": recipe}
    summary |= {**sides(summary), "seconds": round(time.perf_counter() - started, 1)}
    write_atomically(folder / SUMMARY, (json.dumps(summary, indent=2, ensure_ascii=False) + "\n").encode())
    write_atomically(folder / "overview.png", _overview(folder, prompts))
    directrix.report(folder)
    return summary


def _benchmark(prompts: Sequence[str], images: int) -> Benchmark:
    if len(prompts) < 2 or len(set(prompts)) != len(prompts):
        raise DirectrixError(
            f"The demo was asked for {list(prompts)!r}.", "two or more different prompts.", "the six occupations."
        )
    return Benchmark(
        name="demo",
        version="1",
        licence="Apache-2.0",
        description="Occupations without a word about gender or skin tone.",
        rows=tuple(Row(prompt, prompt, expected={"subject": subject_of(prompt)}) for prompt in prompts),
        measures=("fairness", "obedience", "faces"),
        targets={name: dict.fromkeys(labels, 1 / len(labels)) for name, labels in CATEGORIES.items()},
        images=images,
    )


def subject_of(prompt: str) -> str:
    """Return the prompt without its article: what the judge calls its subject."""
    article, _, rest = prompt.strip().partition(" ")
    return rest.strip() if article.lower() in ("a", "an", "the") and rest.strip() else prompt.strip()


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name}.safetensors"


def _cached(folder: Path, pipeline: Any, group: AttributeSet, seed: int) -> list[Direction]:
    """The directions that an earlier run of the same model and settings left; none where one is missing."""
    files = [_file(folder, each.name) for each in group.concepts]
    if not all(file.exists() for file in files):
        return []
    model, found = directrix.SteerableModel.of(pipeline).identity, [stored(file) for file in files]
    same = all(said == {"seed": seed} and each.model == model for each, said in found)
    return [each for each, _ in found] if same else []


def sides(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of both sides that README shows, and the ratios of the faces' distances by judge and category."""
    faces = {side: by_judge(figures) for side, figures in summary["methods"].items()}
    ratios = {
        judge: {category: figure["ratio"] for category, figure in row.items() if "ratio" in figure}
        for judge, row in faces.get("steered", {}).items()
    }
    by_side = {
        side: {
            "deviation_ratio": {name: figures[f"deviation_ratio_{name}"]["mean"] for name in CATEGORIES},
            "subject_accuracy": figures["obeys_subject"]["mean"],
            "faces": faces[side],
            "images": summary["prompts"] * summary["images_per_prompt"],
            "unscored": {
                "subject": figures["obeys_subject"]["unscored"],
                **{name: figures[f"deviation_ratio_{name}"]["unscored"] for name in CATEGORIES},
            },
        }
        for side, figures in summary["methods"].items()
    }
    return {**by_side, "faces_ratio": ratios}


def _overview(folder: Path, prompts: Sequence[str]) -> bytes:
    """A PNG file for a README: a row a prompt, unsteered left, the same seeds steered right."""
    from PIL import Image

    images: dict[tuple[str, int], list[Any]] = {}
    for row in sorted(manifest.shown(folder).values(), key=lambda row: row["image_index"]):
        images.setdefault((row["method"], row["prompt_index"]), []).append(folder / row["file"])
    rows = []
    for place, prompt in enumerate(prompts):
        one, other = (map(Image.open, images[side, place][:COLUMNS]) for side in ("unsteered", "steered"))
        rows.append((prompt, [*one, None, *other]))
    blank = [""] * (len(rows[0][1]) // 2 - 1)
    file = io.BytesIO()
    sheet("The same seeds", ["unsteered", *blank, "", "steered", *blank], rows).save(file, "PNG")
    return file.getvalue()
