"""`directrix generate`: draw pictures, with or without directions."""

from __future__ import annotations

import argparse
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from directrix.cli import options, terminal
from directrix.errors import ConceptError

if TYPE_CHECKING:
    from directrix.generation.generate import Record
    from directrix.interventions.protocol import Intervention


def add(verbs: argparse._SubParsersAction) -> None:
    """Add the verb to the parser."""
    parser = verbs.add_parser(
        "generate",
        help="draw pictures, steered by directions",
        description="Draw pictures of each prompt into a folder: PNG files, a contact sheet, and a "
        "manifest with one "
        "row a picture. The same command with and without --concept draws the same seeds. An interrupted "
        "run goes on "
        "with the pictures that are missing.",
        epilog='example: directrix generate --prompt "a firefighter" -n 8 --concept woman.safetensors:1.0 -o out/',
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="where the pictures go")
    parser.add_argument("--prompt", action="append", required=True, help="what to draw; may be given several times")
    parser.add_argument("-n", type=options.positive_int, default=1, metavar="N", help="pictures a prompt (default: 1)")
    parser.add_argument(
        "--concept",
        action="append",
        default=[],
        metavar="FILE[:STRENGTH]",
        help="a direction's file, or OWNER/NAME[@REVISION] on the hub, and its strength (default: the file's own); may "
        "be given several times",
    )
    parser.add_argument(
        "--policy",
        type=Path,
        metavar="FILE",
        help="a YAML file that says what is fair, what is kept out, and whether prompts may ask for it",
    )
    parser.add_argument(
        "--branch",
        choices=("conditional", "unconditional", "both"),
        default="conditional",
        help="the half of guidance that --concept steers (default: conditional)",
    )
    parser.add_argument("--start", type=options.share, default=0.0, help="share of the steps before steering begins")
    parser.add_argument("--stop", type=options.share, default=1.0, help="share of the steps after which it ends")
    drawing = parser.add_argument_group("drawing")
    drawing.add_argument("--negative-prompt", metavar="PROMPT", help="what to keep out, in words")
    drawing.add_argument(
        "--seed", type=options.whole_number, default=0, help="0 unless given; each picture has its own from it"
    )
    drawing.add_argument(
        "--steps", type=options.positive_int, metavar="N", help="denoising steps (default: the model's)"
    )
    drawing.add_argument("--guidance-scale", type=float, metavar="X", help="default: the model's")
    drawing.add_argument("--batch-size", type=options.positive_int, default=8, metavar="N", help="default: 8")
    options.add_model(parser)
    options.add_json(parser)
    parser.set_defaults(run=run, after_interrupt="Run the same command again: finished pictures are kept.")


def run(arguments: argparse.Namespace) -> None:
    """Draw the pictures with all the directions applied together."""
    for prompt in arguments.prompt:
        if not prompt.strip():
            raise ConceptError("A prompt is empty.", "at least one word.", '--prompt "a firefighter".')
    files = [options.concept_file(text) for text in arguments.concept]
    output = options.writable_folder(arguments.output)

    from directrix.directions.direction import Direction

    strengths = {}
    for file in files:
        direction = Direction.load(options.direction_file(file.path))
        strengths[direction] = direction.strengths.default if file.strength is None else file.strength

    from directrix.generation import manifest
    from directrix.generation.generate import generate
    from directrix.interventions.steering import Steering
    from directrix.progress import bars

    steering = Steering(strengths, branch=arguments.branch, start=arguments.start, stop=arguments.stop)
    interventions: list[Intervention] = [steering] if strengths else []
    if arguments.policy is not None:
        from directrix.policies.policy import Policy

        interventions.insert(0, Policy.load(arguments.policy))
    pipeline = options.load_model(arguments)
    records = generate(
        pipeline,
        arguments.prompt,
        arguments.n,
        seed=arguments.seed,
        interventions=interventions,
        num_inference_steps=arguments.steps,
        guidance_scale=arguments.guidance_scale,
        negative_prompt=arguments.negative_prompt,
        batch_size=arguments.batch_size,
        output=output,
        progress=bars,
    )
    sheet = output / "contact-sheet.png"
    _write_sheet(sheet, records, arguments.n)
    terminal.note(f"{sum(record.drawn for record in records)} of {len(records)} pictures drawn now, the others kept.")
    for prompt, unmet in {record.prompt: record.row.get("unmet") for record in records}.items():
        if unmet:
            terminal.note(f"Nothing could be done about {', '.join(map(repr, unmet))} in '{prompt}'.")
    data = {
        "folder": str(output),
        "contact_sheet": str(sheet),
        "manifest": str(output / manifest.NAME),
        "images": [dict(record.row) for record in records],
    }
    terminal.result(f"{len(records)} pictures in {output}, all on {sheet}", data, arguments.json)


def _write_sheet(path: Path, records: Sequence[Record], images_per_prompt: int) -> None:
    from directrix.generation.generate import contact_sheet
    from directrix.models.files import write_atomically

    # A row holds one prompt's pictures; a single prompt is laid out as a square or so.
    several = len(records) > images_per_prompt
    columns = images_per_prompt if several else math.ceil(math.sqrt(len(records)))
    labels = [record.prompt for record in records] if several else None
    file = io.BytesIO()
    contact_sheet([record.image for record in records], columns, labels).save(file, "PNG")
    write_atomically(path, file.getvalue())
