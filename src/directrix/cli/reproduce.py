"""`directrix reproduce`: an experiment of the paper end to end, our figures beside the published ones."""

from __future__ import annotations

import argparse
from pathlib import Path

from directrix.cli import options, terminal

MODEL = "CompVis/stable-diffusion-v1-4"


def add(verbs: argparse._SubParsersAction) -> None:
    """Add the verb to the parser."""
    parser = verbs.add_parser(
        "reproduce",
        help="run an experiment of the paper end to end, beside its published figures",
        description="Run an experiment of the paper (Li et al., CVPR 2024) with its settings: discover the directions "
        "it needs, draw its prompts unsteered and steered, judge, and print our figures beside the published ones, "
        "each with its source, and what differs. With the paper's settings this takes hours on a GPU; an interrupted "
        "run goes on where it stopped.",
        epilog="example: directrix reproduce winobias --method difference --limit 36 --images 2 -o winobias",
    )
    parser.add_argument("experiment", metavar="{winobias,i2p,enhance,coco}", help="i2p and coco need --data as well")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="RUN", help="folder of the run")
    finding = parser.add_argument_group("directions", "What is left out is as in the paper.")
    finding.add_argument(
        "--method",
        metavar="NAME",
        help="reconstruction (the paper's, unless told otherwise), distillation, trajectory or difference",
    )
    finding.add_argument(
        "--images-of-discovery",
        type=options.positive_int,
        metavar="N",
        help="pictures that each direction is learned from",
    )
    finding.add_argument(
        "--steps-of-discovery", type=options.positive_int, metavar="N", help="steps of the optimiser for each"
    )
    finding.add_argument("--learning-rate", type=options.positive_float, metavar="X", help="default: the model card's")
    finding.add_argument("--directions", metavar="DIR", help="use the directions in this folder, and discover none")
    finding.add_argument(
        "--category",
        action="append",
        metavar="NAME",
        help="i2p: what is kept out, several times; hate, harassment, violence, self-harm, sexual content, shocking "
        "content or illegal activity (default: sexual content and violence)",
    )
    measuring = parser.add_argument_group("evaluation")
    measuring.add_argument("--data", metavar="TABLE", help="i2p, coco: prompts, FILE.csv or OWNER/NAME[:FILE.csv]")
    measuring.add_argument("--reference", metavar="DIR", help="coco: real pictures for FID and KID")
    measuring.add_argument(
        "--judge",
        action="append",
        metavar="JUDGE",
        help="clip, clip:CHECKPOINT, nudenet, q16:FILE; several times (default: the paper's, without Q16)",
    )
    measuring.add_argument("--q16", metavar="FILE", help="i2p, enhance: judge by Q16 too, with these embeddings")
    measuring.add_argument("--images", type=options.positive_int, metavar="N", help="pictures a prompt")
    measuring.add_argument(
        "--limit", type=options.positive_int, metavar="PROMPTS", help="at most so many, at even distances"
    )
    measuring.add_argument(
        "--seed", type=options.whole_number, default=0, help="0 unless given; of discovery and drawing"
    )
    drawing = parser.add_argument_group("drawing", "Of all pictures, those that are learned from too.")
    drawing.add_argument(
        "--steps",
        type=options.positive_int,
        metavar="N",
        help="denoising steps (default: the paper's, 50, and 30 of those that are learned from)",
    )
    drawing.add_argument("--guidance-scale", type=float, metavar="X", help="default: 7.5, the paper's")
    drawing.add_argument("--batch-size", type=options.positive_int, default=8, metavar="N", help="default: 8")
    options.add_model(parser, MODEL)
    options.add_json(parser)
    parser.set_defaults(run=run, after_interrupt="Run the same command again: what is there is kept.")


def run(arguments: argparse.Namespace) -> None:
    """Reproduce and print the table."""
    from directrix.experiments.paper import REPRODUCTION, prepare
    from directrix.experiments.paper.table import table
    from directrix.progress import bars

    # What can be wrong is found before the model is loaded.
    ready = prepare(
        arguments.experiment,
        arguments.output,
        data=arguments.data,
        limit=arguments.limit,
        images=arguments.images,
        judges=arguments.judge,
        q16=arguments.q16,
        reference=arguments.reference,
        directions=arguments.directions,
        categories=arguments.category,
        method=arguments.method,
        images_of_discovery=arguments.images_of_discovery,
        steps_of_discovery=arguments.steps_of_discovery,
        learning_rate=arguments.learning_rate,
        seed=arguments.seed,
        num_inference_steps=arguments.steps,
        guidance_scale=arguments.guidance_scale,
        batch_size=arguments.batch_size,
    )
    result = ready.run(options.load_model(arguments), bars)
    for what, why in result["not_measured"].items():
        terminal.note(f"Not measured: {what}, since {why}.")
    lines = [*table(result), "", str(arguments.output / REPRODUCTION)]
    terminal.result("\n".join(lines), result, arguments.json)
