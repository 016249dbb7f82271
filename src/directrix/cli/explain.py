"""`directrix explain PROMPT ...`: what the responsible wording of a prompt switches on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from directrix.cli.app import Result, verb
from directrix.errors import DirectrixError

if TYPE_CHECKING:
    from directrix.policies.wording.types import Understanding


@verb("explain", epilog='example: directrix explain "a doctor of any gender, without a cigarette"')
def explain(
    prompts: Annotated[list[str] | None, typer.Argument()] = None,
    score: Path | None = None,
    phrases: list[Path] | None = None,
    reader: str | None = None,
) -> Result:
    """Say what is understood of a prompt's responsible wording.

    Which phrases are understood, what each switches on, what the model is given instead, and what was not understood.
    Nothing is drawn.

    Args:
        prompts (PROMPT): In quotation marks.
        score: In place of prompts: a CSV file with the columns prompt and expected ('balance:gender;absent:weapon') for
            precision and recall, and every prompt that is read otherwise.
        phrases: YAML file of phrases, added to the shipped ones; may be given several times.
        reader (NAME): An installed reader in place of the grammar, such as a language model.
    """
    if bool(prompts) == (score is not None):
        raise DirectrixError(
            "There is no prompt." if score is None else "Prompts were given together with '--score'.",
            "prompts in quotation marks, or '--score FILE'.",
            'directrix explain "a judge of any gender".',
        )
    from directrix.policies.wording.phrases import Phrases
    from directrix.policies.wording.understand import understand

    known = Phrases.load(*phrases or ())
    if score is not None:
        from directrix.experiments.methods.wording_accuracy import wording

        figures = wording(score, known, reader)
        return Result(_score(figures), figures)
    found = [understand(prompt, known, reader) for prompt in prompts or ()]
    return Result("\n\n".join(map(_as_text, found)), {"prompts": [_as_json(each) for each in found]})


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
        "rewritten_prompt": understanding.rewritten,
        "told": understanding.rewritten,  # its name in version 0.1; goes with version 0.3
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
    rows.append(("the model is given", f'"{understanding.rewritten}"'))
    width = max(len(row[0]) for row in rows)
    return "\n".join([understanding.prompt, *(f"  {left:{width}}  {right}" for left, right in rows)])
