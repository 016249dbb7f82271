"""`directrix policy FILE`: check a policy and say what it does, or write one to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from directrix.cli import options
from directrix.cli.app import Result, verb
from directrix.errors import OutputError, PolicyError


@verb("policy", epilog="example: directrix policy --starter -o policy.yaml")
def policy(
    file: Annotated[Path | None, typer.Argument()] = None,
    starter: bool = False,
    output: options.Output = Path("policy.yaml"),
) -> Result:
    """Check a policy for fair and safe images.

    The policy file and its directions are checked, and what it does is said in plain words. `directrix generate
    --policy FILE` draws by it.

    Args:
        file: A YAML file.
        starter: Write a policy to begin with, with comments.
        output: Where --starter writes: a file, or a folder.
    """
    if starter == (file is not None):
        raise PolicyError(
            "Nothing to do is named." if file is None else "Both FILE and --starter are given.",
            "a policy file, or --starter.",
            "directrix policy policy.yaml, or directrix policy --starter -o policy.yaml.",
        )
    from directrix.models.files import write_atomically
    from directrix.policies import policy as policies

    if file is None:
        path = output / "policy.yaml" if output.is_dir() else output
        if path.exists():
            raise OutputError(f"'{path}' exists.", "a new file.", "another name with -o.")
        write_atomically(options.writable_file(path), policies.starter().encode())
        return Result(f"A starter policy is in {path}", {"file": str(path)})
    found = policies.Policy.load(file)
    lines = found.lines()
    return Result("\n".join(lines), {"file": str(file), "does": lines, "policy": dict(found.config)})
