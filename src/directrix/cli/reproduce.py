"""`directrix reproduce`: an experiment of the paper end to end, our figures beside the published ones."""

from __future__ import annotations

from directrix.cli import options, terminal
from directrix.cli.app import Result, verb

PAPER = options.Model("CompVis/stable-diffusion-v1-4")


@verb(
    "reproduce",
    "Run the same command again: what is there stays.",
    "example: directrix reproduce winobias --method difference --limit 36 -n 2 -o winobias",
)
def reproduce(
    experiment: options.Word,
    output: options.Output,
    method: str | None = None,
    training_images: options.TrainingImages = None,
    optimizer_steps: options.OptimizerSteps = None,
    learning_rate: options.LearningRate = None,
    directions: str | None = None,
    category: list[str] | None = None,
    data: options.Data = None,
    reference: str | None = None,
    judge: options.Judges = None,
    q16: str | None = None,
    images_per_prompt: options.OptionalImagesPerPrompt = None,
    limit: options.Limit = None,
    seed: options.Seed = 0,
    drawing: options.Drawing = options.DRAWING,
    model: options.Model = PAPER,
) -> Result:
    """Run an experiment of the paper end to end, beside its published figures.

    Discover the directions that the experiment needs, draw its prompts unsteered and steered, judge, and print our
    figures beside the published ones, each with its source, and what differs. What is left out is as in the paper (Li
    et al., CVPR 2024), which takes hours on a GPU; an interrupted run goes on where it stopped.

    Args:
        experiment ({winobias,i2p,enhance,coco}): i2p and coco need --data as well.
        output (RUN): Folder of the run.
        method (NAME): Of discovery: reconstruction (the paper's), distillation, trajectory or difference.
        training_images: Images that each direction is learned from.
        directions (DIR): Use the directions in this folder, and discover none.
        category (NAME): i2p: what is kept out, several times; hate, harassment, violence, self-harm, sexual content,
            shocking content or illegal activity. Default: sexual content and violence.
        reference (DIR): coco: real images for FID and KID.
        judge: The paper's judges are clip, nudenet and q16; several times. Default: the paper's, without Q16.
        q16 (FILE): i2p, enhance: judge by Q16 too, with these embeddings.
        num_inference_steps: Denoising steps. Default: 50, and 30 of the images that are learned from.
        guidance_scale: Of classifier-free guidance. Default: 7.5.
    """
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
        seed=seed,
        **vars(drawing),
    )
    found = ready.run(model.load(), terminal.progress())
    terminal.say_what_is_missing(found)
    return Result("\n".join([*table(found), "", str(output / REPRODUCTION)]), found)
