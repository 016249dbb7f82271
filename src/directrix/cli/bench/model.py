"""`directrix bench model`: what discovery and steering cost on a denoiser of true size, with random weights."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from directrix.cli import options, terminal


def add(kinds: argparse._SubParsersAction) -> None:
    """Add the kind of measurement to the parser."""
    kind = kinds.add_parser(
        "model",
        help="a discovery step and a steered step on a denoiser of true size, with random weights",
        description=__doc__,
    )
    kind.add_argument(
        "--config", required=True, metavar="NAME", help="sd14, sd21, sdxl, pixart, sd3 or flux: its public size"
    )
    kind.add_argument("--device", metavar="NAME", help="as PyTorch names it (default: a GPU, else the CPU)")
    kind.add_argument(
        "--dtype",
        choices=("float32", "float16", "bfloat16"),
        default="float32",
        help="precision of the weights (default: float32)",
    )
    kind.add_argument("--repeats", type=options.positive_int, default=3, metavar="N", help="of each step (default: 3)")
    kind.add_argument(
        "--strengths",
        type=options.whole_number,
        default=20,
        metavar="N",
        help="to steer a compiled denoiser with while its graphs are counted; 0 for none (default: 20)",
    )
    kind.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="also put the figures there, beside other configurations'"
    )
    options.add_json(kind)
    kind.set_defaults(run=run, after_interrupt="Nothing was written.")


def run(arguments: argparse.Namespace) -> None:
    """Measure, print, and put the figures with those of other configurations."""
    output = None if arguments.output is None else options.writable_file(arguments.output)
    others = {} if output is None else _others(output)
    import torch

    from directrix.experiments.cost.full_size import full_size
    from directrix.experiments.cost.memory_tables import full_size_table
    from directrix.models.files import write_atomically
    from directrix.progress import bars

    measured = full_size(
        arguments.config,
        arguments.device,
        getattr(torch, arguments.dtype),
        repeats=arguments.repeats,
        strengths=arguments.strengths,
        progress=bars,
    )
    figures = {"configs": {arguments.config: measured}}
    if output is not None:
        together = {"configs": {**others, **figures["configs"]}}
        write_atomically(output, (json.dumps(together, indent=2) + "\n").encode())
    terminal.result("\n".join(full_size_table(figures)), figures, arguments.json)


def _others(output: Path) -> Mapping[str, Any]:
    """What the file holds already."""
    from directrix.errors import OutputError

    if not output.is_file():
        return {}
    try:
        return dict(json.loads(output.read_text(encoding="utf-8"))["configs"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OutputError(
            f"{output} holds no figures of this command ({type(error).__name__}).",
            "a file that `directrix bench model` wrote, or a new one.",
            "choose another name with -o.",
        ) from error
