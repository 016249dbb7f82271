"""`directrix demo | reproduce`: the method in minutes, the paper's experiments."""

from __future__ import annotations

from pathlib import Path

from directrix.cli import options
from directrix.cli.app import Result, progress, say_what_is_missing, verb

PAPER = options.Model("CompVis/stable-diffusion-v1-4")


@verb("demo", "The page is written at the end; run the same command again.")
def demo(
    output: options.Output = Path("demo"), images_per_prompt: options.ImagesPerPrompt = 18, seed: options.Seed = 0
) -> Result:
    """See it work: six occupations before and after, on one page, in minutes."""
    options.writable_folders(output)
    from directrix.experiments import demo
    from directrix.experiments.paper.table import aligned
    from directrix.measurement.metrics import Interval

    summary = demo.demo(output, images_per_prompt=images_per_prompt, seed=seed, progress=progress())
    rows = [
        ["", "unsteered", "steered"],
        *([title] for title in ("deviation ratio, gender", "deviation ratio, tone", "subject accuracy")),
    ]
    for side in (summary["unsteered"], summary["steered"]):
        for row, figure in zip(rows[1:], (*side["deviation_ratio"].values(), side["subject_accuracy"]), strict=True):
            row.append(str(Interval(**figure)) if figure else "not scored")
    return Result("\n".join([*aligned(rows), f"{summary['seconds']:.0f} s. Open {output / 'index.html'}"]), summary)


@verb("reproduce", "Run the same command again: what is there stays.")
def reproduce(
    experiment: options.Word,
    output: options.Output,
    method: str | None = None,
    training_images: options.TrainingImages = None,
    optimizer_steps: options.OptimizerSteps = None,
    learning_rate: options.LearningRate = None,
    padding: str | None = None,
    directions: str | None = None,
    category: list[str] | None = None,
    data: options.Data = None,
    reference: str | None = None,
    judge: options.Judges = None,
    q16: str | None = None,
    images_per_prompt: options.OptionalImagesPerPrompt = None,
    limit: options.Limit = None,
    seed: options.Seed = 0,
    overwrite: options.Overwrite = False,
    drawing: options.Drawing = options.DRAWING,
    model: options.Model = PAPER,
) -> Result:
    """Run an experiment of the paper end to end, beside its published figures."""
    from directrix.experiments.paper import REPRODUCTION, prepare
    from directrix.experiments.paper.table import table

    # What can be wrong is found before the model is loaded.
    ready = prepare(
        experiment,
        output,
        data=data,
        limit=limit,
        images=images_per_prompt,
        judges=judge or None,
        q16=q16,
        reference=reference,
        directions=directions,
        categories=category or None,
        method=method,
        images_of_discovery=training_images,
        steps_of_discovery=optimizer_steps,
        learning_rate=learning_rate,
        padding=padding,
        seed=seed,
        overwrite=overwrite,
        **vars(drawing),
    )
    found = ready.run(model.load(), progress())
    say_what_is_missing(found)
    return Result("\n".join([*table(found), "", str(output / REPRODUCTION)]), found)
