"""`directrix bench occupations | discovery | evaluation | model`: what methods do, and what they cost."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from directrix.cli import options, terminal
from directrix.cli.app import Result, group, verb

bench = group("bench", "Measure a method, or what a model costs.")
_RESUME = "Run the same command again: it goes on where it stopped."
Runs = Annotated[Path, typer.Option(metavar="DIR", help="Checkpoints, directions and images.")]
Repeats = Annotated[int, typer.Option(min=1, help="How often each is timed.")]
Figures = Annotated[Path | None, typer.Option("--output", "-o", help="Also write the figures there, as JSON.")]


@verb("occupations", _RESUME, of=bench)
def occupations(
    method: options.Method = "reconstruction",
    training_images: options.TrainingImages = None,
    optimizer_steps: options.OptimizerSteps = None,
    images_per_prompt: options.ImagesPerPrompt = 20,
    seed: options.Seed = 0,
    runs: Runs = Path("runs"),
    output: Figures = None,
) -> Result:
    """Discover woman and man, steer all twenty occupations at strength 1, judge."""
    options.writable_folder(runs)
    output = options.writable_file(output)
    from directrix import models
    from directrix.experiments.methods.occupations import occupations as measure
    from directrix.experiments.tables import table
    from directrix.measurement.judges.emoji import EmojiJudge

    figures = measure(
        models.load("emoji"),
        EmojiJudge.load(),
        runs,
        method=method,
        images_per_occupation=images_per_prompt,
        seed=seed,
        progress=terminal.progress(),
        images=training_images,
        steps=optimizer_steps,
    )
    terminal.write_json(figures, output)
    return Result("\n".join(table("reconstruction", figures)), figures)


@verb("discovery", _RESUME, of=bench)
def discovery(
    method: list[str] | None = None,
    seeds: options.Count = 3,
    images_per_prompt: options.ImagesPerPrompt = 2,
    images_of_directions: Annotated[int, typer.Option(min=0)] = 20,
    runs: Runs = Path("runs"),
    output: Figures = None,
) -> Result:
    """Compare all methods on the same concepts: effect, leakage, cost.

    Args:
        method (NAME): One to compare, several times. Default: all.
        seeds: Runs of each discovery.
        images_of_directions: Images of each prompt that show what the default's directions do; 0 for none.
    """
    options.writable_folder(runs)
    output = options.writable_file(output)
    from directrix import checks, models
    from directrix.experiments.methods.compare import discovery as measure
    from directrix.experiments.methods.tasks import CONTENDERS
    from directrix.experiments.tables import table
    from directrix.measurement.judges.emoji import EmojiJudge
    from directrix.measurement.reports.charts import cost_curve
    from directrix.models.files import write_atomically

    names = [checks.one_of("method to compare", name, CONTENDERS) for name in method or CONTENDERS]
    figures = measure(
        models.load("emoji"),
        EmojiJudge.load(),
        runs,
        contenders={name: CONTENDERS[name] for name in names},
        seeds=range(seeds),
        images_per_prompt=images_per_prompt,
        images_of_directions=images_of_directions,
        progress=terminal.progress(),
    )
    terminal.write_json(figures, output)
    if output is not None:
        image = cost_curve(figures["budgets"], "share of women among twenty occupations, at strength 1 as found")
        write_atomically(output.with_suffix(".svg"), image.encode())
    lines = table("discovery", figures)
    if "directions" in figures:
        lines += ["", *table("directions", figures)]
    return Result("\n".join(lines), figures)


@verb("evaluation", "Nothing was written.", of=bench)
def evaluation(
    images_per_prompt: options.ImagesPerPrompt = 10,
    limit: options.Limit = None,
    batch_size: options.BatchSize = 16,
    repeats: Repeats = 3,
    output: Figures = None,
) -> Result:
    """Measure what `directrix evaluate` costs beyond drawing, as a ratio, on emoji-occupations."""
    output = options.writable_file(output)
    from directrix import models
    from directrix.experiments.cost.evaluation_overhead import overhead
    from directrix.measurement import benchmarks
    from directrix.measurement.judges.emoji import EmojiJudge

    figures = overhead(
        models.load("emoji"),
        EmojiJudge.load(),
        benchmarks.load("emoji-occupations").part(limit=limit),
        images=images_per_prompt,
        batch_size=batch_size,
        repeats=repeats,
        progress=terminal.progress(),
    )
    terminal.write_json(figures, output)
    text = (
        f"{figures['pictures']:,} images: {figures['bare_seconds']:.1f} s by the bare pipeline, "
        f"{figures['evaluate_seconds']:.1f} s evaluated, {figures['ratio']['value']:.3f} times as long "
        f"[{figures['ratio']['low']:.3f}, {figures['ratio']['high']:.3f}]"
    )
    return Result(text, figures)


@verb("model", "Nothing was written.", of=bench)
def model(
    config: str,
    device: options.Device = None,
    dtype: options.Precision = "float32",
    repeats: Repeats = 3,
    strengths: Annotated[int, typer.Option(min=0)] = 20,
    output: options.OptionalOutput = None,
) -> Result:
    """Measure a discovery step and a steered step on a denoiser of true size, with random weights.

    Args:
        config (NAME): sd14, sd21, sdxl, pixart, sd3 or flux: its public size.
        dtype: Precision of the weights.
        strengths: How many strengths steer a compiled denoiser while its graphs are counted; 0 for none.
        output: Also put the figures there, beside those of other configurations.
    """
    output = options.writable_file(output)
    others = {} if output is None else _others(output)
    import torch

    from directrix.experiments.cost.full_size import full_size
    from directrix.experiments.tables import table

    precision = getattr(torch, dtype)
    measured = full_size(config, device, precision, repeats=repeats, strengths=strengths, progress=terminal.progress())
    terminal.write_json({"configs": {**others, config: measured}}, output)
    figures = {"configs": {config: measured}}
    return Result("\n".join(table("model", figures)), figures)


def _others(output: Path) -> Mapping[str, Any]:
    """The figures of other configurations that the file has."""
    from directrix.errors import OutputError

    if not output.is_file():
        return {}
    try:
        return dict(json.loads(output.read_text(encoding="utf-8"))["configs"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OutputError(
            f"{output} has no figures of this command ({type(error).__name__}).",
            "a file that `directrix bench model` wrote, or a new one.",
            "choose another name with -o.",
        ) from error
