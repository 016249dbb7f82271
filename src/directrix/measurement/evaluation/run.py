"""One evaluation, from the prompts to summary.json."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from platform import python_version
from typing import Any

import numpy as np

from directrix import __version__
from directrix.errors import DirectrixError
from directrix.generation import manifest
from directrix.interventions.protocol import Intervention
from directrix.measurement.benchmarks import Benchmark
from directrix.measurement.evaluation import images as drawing
from directrix.measurement.evaluation import measures
from directrix.measurement.evaluation.estimates import HELD_OUT, Evaluated, Measured, paired
from directrix.measurement.evaluation.faces import add_ratios, faces
from directrix.measurement.evaluation.fairness import fairness
from directrix.measurement.evaluation.images import NONE, EvaluatedImage
from directrix.measurement.evaluation.judgements import Bench, config_of
from directrix.measurement.judges.base import Judge, stranger
from directrix.measurement.judges.emoji_reference import Reference
from directrix.models import embedded, processes
from directrix.models.files import write_atomically
from directrix.models.locks import locked
from directrix.models.steerable import SteerableModel
from directrix.progress import Progress, silent

SUMMARY = "summary.json"
FORMAT = 1
REFERENCE = "reference"
_MEASURES: dict[str, tuple[Callable[[Evaluated], Measured], ...]] = {
    "fairness": (fairness,),
    "harm": (measures.harm,),
    "obedience": (measures.obedience,),
    "quality": (measures.distances, measures.clip_scores),
    "preservation": (measures.preservation,),
    "faces": (faces,),
}
# Those that depend on nothing but who judges.
_JUDGED = (fairness, measures.harm, measures.obedience, measures.distances)


def evaluate(
    pipeline: Any,
    benchmark: Benchmark,
    methods: Mapping[str, Intervention | Sequence[Intervention]],
    judges: Sequence[Judge],
    images: int = 1,
    seed: int = 0,
    folder: str | Path = "run",
    *,
    reference: str | Path | None = None,
    num_inference_steps: int | None = None,
    guidance_scale: float | None = None,
    batch_size: int = 8,
    overwrite: bool = False,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Draws, judges and measures; writes `folder`/summary.json and returns it.

    Calling it again draws and judges only what is missing. Nobody else may write to the folder meanwhile.
    Processes of a launch that have joined share the work, as in `generate`.

    Args:
        pipeline: a diffusers text-to-image pipeline, or a SteerableModel.
        benchmark: see `directrix.measurement.benchmarks.load`; `Benchmark.part` makes it shorter.
        methods: interventions by name; () for the unsteered model. Where one is named "none", the others are compared
            with it seed by seed. Differences ("paired") are those to the first method.
        judges: see `directrix.measurement.judges`; of two that know an attribute, the first one gives it. A held-out
            judge beside others gives figures of its own, `HELD_OUT` before their names.
        images: images of each prompt and method.
        seed: of the run; every method has the same.
        folder: for images, manifest.jsonl, verdicts and summary.json.
        reference: a folder of images for the measure "quality"; None for the unsteered model with the next seed.
        num_inference_steps, guidance_scale: None for the model's own.
        batch_size: images in one call of the pipeline.
        overwrite: draw images anew that the folder has of other settings, which are an error otherwise.
        progress: how to show progress.

    Returns:
        {"benchmark", "version", "methods": {name: {metric: figure}}, "paired": {name: {metric: figure}}, "unscored",
        "warnings", "not_measured", "provenance"} and more; docs/evaluation.md lists the metrics. A figure is {"value",
        "low", "high", "n"}, or an object of those.

    Raises:
        OutputError: the folder cannot be written, somebody else writes to it, or it holds images of other settings;
            raised before anything is drawn.
        DirectrixError: a method, a number or a judge that makes no sense, a judge that knows nothing of what the
            benchmark measures, a folder that holds another benchmark's run.
    """
    model, folder = SteerableModel.of(pipeline), Path(folder)
    drawing_settings = {
        "num_inference_steps": num_inference_steps,
        "guidance_scale": guidance_scale,
        "batch_size": batch_size,
        "overwrite": overwrite,
    }
    checked = drawing.checked(methods)
    with locked(folder):
        return _evaluated(
            model, benchmark, checked, judges, images, seed, folder, reference, drawing_settings, progress
        )


def _evaluated(
    model: SteerableModel,
    benchmark: Benchmark,
    checked: drawing.Methods,
    judges: Sequence[Judge],
    images: int,
    seed: int,
    folder: Path,
    reference: str | Path | None,
    settings: Mapping[str, Any],
    progress: Progress,
) -> dict[str, Any]:
    bench, known, others = ready(benchmark, judges, folder, reference)
    times = [time.perf_counter()]
    drawn, common = drawing.draw(model, benchmark, checked, images, seed, folder, progress, **settings)
    if "quality" in benchmark.measures and others is None:
        apart, _ = drawing.draw(
            model, benchmark, {REFERENCE: ()}, images, seed + 1, folder / REFERENCE, progress, **settings
        )
        others = [picture.path for picture in apart[REFERENCE]]
    times.append(time.perf_counter())
    files = {picture.sha256: picture.path for row in drawn.values() for picture in row}
    against_none = NONE in drawn and len(drawn) > 1
    drawn, looked = _looked(bench, drawn, files, others or [], benchmark, against_none, progress)
    benches = [("", drawn, {"known": known, **looked})]
    if bench.held_out is not None:
        seen, looked = _looked(bench.held_out, drawn, files, others or [], benchmark, False, progress)
        benches.append((HELD_OUT, seen, {"known": bench.held_out.attributes(), **looked}))
    times.append(time.perf_counter())
    measured = {name: Measured() for name in drawn}
    chosen = [each for key, row in _MEASURES.items() if key in benchmark.measures for each in row]
    for prefix, rows, looked in benches:
        for name, pictures in rows.items():
            unsteered = rows.get(NONE) if name != NONE else None
            of = Evaluated(pictures, benchmark, unsteered=unsteered, **looked, seed=seed, progress=progress)
            for measure in chosen:
                if not prefix or measure in _JUDGED:
                    measured[name].add(measure(of).called(prefix))
    plain = next((name for name, parts in checked.items() if not parts), None)
    if plain is not None:
        add_ratios({name: each.figures for name, each in measured.items()}, plain)
    times.append(time.perf_counter())
    first = next(iter(drawn))
    summary = {
        "format": FORMAT,
        "benchmark": benchmark.name,
        "version": benchmark.version,
        "prompts": len(benchmark.rows),
        "images_per_prompt": images,
        "methods": {name: each.figures for name, each in measured.items()},
        "paired": {name: paired(measured[first], each) for name, each in measured.items() if name != first},
        "compared_to": first,
        "counts": {name: each.counts for name, each in measured.items() if each.counts},
        "unscored": {
            name: {each: sum(image.label(each) is None for image in row) for each in known}
            for name, row in drawn.items()
        },
        "warnings": warnings(judges, model),
        "not_measured": {
            **_not_measured(benchmark, known, bench, drawn),
            **{f"{what} ({name})": why for name, each in measured.items() for what, why in each.left_out.items()},
        },
        "provenance": {
            "model": asdict(model.identity),
            "pictures": sum(map(len, drawn.values())),
            **common,
            "versions": {**common["versions"], "directrix": __version__, "python": python_version()},
            "seed": seed,
            "attributes": [name for name in benchmark.attributes if name in known],
            "benchmark": benchmark.as_dict(),
            "targets": {name: dict(shares) for name, shares in benchmark.targets.items()},
            "judges": [config_of(judge) for judge in judges],
            "reference": _reference(benchmark, reference, seed, others),
            "methods": {name: [dict(each.config) for each in parts] for name, parts in checked.items()},
            "seconds": {
                stage: round(until - since, 1)
                for stage, (since, until) in zip(("drawing", "judging", "measuring"), pairwise(times), strict=True)
            },
        },
    }
    summary = json.loads(json.dumps(summary))
    text = json.dumps(summary, indent=2, ensure_ascii=False) + "\n"
    processes.first(lambda: write_atomically(folder / SUMMARY, text.encode()))
    return summary


def warnings(judges: Sequence[Judge], model: SteerableModel) -> list[str]:
    """What should be known before figures of these judges are believed, in sentences."""
    found = (stranger(judge, model.identity.name, embedded.MODELS) for judge in judges)
    return [each for each in found if each is not None]


def ready(
    benchmark: Benchmark, judges: Sequence[Judge], folder: str | Path, reference: str | Path | None = None
) -> tuple[Bench, list[str], list[Path] | None]:
    """Makes the folder of a run, and raises whatever can be known before anything is drawn; see `evaluate`.

    Returns the judges, the attributes that they know, and the reference's images.
    """
    folder = Path(folder)
    if not judges:
        raise DirectrixError("There is no judge.", "one or more.", "directrix.measurement.judges.load('emoji').")
    manifest.writable(folder)
    drawing.known_folder(folder, benchmark)
    bench = Bench(judges, folder)
    known = bench.attributes()
    wanted = benchmark.attributes
    if {"fairness", "harm", "obedience"} & set(benchmark.measures) and wanted and not set(wanted) & set(known):
        raise DirectrixError(
            f"The judges know {', '.join(known)}; the benchmark '{benchmark.name}' asks for {', '.join(wanted)}.",
            "a judge that knows some of it.",
            f"the judge '{benchmark.judge}'.",
        )
    return bench, known, None if reference is None else drawing.of_folder(Path(reference))


def _looked(
    bench: Bench,
    drawn: Mapping[str, Sequence[EvaluatedImage]],
    files: Mapping[str, Path],
    others: Sequence[Path],
    benchmark: Benchmark,
    against_none: bool,
    progress: Progress,
) -> tuple[dict[str, list[EvaluatedImage]], dict[str, Any]]:
    """The images by method with the verdicts of a bench, and its features."""
    verdicts = bench.verdicts(files, progress)
    seen = {name: [replace(each, verdicts=verdicts[each.sha256]) for each in row] for name, row in drawn.items()}
    return seen, _features(bench, files, others, benchmark, against_none, progress)


def _features(
    bench: Bench,
    files: Mapping[str, Path],
    others: Sequence[Path],
    benchmark: Benchmark,
    against_none: bool,
    progress: Progress,
) -> dict[str, Any]:
    """What judges can give beside verdicts, as `Evaluated` has it: features of images, and of prompts."""
    found: dict[str, Any] = {}
    quality = "quality" in benchmark.measures
    if bench.seer is not None and (quality or ("preservation" in benchmark.measures and against_none)):
        found["features"] = bench.features(bench.seer, files, progress)
    if bench.seer is not None and quality:
        apart = {manifest.sha256(path.read_bytes()): path for path in others}
        found["reference"] = np.stack(list(bench.features(bench.seer, apart, progress).values()))
    if bench.reader is not None and quality:
        prompts = list(dict.fromkeys(benchmark.prompts))
        found["texts"] = dict(zip(prompts, bench.reader.encoder.texts(prompts).numpy(), strict=True))
        same = bench.reader is bench.seer
        found["read"] = found["features"] if same else bench.features(bench.reader, files, progress)
    if "faces" in benchmark.measures and bench.sees_emoji():
        reference = Reference.load()
        given = {name: bench.features(judge, files, progress) for name, judge in reference.judges().items()}
        found["renders"] = (reference, given)
    return found


def _not_measured(benchmark: Benchmark, known: Sequence[str], bench: Bench, drawn: Mapping[str, Any]) -> dict[str, str]:
    """What the benchmark asks for and this run does not have, with the reason."""
    found = {name: "no judge knows it" for name in benchmark.attributes if name not in known}
    if "quality" in benchmark.measures:
        if bench.seer is None:
            found["fid and kid"] = "no judge gives features of pictures"
        if bench.reader is None:
            found["clip_score"] = "no judge reads prompts; a CLIP judge does"
    if "faces" in benchmark.measures and not bench.sees_emoji():
        found["faces"] = "no judge is an emoji judge, whose renders images are compared with"
    if "preservation" in benchmark.measures and NONE not in drawn:
        found["preservation"] = "no method is named 'none'"
    return found


def _reference(
    benchmark: Benchmark, given: str | Path | None, seed: int, others: Sequence[Path] | None
) -> dict[str, Any] | None:
    if "quality" not in benchmark.measures or others is None:
        return None
    # The folder's name alone: a summary is passed on, and where somebody has images is nobody else's concern.
    source = f"the unsteered model, seed {seed + 1}" if given is None else Path(given).resolve().name
    return {"source": source, "pictures": len(others)}
