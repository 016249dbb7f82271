"""`directrix policy FILE`: check a policy and say what it does, or write one to begin with."""

from __future__ import annotations

import argparse
from pathlib import Path

from directrix.cli import options, terminal
from directrix.errors import OutputError, PolicyError


def add(verbs: argparse._SubParsersAction) -> None:
    """Add the verb to the parser."""
    parser = verbs.add_parser(
        "policy",
        help="check a policy for fair and safe pictures",
        description="Check a policy file and its directions, and say in plain words what it does. "
        "`directrix generate --policy FILE` draws by it.",
        epilog="example: directrix policy --starter -o policy.yaml",
    )
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help="a YAML file")
    parser.add_argument("--starter", action="store_true", help="write a policy to begin with, with comments")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("policy.yaml"),
        metavar="FILE",
        help="where --starter writes: a file, or a folder (default: policy.yaml)",
    )
    options.add_json(parser)
    parser.set_defaults(run=run, after_interrupt="Nothing was changed.")


def run(arguments: argparse.Namespace) -> None:
    """Print what the policy does, or write the starter."""
    if arguments.starter == (arguments.file is not None):
        raise PolicyError(
            "Nothing to do is named." if arguments.file is None else "Both FILE and --starter are given.",
            "a policy file, or --starter.",
            "directrix policy policy.yaml, or directrix policy --starter -o policy.yaml.",
        )
    from directrix.policies.policy import Policy, starter

    if arguments.starter:
        path = arguments.output / "policy.yaml" if arguments.output.is_dir() else arguments.output
        if path.exists():
            raise OutputError(f"'{path}' exists.", "a new file.", "another name with -o.")
        from directrix.models.files import write_atomically

        write_atomically(options.writable_file(path), starter().encode())
        terminal.result(f"A starter policy is in {path}", {"file": str(path)}, arguments.json)
        return
    policy = Policy.load(arguments.file)
    lines = policy.lines()
    data = {"file": str(arguments.file), "does": lines, "policy": dict(policy.config)}
    terminal.result("\n".join(lines), data, arguments.json)
