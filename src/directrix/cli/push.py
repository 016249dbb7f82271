"""`directrix push FILE OWNER/NAME`: put a direction on the Hugging Face hub, with a model card."""

from __future__ import annotations

import argparse

from directrix.cli import options, terminal


def add(verbs: argparse._SubParsersAction) -> None:
    """Add the verb to the parser."""
    parser = verbs.add_parser(
        "push",
        help="put a direction on the Hugging Face hub, with a model card",
        description="Upload a direction's file with a model card made from what it says, its measured figures among "
        "it, and the picture that `directrix card` wrote beside it. The token is that of `hf auth login` or HF_TOKEN.",
        epilog="example: directrix push woman.safetensors me/woman; directrix generate --concept me/woman ...",
    )
    options.add_direction(parser)
    parser.add_argument("repository", metavar="OWNER/NAME", help="made where there is none")
    parser.add_argument("--revision", metavar="BRANCH", help="branch to commit to (default: the main one)")
    parser.add_argument("--private", action="store_true", default=None, help="if the repository is made")
    parser.add_argument("--message", metavar="TEXT", help="of the commit")
    parser.add_argument("--license", metavar="NAME", help="for the model card, such as apache-2.0")
    parser.add_argument("--no-card", action="store_true", help="leave README.md as it is on the hub")
    options.add_json(parser)
    parser.set_defaults(run=run, after_interrupt="The commit is there or not; it holds all files or none.")


def run(arguments: argparse.Namespace) -> None:
    """Upload it and print the address of the commit."""
    from directrix.directions.direction import Direction

    file = options.direction_file(arguments.file)
    picture = file.with_suffix(".png")
    url = Direction.load(file).push_to_hub(
        arguments.repository,
        revision=arguments.revision,
        private=arguments.private,
        message=arguments.message,
        license=arguments.license,
        card=not arguments.no_card,
        picture=picture.read_bytes() if picture.is_file() else None,
    )
    terminal.result(
        f"{arguments.file} is in {arguments.repository}: {url}",
        {"repository": arguments.repository, "commit": url},
        arguments.json,
    )
