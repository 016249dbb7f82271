"""`directrix demo`: the whole method in minutes, on one page."""

from __future__ import annotations

import argparse
from pathlib import Path

from directrix.cli import options, terminal


def add(verbs: argparse._SubParsersAction) -> None:
    """Add the verb to the parser."""
    parser = verbs.add_parser(
        "demo",
        help="see it work: six occupations before and after, on one page, in minutes",
        description="On the embedded model: find gender and skin tone, draw six occupations unsteered and "
        "steered, judge "
        "all pictures, and write index.html with everything inside, summary.json and the directions.",
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("demo"), metavar="DIR", help="default: demo")
    parser.add_argument("--images", type=options.positive_int, default=20, metavar="N", help="a prompt (default: 20)")
    parser.add_argument("--seed", type=options.whole_number, default=0, help="0 unless given")
    options.add_json(parser)
    parser.set_defaults(run=run, after_interrupt="The page is written at the end; run the same command again.")


def run(arguments: argparse.Namespace) -> None:
    """Run the demo and say where the page is."""
    output = options.writable_folder(arguments.output)
    from directrix.experiments.demo import demo
    from directrix.measurement.metrics import Interval
    from directrix.progress import bars

    summary = demo(output, images_per_prompt=arguments.images, seed=arguments.seed, progress=bars)

    def figure(side: str, attribute: str) -> str:
        found = summary[side]["deviation_ratio"][attribute]
        return str(Interval(**found)) if found else "not scored"

    lines = [f"{'':28}{'unsteered':>20}{'steered':>20}"]
    for attribute in ("gender", "tone"):
        lines.append(f"{f'deviation ratio, {attribute}':28}" + "".join(f"{figure(s, attribute):>20}" for s in _SIDES))
    accuracy = (str(Interval(**summary[side]["subject_accuracy"])) for side in _SIDES)
    lines.append(f"{'subject accuracy':28}" + "".join(f"{value:>20}" for value in accuracy))
    lines.append(f"{summary['seconds']:.0f} s. Open {output / 'index.html'}")
    terminal.result("\n".join(lines), summary, arguments.json)


_SIDES = ("unsteered", "steered")
