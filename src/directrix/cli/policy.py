"""`directrix policy | explain`: what a policy does, and what the responsible wording of a prompt switches on."""

from __future__ import annotations

import os
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import directrix
from directrix.cli import options
from directrix.cli.app import Result, reading, refuse, verb

if TYPE_CHECKING:
    from directrix.policies.gates.gate import Decision
    from directrix.policies.wording.types import Understanding


@verb("policy")
def policy(
    file: Annotated[Path | None, typer.Argument()] = None,
    starter: bool = False,
    output: options.Output = Path("policy.yaml"),
) -> Result:
    """Check a policy for fair and safe images."""
    refuse(
        starter == (file is not None),
        "Nothing to do is named." if file is None else "Both FILE and --starter are given.",
        "a policy file, or --starter.",
        "directrix policy policy.yaml, or directrix policy --starter -o policy.yaml.",
    )
    if file is not None:
        missing = _missing(file)
        if missing:
            lines = [
                f"{file} can be read. Directions that it names are not there yet. Find them with",
                *(f"  {each}" for each in missing),
            ]
            return Result("\n".join(lines), {"file": str(file), "missing": missing})
        found = directrix.Policy.load(file)
        lines = found.lines()
        return Result("\n".join(lines), {"file": str(file), "does": lines, "policy": dict(found.config)})
    from directrix.models.files import write_atomically
    from directrix.policies import policy as policies

    path = output / "policy.yaml" if output.is_dir() else output
    refuse(path.exists(), f"'{path}' exists.", "a new file.", "another name with -o.")
    options.writable_files(path)
    write_atomically(path, policies.starter().encode())
    return Result(f"A starter policy is in {path}", {"file": str(path)})


def _missing(file: Path) -> list[str]:
    """The commands that find the directions of a policy none of whose folders holds any; [] where there are some.

    Raises PolicyError where the file is no policy.
    """
    from directrix.concept import ATTRIBUTE_SETS
    from directrix.errors import PolicyError
    from directrix.policies import policy_file
    from directrix.reading import yaml_text
    from directrix.reading.source import Source

    source = Source(file, PolicyError, "a policy file.", "`directrix policy --starter` writes one to begin with.")
    content = policy_file.PolicyFile.of(yaml_text.read(source), str(file))
    given = content.directions
    folders = [given] if isinstance(given, str) else list(given) if isinstance(given, list) else []
    if not folders or not all(isinstance(each, str) and each.endswith(("/", os.sep)) for each in folders):
        return []
    places = [file.parent / Path(each).expanduser() for each in folders]
    if any(place.is_file() or any(place.glob("*.safetensors")) for place in places):
        return []
    into = places[0]
    commands = [
        f"directrix discover --attribute {shlex.quote(name)} -o {shlex.quote(str(into))}"
        for name in content.fair or ()
        if name in ATTRIBUTE_SETS
    ]
    safe = content.safe if isinstance(content.safe, list) else (content.safe.always or []) if content.safe else []
    for name in safe:
        harm = name.removeprefix("no ")
        what = shlex.join(["--name", name, "--neutral", "a person in a dark alley", "--negative", f"a {harm}"])
        commands.append(f"directrix discover {what} -o {shlex.quote(str(into / name) + '.safetensors')}")
    return commands


@verb("explain")
def explain(
    prompts: Annotated[list[str] | None, typer.Argument()] = None,
    score: Path | None = None,
    phrases: list[Path] | None = None,
    reader: str | None = None,
) -> Result:
    """Say what is understood of a prompt's responsible wording, and whether a policy's `fair` would steer it."""
    refuse(
        bool(prompts) == (score is not None),
        "There is no prompt." if score is None else "Prompts were given together with '--score'.",
        "prompts in quotation marks, or '--score FILE'.",
        'directrix explain "a judge of any gender".',
    )
    from directrix.policies.wording.phrases import Phrases

    known = Phrases.load(*phrases or ())
    if score is not None:
        from directrix.experiments.methods.wording_accuracy import wording

        figures = wording(score, known, reader)
        return Result(reading("wording", figures), figures)
    found = [directrix.understand(prompt, known, reader) for prompt in prompts or ()]
    return Result("\n\n".join(map(_as_text, found)), {"prompts": [_as_json(each) for each in found]})


def _as_json(understanding: Understanding) -> dict[str, Any]:
    return {
        "prompt": understanding.prompt,
        "switches": [asdict(each) for each in understanding.switches],
        "rewritten_prompt": understanding.rewritten,
        "told": understanding.rewritten,  # its name in version 0.1; goes with version 0.3
        "unknown": list(understanding.unknown),
        "gates": {name: asdict(each) for name, each in _gates(understanding.prompt).items()},
    }


def _gates(prompt: str) -> dict[str, Decision]:
    """What a policy's `fair` would do to the prompt, by attribute."""
    from directrix.concept import ATTRIBUTE_SETS
    from directrix.policies.gates.gate import Gate

    sets = {name: [each.name for each in attribute.concepts] for name, attribute in ATTRIBUTE_SETS.items()}
    return Gate().decide(prompt, sets)


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
    rows += [(f"fair {name}", str(each)) for name, each in _gates(understanding.prompt).items()]
    rows.append(("the model is given", f'"{understanding.rewritten}"'))
    width = max(len(row[0]) for row in rows)
    return "\n".join([understanding.prompt, *(f"  {left:{width}}  {right}" for left, right in rows)])
