"""`directrix bench`: measurements on the embedded model, and of what larger ones cost.

`occupations`: what a method's directions do to all twenty occupations. `discovery`: the methods side by side.
`evaluation`: what `directrix evaluate` costs beyond drawing. `model`: a denoiser of true size with random weights.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from directrix.cli import options, terminal
from directrix.cli.bench import model


def add(verbs: argparse._SubParsersAction) -> None:
    """Add the verb to the parser."""
    parser = verbs.add_parser("bench", help="measure a method, or what a model costs", description=__doc__)
    kinds = parser.add_subparsers(dest="kind", metavar="KIND", required=True)
    kind = kinds.add_parser(
        "occupations", help="discover woman and man, steer all twenty occupations at strength 1, judge"
    )
    kind.add_argument("--method", default="reconstruction", help="of discovery (default: reconstruction, the paper's)")
    kind.add_argument("--images", type=options.positive_int, metavar="N", help="pictures to learn from")
    kind.add_argument("--steps", type=options.positive_int, metavar="N", help="steps of the optimiser")
    kind.add_argument(
        "-n", "--images-per-occupation", type=options.positive_int, default=20, metavar="N", help="default: 20"
    )
    kind.add_argument("--seed", type=options.whole_number, default=0, help="0 unless given")
    _add_common(kind, occupations)
    kind = kinds.add_parser("discovery", help="every method on the same concepts: effect, leakage, cost")
    kind.add_argument("--method", action="append", metavar="NAME", help="one to compare, several times (default: all)")
    kind.add_argument(
        "--seeds", type=options.positive_int, default=3, metavar="N", help="of each discovery (default: 3)"
    )
    kind.add_argument("-n", "--images-per-prompt", type=options.positive_int, default=2, metavar="N", help="default: 2")
    kind.add_argument(
        "--images-of-directions",
        type=options.whole_number,
        default=20,
        metavar="N",
        help="pictures of each prompt that the default's directions are tried on; 0 for none (default: 20)",
    )
    _add_common(kind, discovery)
    model.add(kinds)
    _add_evaluation(kinds.add_parser("evaluation", help="what evaluate costs beyond drawing, as a ratio"))


def _add_evaluation(kind: argparse.ArgumentParser) -> None:
    kind.add_argument(
        "-n", "--images-per-prompt", type=options.positive_int, default=10, metavar="N", help="default: 10"
    )
    kind.add_argument(
        "--limit", type=options.positive_int, metavar="PROMPTS", help="of emoji-occupations (default: all)"
    )
    kind.add_argument("--batch-size", type=options.positive_int, default=16, metavar="N", help="default: 16")
    kind.add_argument("--repeats", type=options.positive_int, default=3, metavar="N", help="of both (default: 3)")
    kind.add_argument("-o", "--output", type=Path, metavar="FILE", help="also write the figures there, as JSON")
    options.add_json(kind)
    kind.set_defaults(run=evaluation, after_interrupt="Nothing was written.")


def _add_common(kind: argparse.ArgumentParser, run: Callable[[argparse.Namespace], None]) -> None:
    kind.add_argument(
        "--runs",
        type=Path,
        default=Path("runs"),
        metavar="DIR",
        help="checkpoints, directions and pictures (default: runs)",
    )
    kind.add_argument("-o", "--output", type=Path, metavar="FILE", help="also write the figures there, as JSON")
    options.add_json(kind)
    kind.set_defaults(run=run, after_interrupt="Run the same command again: it goes on where it stopped.")


def occupations(arguments: argparse.Namespace) -> None:
    """Measure and print."""
    runs = options.writable_folder(arguments.runs)
    output = None if arguments.output is None else options.writable_file(arguments.output)
    from directrix import models
    from directrix.experiments.methods.occupations import occupations as measure
    from directrix.experiments.tables import occupations_table
    from directrix.measurement.judges.emoji import EmojiJudge
    from directrix.progress import bars

    figures = measure(
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
    _write(figures, output)
    terminal.result("\n".join(occupations_table(figures)), figures, arguments.json)


def discovery(arguments: argparse.Namespace) -> None:
    """Measure and print."""
    runs = options.writable_folder(arguments.runs)
    output = None if arguments.output is None else options.writable_file(arguments.output)
    from directrix import models
    from directrix.errors import DirectrixError, suggestion
    from directrix.experiments.methods.compare import discovery as measure
    from directrix.experiments.methods.tasks import CONTENDERS
    from directrix.experiments.tables import directions_table, discovery_table
    from directrix.measurement.judges.emoji import EmojiJudge
    from directrix.measurement.reports.charts import cost_curve
    from directrix.models.files import write_atomically
    from directrix.progress import bars

    names = arguments.method or list(CONTENDERS)
    for name in names:
        if name not in CONTENDERS:
            raise DirectrixError(
                f"There is no method {name!r} to compare.", "the name of one.", suggestion(name, CONTENDERS)
            )
    figures = measure(
        models.load("emoji"),
        EmojiJudge.load(),
        runs,
        contenders={name: CONTENDERS[name] for name in names},
        seeds=range(arguments.seeds),
        images_per_prompt=arguments.images_per_prompt,
        images_of_directions=arguments.images_of_directions,
        progress=bars,
    )
    _write(figures, output)
    if output is not None:
        picture = cost_curve(figures["budgets"], "share of women among twenty occupations, at strength 1 as found")
        write_atomically(output.with_suffix(".svg"), picture.encode())
    lines = discovery_table(figures)
    if "directions" in figures:
        lines += ["", *directions_table(figures)]
    terminal.result("\n".join(lines), figures, arguments.json)


def evaluation(arguments: argparse.Namespace) -> None:
    """Time and print."""
    output = None if arguments.output is None else options.writable_file(arguments.output)
    from directrix import models
    from directrix.experiments.cost.evaluation_overhead import overhead
    from directrix.measurement import benchmarks
    from directrix.measurement.judges.emoji import EmojiJudge
    from directrix.progress import bars

    figures = overhead(
        models.load("emoji"),
        EmojiJudge.load(),
        benchmarks.load("emoji-occupations").part(limit=arguments.limit),
        images=arguments.images_per_prompt,
        batch_size=arguments.batch_size,
        repeats=arguments.repeats,
        progress=bars,
    )
    _write(figures, output)
    text = (
        f"{figures['pictures']:,} pictures: {figures['bare_seconds']:.1f} s by the bare pipeline, "
        f"{figures['evaluate_seconds']:.1f} s evaluated, {figures['ratio']['value']:.3f} times as long "
        f"[{figures['ratio']['low']:.3f}, {figures['ratio']['high']:.3f}]"
    )
    terminal.result(text, figures, arguments.json)


def _write(figures: Mapping[str, Any], output: Path | None) -> None:
    from directrix.models.files import write_atomically

    if output is not None:
        write_atomically(output, (json.dumps(figures, indent=2) + "\n").encode())
