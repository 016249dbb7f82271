"""`directrix evaluate`: methods on a benchmark, from pictures to figures with intervals."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from directrix.cli import options, terminal
from directrix.errors import DirectrixError


def add(verbs: argparse._SubParsersAction) -> None:
    """Add the verb to the parser."""
    parser = verbs.add_parser(
        "evaluate",
        help="draw a benchmark's prompts by several methods, judge and measure",
        description="Draw the prompts of a benchmark by every method with the same seeds, judge every picture "
        "once, and write figures with 95 %% intervals to RUN/summary.json. An interrupted run goes on with what is "
        "missing. `directrix benchmarks` lists the benchmarks, `directrix report RUN` makes a page of the figures.",
        epilog="example: directrix evaluate emoji-occupations --method none --method fair=policy.yaml --images 10 "
        "-o run",
    )
    parser.add_argument("benchmark", metavar="BENCHMARK", help="its name, or a folder with benchmark.yaml")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="RUN", help="folder of the run")
    parser.add_argument(
        "--method",
        action="append",
        metavar="[NAME=]METHOD",
        help="'none', a policy's YAML file, or a direction's FILE[:STRENGTH]; may be given several times (default: "
        "none). Differences are those to the first one; name 'none' to hold the others against it seed by seed",
    )
    parser.add_argument(
        "--judge",
        action="append",
        metavar="JUDGE",
        help="emoji, clip, clip:CHECKPOINT, nudenet, q16:FILE; may be given several times (default: the benchmark's)",
    )
    parser.add_argument(
        "--images", type=options.positive_int, metavar="N", help="pictures a prompt (default: the benchmark's)"
    )
    parser.add_argument("--seed", type=options.whole_number, default=0, help="0 unless given; the same for all methods")
    parser.add_argument(
        "--data", metavar="TABLE", help="prompts of a benchmark that ships none: FILE.csv or OWNER/NAME[:FILE.csv]"
    )
    parser.add_argument(
        "--kind", action="append", default=[], metavar="KIND", help="only that kind of prompts; several times"
    )
    parser.add_argument(
        "--measure",
        action="append",
        default=[],
        metavar="MEASURE",
        help="fairness, harm, obedience, quality or preservation; several times (default: the benchmark's)",
    )
    parser.add_argument(
        "--limit", type=options.positive_int, metavar="PROMPTS", help="at most so many prompts, at even distances"
    )
    parser.add_argument(
        "--reference",
        metavar="DIR",
        help="pictures for FID and KID (default: the unsteered model's, with the next seed)",
    )
    drawing = parser.add_argument_group("drawing")
    drawing.add_argument(
        "--steps", type=options.positive_int, metavar="N", help="denoising steps (default: the model's)"
    )
    drawing.add_argument("--guidance-scale", type=float, metavar="X", help="default: the model's")
    drawing.add_argument("--batch-size", type=options.positive_int, default=8, metavar="N", help="default: 8")
    options.add_model(parser)
    options.add_json(parser)
    parser.set_defaults(run=run, after_interrupt="Run the same command again: what is there is kept.")


def run(arguments: argparse.Namespace) -> None:
    """Evaluate and print the means."""
    from directrix.measurement import benchmarks

    benchmark = benchmarks.load(arguments.benchmark, arguments.data).part(arguments.kind, arguments.limit)
    benchmark = benchmark.measuring(arguments.measure)
    output = options.writable_folder(arguments.output)
    methods = _methods(arguments.method or ["none"])

    from directrix.measurement.evaluation import evaluate, named_judges
    from directrix.progress import bars

    summary = evaluate(
        options.load_model(arguments),
        benchmark,
        methods,
        named_judges(arguments.judge or [benchmark.judge], benchmark),
        arguments.images or benchmark.images,
        arguments.seed,
        output,
        reference=arguments.reference,
        num_inference_steps=arguments.steps,
        guidance_scale=arguments.guidance_scale,
        batch_size=arguments.batch_size,
        progress=bars,
    )
    for what, why in summary["not_measured"].items():
        terminal.note(f"Not measured: {what}, since {why}.")
    terminal.result("\n".join([*_table(summary), f"\n{output / 'summary.json'}"]), summary, arguments.json)


def _methods(texts: Sequence[str]) -> dict[str, Any]:
    """Interventions by name; a name is what stands before "=", or the file's name without its ending."""
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, rest = text.partition("=")
        if not equals or Path(text).exists():
            name, rest = "", text
        name, method = _method(name.strip(), rest)
        if name in found:
            raise DirectrixError(f"Two methods are named '{name}'.", "a name for each.", f"--method NAME={rest}")
        found[name] = method
    return found


def _method(name: str, text: str) -> tuple[str, Any]:
    if text == "none":
        return name or text, ()
    path = Path(text)
    if path.suffix in (".yaml", ".yml"):
        from directrix.policies.policy import Policy

        return name or path.stem, Policy.load(path)
    file = options.concept_file(text)
    from directrix.directions import hub

    if not file.path.exists() and not file.path.suffix and hub.place(str(file.path)) is None:
        raise DirectrixError(
            f"There is no method '{text}'.", "'none', a policy's YAML file, or FILE[:STRENGTH].", "check the path."
        )
    from directrix.directions.direction import Direction
    from directrix.interventions.steering import Steering

    direction = Direction.load(options.direction_file(file.path))
    strength = direction.strengths.default if file.strength is None else file.strength
    stem = file.path.stem if file.strength is None else f"{file.path.stem} {file.strength:g}"
    return name or stem, Steering({direction: strength})


def _table(summary: Mapping[str, Any]) -> list[str]:
    """The means of all metrics, a line each, methods side by side."""
    methods = list(summary["methods"])
    metrics = list(dict.fromkeys(metric for figures in summary["methods"].values() for metric in figures))
    cells = {metric: [_cell(summary["methods"][method].get(metric)) for method in methods] for metric in metrics}
    wide = max(map(len, metrics), default=0)
    columns = [max(len(name), *(len(row[place]) for row in cells.values()), 0) for place, name in enumerate(methods)]
    head = " " * wide + "".join(f"  {name:>{columns[place]}}" for place, name in enumerate(methods))
    return [head] + [
        f"{metric:{wide}}" + "".join(f"  {text:>{columns[place]}}" for place, text in enumerate(row))
        for metric, row in cells.items()
    ]


def _cell(figure: Mapping[str, Any] | None) -> str:
    mean = figure if figure is None or "value" in figure else figure.get("mean")
    return "-" if mean is None else f"{mean['value']:.3f} [{mean['low']:.3f}, {mean['high']:.3f}]"
