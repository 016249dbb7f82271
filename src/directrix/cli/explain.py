"""`directrix explain PROMPT ...`: what the responsible wording of a prompt switches on."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from directrix.cli import options, terminal
from directrix.errors import DirectrixError

if TYPE_CHECKING:
    from directrix.policies.wording.types import Understanding


def add(verbs: argparse._SubParsersAction) -> None:
    """Add the verb to the parser."""
    parser = verbs.add_parser(
        "explain",
        help="say what is understood of a prompt's responsible wording",
        description="Say which phrases of a prompt are understood as responsible wording, what each switches "
        "on, what the model is told instead, and what was not understood. Nothing is drawn.",
        epilog='example: directrix explain "a doctor of any gender, without a cigarette"',
    )
    parser.add_argument("prompts", nargs="*", metavar="PROMPT", help="in quotation marks")
    parser.add_argument(
        "--score",
        type=Path,
        metavar="FILE",
        help="in place of prompts: a CSV file with the columns prompt and expected ('balance:gender;absent:weapon'); "
        "prints precision and recall, and every prompt that is read otherwise",
    )
    parser.add_argument(
        "--phrases",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="YAML file of phrases, added to the shipped ones; may be given several times",
    )
    parser.add_argument(
        "--reader", metavar="NAME", help="an installed reader in place of the grammar, such as a language model"
    )
    options.add_json(parser)
    parser.set_defaults(run=run, after_interrupt="Nothing was changed.")


def run(arguments: argparse.Namespace) -> None:
    """Print what is understood of each prompt."""
    if bool(arguments.prompts) == (arguments.score is not None):
        raise DirectrixError(
            "There is no prompt." if arguments.score is None else "Prompts were given together with '--score'.",
            "prompts in quotation marks, or '--score FILE'.",
            'directrix explain "a judge of any gender".',
        )
    from directrix.policies.wording.phrases import Phrases
    from directrix.policies.wording.understand import understand

    phrases = Phrases.load(*arguments.phrases)
    if arguments.score is not None:
        from directrix.experiments.methods.wording_accuracy import wording

        figures = wording(arguments.score, phrases, arguments.reader)
        terminal.result(_score(figures), figures, arguments.json)
        return
    found = [understand(prompt, phrases, arguments.reader) for prompt in arguments.prompts]
    data: dict[str, Any] = {"prompts": [_as_json(each) for each in found]}
    terminal.result("\n\n".join(_as_text(each) for each in found), data, arguments.json)


def _score(figures: Mapping[str, Any]) -> str:
    lines = []
    for row in figures["wrong"]:
        missed, extra = (", ".join(row[key]) or "nothing" for key in ("missed", "extra"))
        lines.append(f"{row['prompt']}\n  missed {missed}; extra {extra}")
    for name in ("precision", "recall", "silent"):
        figure = figures[name]
        shown = "-" if figure is None else "{value:.3f} [{low:.3f}, {high:.3f}], n = {n}".format(**figure)
        lines.append(f"{name:9}  {shown}")
    return "\n".join(lines)


def _as_json(understanding: Understanding) -> dict[str, Any]:
    return {
        "prompt": understanding.prompt,
        "switches": [asdict(each) for each in understanding.switches],
        "told": understanding.rewritten,
        "unknown": list(understanding.unknown),
    }


def _as_text(understanding: Understanding) -> str:
    meanings: dict[str, list[str]] = {}
    for each in understanding.switches:
        meaning = f"{'evens' if each.kind == 'balance' else 'keeps out'} {each.name}"
        if meaning not in meanings.setdefault(f'"{each.phrase}"', []):
            meanings[f'"{each.phrase}"'].append(meaning)
    rows = [(phrase, ", ".join(listed)) for phrase, listed in meanings.items()]
    rows += [(f'"{phrase}"', "not understood, changes nothing") for phrase in understanding.unknown]
    if not rows:
        rows = [("no responsible wording", "changes nothing")]
    rows.append(("the model is told", f'"{understanding.rewritten}"'))
    width = max(len(row[0]) for row in rows)
    return "\n".join([understanding.prompt, *(f"  {left:{width}}  {right}" for left, right in rows)])
