"""`directrix bench occupations`: what a method's directions do to all twenty occupations of the embedded model."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from directrix.cli import options, terminal


def add(verbs: argparse._SubParsersAction) -> None:
    """Add the verb to the parser."""
    parser = verbs.add_parser("bench", help="measure a method on the embedded model", description=__doc__)
    kinds = parser.add_subparsers(dest="kind", metavar="KIND", required=True)
    kind = kinds.add_parser(
        "occupations", help="discover woman and man, steer all twenty occupations at strength 1, judge"
    )
    kind.add_argument("--method", default="reconstruction", help="reconstruction (default) or distillation")
    kind.add_argument("--images", type=options.positive_int, metavar="N", help="pictures to learn from")
    kind.add_argument("--steps", type=options.positive_int, metavar="N", help="steps of the optimiser")
    kind.add_argument(
        "-n",
        "--images-per-occupation",
        type=options.positive_int,
        default=20,
        metavar="N",
        help="default: 20",
    )
    kind.add_argument("--seed", type=options.whole_number, default=0, help="0 unless given")
    kind.add_argument(
        "--runs",
        type=Path,
        default=Path("runs"),
        metavar="DIR",
        help="checkpoints, directions and pictures (default: runs)",
    )
    kind.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="also write the figures there, as JSON"
    )
    options.add_json(kind)
    kind.set_defaults(run=run, after_interrupt="Run the same command again: it goes on where it stopped.")


def run(arguments: argparse.Namespace) -> None:
    """Measure and print."""
    runs = options.writable_folder(arguments.runs)
    output = None if arguments.output is None else options.writable_file(arguments.output)
    from directrix import models
    from directrix.judges.emoji import EmojiJudge
    from directrix.progress import bars
    from directrix.report.occupations import occupations
    from directrix.report.tables import occupations_table
    from directrix.storage import write_atomically

    figures = occupations(
        models.load("emoji"),
        EmojiJudge.load(),
        runs,
        method=arguments.method,
        images_per_occupation=arguments.images_per_occupation,
        seed=arguments.seed,
        progress=bars,
        images=arguments.images,
        steps=arguments.steps,
    )
    if output is not None:
        write_atomically(output, (json.dumps(figures, indent=2) + "\n").encode())
    terminal.result("\n".join(occupations_table(figures)), figures, arguments.json)
