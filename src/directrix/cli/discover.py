"""`directrix discover`: find a concept's direction and write it to a file."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from directrix.cli import options, terminal

if TYPE_CHECKING:
    from directrix.discover.problem import Defaults


def add(verbs: argparse._SubParsersAction) -> None:
    """Add the verb to the parser."""
    parser = verbs.add_parser(
        "discover",
        help="find what a concept means inside a model",
        description="Find the direction of a concept inside a frozen model, and write it to one "
        "safetensors file. "
        "An interrupted run goes on where it stopped when the same command is given again.",
        epilog='example: directrix discover --model emoji --name woman --target "a woman" --neutral "a '
        'person" '
        "-o woman.safetensors",
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FILE", help="where the direction goes"
    )
    concept = parser.add_argument_group(
        "concept", "Each prompt may be given several times; they are paired in order."
    )
    concept.add_argument("--name", help="what to call it (default: the file's name)")
    concept.add_argument(
        "--target", action="append", metavar="PROMPT", help='the concept in words, "a woman"'
    )
    concept.add_argument(
        "--neutral", action="append", required=True, metavar="PROMPT", help='the same without it, "a person"'
    )
    concept.add_argument(
        "--negative",
        action="append",
        metavar="PROMPT",
        help='for a concept that is kept out: "violence"; --target is then --neutral unless given',
    )
    method = parser.add_argument_group(
        "method", "What is left out follows the method, and is named before the run."
    )
    method.add_argument(
        "--method", default="reconstruction", help="reconstruction (the paper's, default) or distillation"
    )
    method.add_argument("--images", type=options.positive_int, metavar="N", help="pictures to learn from")
    method.add_argument("--steps", type=options.positive_int, metavar="N", help="steps of the optimiser")
    method.add_argument("--batch-size", type=options.positive_int, metavar="N", help="pictures a step")
    method.add_argument("--learning-rate", type=options.positive_float, metavar="X", help="of the optimiser")
    method.add_argument(
        "--seed",
        type=options.whole_number,
        default=0,
        help="0 unless given; the same seed gives the same direction",
    )
    options.add_model(parser)
    options.add_json(parser)
    parser.set_defaults(
        run=run, after_interrupt="Run the same command again: it goes on from its checkpoint."
    )


def run(arguments: argparse.Namespace) -> None:
    """Discover one concept, with a checkpoint beside the output until the direction is written."""
    from directrix.concept import Concept

    # What can be wrong is found before anything slow is loaded.
    name = arguments.name or arguments.output.stem
    concept = Concept.of(name, arguments.target, arguments.neutral, arguments.negative)
    output = options.writable_file(arguments.output)
    folder = output.with_name(f"{output.name}.checkpoint")

    from directrix import storage
    from directrix.cli import describe
    from directrix.discover import discover, methods
    from directrix.progress import bars

    asked = {key: getattr(arguments, key) for key in ("images", "steps", "batch_size", "learning_rate")}
    terminal.note(_announcement(arguments.method, asked, methods.method(arguments.method).defaults))
    if folder.is_dir():
        terminal.note(f"Going on from {folder}.")
    pipeline = options.load_model(arguments)
    direction = discover(
        pipeline, concept, arguments.method, **asked, seed=arguments.seed, checkpoint=folder, progress=bars
    )
    storage.save(direction, output)
    shutil.rmtree(folder, ignore_errors=True)
    terminal.note(f"Wrote {output}.")
    terminal.result(describe.as_text(direction, output), describe.as_json(direction, output), arguments.json)


def _announcement(method: str, asked: Mapping[str, Any], defaults: Defaults) -> str:
    """One line with every setting, and which of them nobody asked for."""
    parts = []
    for key in ("images", "steps", "batch_size"):
        value = getattr(defaults, key) if asked[key] is None else asked[key]
        parts.append(f"{value:,} {_WORDS[key]}" + (" (default)" if asked[key] is None else ""))
    rate = asked["learning_rate"]
    parts.append("learning rate from the model (default)" if rate is None else f"learning rate {rate:g}")
    return f"Discovering by {method}: " + ", ".join(parts) + "."


_WORDS = {"images": "pictures", "steps": "steps", "batch_size": "pictures a step"}
