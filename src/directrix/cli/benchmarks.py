"""`directrix benchmarks`: what `directrix evaluate` can be asked for."""

from __future__ import annotations

import argparse

from directrix.cli import options, terminal


def add(verbs: argparse._SubParsersAction) -> None:
    """Add the verb to the parser."""
    parser = verbs.add_parser(
        "benchmarks",
        help="list the benchmarks in the package",
        description="List the benchmarks in the package: how many prompts, of which kinds, and what is measured.",
    )
    options.add_json(parser)
    parser.set_defaults(run=run, after_interrupt="Nothing was changed.")


def run(arguments: argparse.Namespace) -> None:
    """Print one paragraph a benchmark."""
    from directrix.measurement.benchmarks import shipped

    found = [benchmark.as_dict() for benchmark in shipped()]
    paragraphs = []
    for each in found:
        kinds = ", ".join(f"{count} {kind}" for kind, count in each["kinds"].items())
        size = f"{each['prompts']} prompts x {each['images']} pictures" if each["prompts"] else "prompts from --data"
        paragraphs.append(
            f"{each['name']}  (version {each['version']}, {each['licence']})\n"
            f"  {each['description']}\n"
            f"  {size}{f' ({kinds})' if kinds else ''}; measures {', '.join(each['measures'])}; judge: {each['judge']}"
        )
    terminal.result("\n\n".join(paragraphs), {"benchmarks": found}, arguments.json)
