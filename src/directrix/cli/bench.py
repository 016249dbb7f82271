"""`directrix bench`: what methods do, and what they and models cost."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import directrix
from directrix.cli import options
from directrix.cli.app import Result, group, progress, refuse, verb, write_json
from directrix.errors import OutputError
from directrix.reading import json_text
from directrix.reading.source import Source

bench = group("bench", "Measure a method, or what a model costs.")
_RESUME = "Run the same command again: it goes on where it stopped."
CountOrNone = Annotated[int, options.option(least=0)]
Runs = Annotated[Path, options.option("Checkpoints, directions and images.", metavar="DIR")]
Repeats = Annotated[int, options.option("How often each is timed.", least=1)]
Visitors = Annotated[int, options.option(least=1, most=40)]  # as many as may wait in the queue
Figures = Annotated[Path | None, options.option("Also write the figures there, as JSON.", "--output", "-o")]


@verb("occupations", _RESUME, of=bench)
def occupations(
    method: options.Method = "reconstruction",
    training_images: options.TrainingImages = None,
    optimizer_steps: options.OptimizerSteps = None,
    images_per_prompt: options.ImagesPerPrompt = 20,
    seed: options.Seed = 0,
    judge: list[str] | None = None,
    runs: Runs = Path("runs"),
    output: Figures = None,
    model: options.Model = options.EMOJI,
) -> Result:
    """Discover woman and man, steer the ten test occupations at strength 1, judge."""
    options.writable_folders(runs)
    options.writable_files(output)
    from directrix.experiments.methods.occupations import occupations as measure
    from directrix.experiments.tables import table

    figures = measure(
        model.load(),
        _judges(judge),
        runs,
        method=method,
        images_per_occupation=images_per_prompt,
        seed=seed,
        progress=progress(),
        images=training_images,
        steps=optimizer_steps,
    )
    return Result("\n".join(table("reconstruction", figures)), figures, output)


@verb("discovery", _RESUME, of=bench)
def discovery(
    method: list[str] | None = None,
    seeds: options.Count = 2,
    images_per_prompt: options.ImagesPerPrompt = 2,
    images_of_directions: CountOrNone = 2,
    judge: list[str] | None = None,
    runs: Runs = Path("runs"),
    output: Figures = None,
    model: options.Model = options.EMOJI,
) -> Result:
    """Compare all methods, as found and calibrated: effect, leakage, cost."""
    options.writable_folders(runs)
    options.writable_files(output)
    from directrix import checks
    from directrix.experiments.methods.compare import discovery as measure
    from directrix.experiments.methods.tasks import CONTENDERS
    from directrix.experiments.tables import table
    from directrix.measurement.reports.charts import cost_curve
    from directrix.models.files import write_atomically

    names = [checks.one_of("method to compare", name, CONTENDERS) for name in method or CONTENDERS]
    figures = measure(
        model.load(),
        _judges(judge),
        runs,
        contenders={name: CONTENDERS[name] for name in names},
        seeds=seeds,
        images_per_prompt=images_per_prompt,
        images_of_directions=images_of_directions,
        progress=progress(),
    )
    if output is not None:
        first = figures["judges"][0]
        points = {
            name: [
                {"evaluations": each[side]["evaluations"]["value"], "effect": each[side]["effect"][first]}
                for side in ("as_found", "calibrated")
            ]
            for name, each in figures["methods"].items()
        }
        image = cost_curve(points, "effect on ten test occupations, as found and (right) calibrated")
        write_atomically(output.with_suffix(".svg"), image.encode())
    lines = table("discovery", figures)
    if "directions" in figures:
        lines += ["", *table("directions", figures)]
    return Result("\n".join(lines), figures, output)


@verb("guidance", _RESUME, of=bench)
def guidance(
    images_per_prompt: options.ImagesPerPrompt = 4,
    judge: list[str] | None = None,
    runs: Runs = Path("runs/guidance"),
    output: Figures = None,
    model: options.Model = options.EMOJI,
) -> Result:
    """Measure fairness and safety over guidance scales: directions and words."""
    options.writable_folders(runs)
    options.writable_files(output)
    from directrix.experiments.guidance import guidance as measure
    from directrix.experiments.tables import table

    figures = measure(model.load(), _judges(judge), runs, images_per_prompt=images_per_prompt, progress=progress())
    return Result("\n".join(table("guidance", figures)), figures, output)


@verb("reach", _RESUME, of=bench)
def reach(
    images_per_prompt: options.ImagesPerPrompt = 8,
    images_of_controls: options.Count = 2,
    images_of_groups: options.Count = 12,
    part: list[str] | None = None,
    judge: list[str] | None = None,
    runs: Runs = Path("runs/reach"),
    output: options.OptionalOutput = None,
    model: options.Model = options.EMOJI,
) -> Result:
    """Measure what the default directions reach, and what a closed loop and a gate leave as it is."""
    options.writable_folders(runs)
    options.writable_files(output)
    _others(output)
    from directrix import checks
    from directrix.experiments.reach import PARTS
    from directrix.experiments.reach import reach as measure
    from directrix.experiments.tables import table
    from directrix.models.steerable import SteerableModel

    parts = [checks.one_of("part", each, PARTS) for each in part or PARTS]
    loaded = model.load()
    refuse(
        bool(part) and SteerableModel.of(loaded).identity.name not in _others(output),
        "There is no file that has the other parts of this model.",
        "-o with a file of whole figures.",
        "leave --part out.",
    )
    figures = measure(
        loaded,
        _judges(judge),
        runs,
        images_per_prompt=images_per_prompt,
        images_of_controls=images_of_controls,
        images_of_groups=images_of_groups,
        parts=parts,
        progress=progress(),
    )
    if part:
        before = _others(output)[figures["model"]]
        each = {**before["pictures"]["each"], **figures["pictures"]["each"]}
        measured = {part: figures[part] for part in parts}
        figures = {**before, **measured, "pictures": {**before["pictures"], "each": each}}
    return Result("\n".join(table("reaching", _with_others(figures["model"], figures, output))), figures)


@verb("affine", _RESUME, of=bench)
def affine(
    images_per_prompt: options.ImagesPerPrompt = 2,
    num_inference_steps: options.Steps = None,
    judge: list[str] | None = None,
    runs: Runs = Path("runs/affine"),
    output: options.OptionalOutput = None,
    model: options.Model = options.EMOJI,
) -> Result:
    """Compare adding, projecting and setting, on prompts that are open, that say another value, and the very one."""
    options.writable_folders(runs)
    options.writable_files(output)
    _others(output)
    from directrix.experiments.reach.affine import affine as measure
    from directrix.experiments.tables import table

    figures = measure(
        model.load(),
        _judges(judge),
        runs,
        images_per_prompt=images_per_prompt,
        num_inference_steps=num_inference_steps,
        progress=progress(),
    )
    return Result("\n".join(table("affine", _with_others(figures["model"], figures, output))), figures)


def _judges(names: list[str] | None) -> dict[str, Any]:
    """Judges by name; the first one calibrates."""
    from directrix.experiments.judged import JUDGES
    from directrix.measurement import judges

    return {name: judges.load(name) for name in names or JUDGES}


@verb("evaluation", "Nothing was written.", of=bench)
def evaluation(
    images_per_prompt: options.ImagesPerPrompt = 10,
    limit: options.Limit = None,
    batch_size: options.BatchSize = 16,
    repeats: Repeats = 3,
    output: Figures = None,
) -> Result:
    """Measure what `directrix evaluate` costs beyond drawing, as a ratio, on emoji-occupations."""
    options.writable_files(output)
    from directrix.experiments.cost.evaluation_overhead import overhead
    from directrix.measurement import benchmarks
    from directrix.measurement.judges.emoji import EmojiJudge

    figures = overhead(
        directrix.load("emoji"),
        EmojiJudge.load(),
        benchmarks.load("emoji-occupations").part(limit=limit),
        images=images_per_prompt,
        batch_size=batch_size,
        repeats=repeats,
        progress=progress(),
    )
    text = (
        f"{figures['pictures']:,} images: {figures['bare_seconds']:.1f} s by the bare pipeline, "
        f"{figures['evaluate_seconds']:.1f} s evaluated, {figures['ratio']['value']:.3f} times as long "
        f"[{figures['ratio']['low']:.3f}, {figures['ratio']['high']:.3f}]"
    )
    return Result(text, figures, output)


@verb("scale", "Nothing was written.", of=bench)
def scale(rows: list[int] | None = None, output: Figures = None) -> Result:
    """Measure what many images cost beside drawing them: planning, files, judging, measuring, a page."""
    options.writable_files(output)
    from directrix.experiments.cost.scale import scale as measure
    from directrix.experiments.tables import table

    figures = measure(directrix.load("emoji"), rows or [10_000, 100_000], progress=progress())
    return Result("\n".join(table("scale", figures)), figures, output)


@verb("studio", "Nothing was written.", of=bench)
def studio(repeats: Repeats = 5, visitors: Visitors = 20, output: Figures = None) -> Result:
    """Measure what the studio's visitors wait for: its first screen, a slider's move, many at once."""
    options.writable_files(output)
    from directrix.experiments.cost.studio import studio as measure
    from directrix.experiments.tables import table

    figures = measure(repeats, visitors, progress=progress())
    return Result("\n".join(table("studio", figures)), figures, output)


@verb("model", "Nothing was written.", of=bench)
def model(
    config: str,
    device: options.Device = None,
    dtype: options.Precision = "float32",
    repeats: Repeats = 3,
    strengths: CountOrNone = 20,
    output: options.OptionalOutput = None,
) -> Result:
    """Measure a discovery step and a steered step on a denoiser of true size, with random weights."""
    options.writable_files(output)
    _others(output, "configs")
    import torch

    from directrix.experiments.cost.full_size import full_size
    from directrix.experiments.tables import table

    precision = getattr(torch, dtype)
    measured = full_size(config, device, precision, repeats=repeats, strengths=strengths, progress=progress())
    _with_others(config, measured, output, "configs")
    figures = {"configs": {config: measured}}
    return Result("\n".join(table("model", figures)), figures)


def _with_others(name: str, figures: Mapping[str, Any], output: Path | None, key: str = "models") -> dict[str, Any]:
    """Figures of one model, or configuration, beside those of others that the file has; written there."""
    found = {key: {**_others(output, key), name: figures}}
    write_json(found, output)
    return found


def _others(output: Path | None, key: str = "models") -> Mapping[str, Any]:
    """The figures of other models, or configurations, that the file has: asked before hours of work, and after, when
    another command may have put its own there."""
    if output is None or not output.is_file():
        return {}
    wanted = "a file that the same command wrote, or a new one."
    source = Source(output, OutputError, wanted, "choose another name with -o.")
    found = json_text.read(source)
    configs = found.get(key) if isinstance(found, dict) else None
    if not isinstance(configs, dict):
        raise source.wrong("has no figures of this command")
    return configs
