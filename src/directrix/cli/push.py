"""`directrix push FILE OWNER/NAME`: put a direction on the Hugging Face hub, with a model card."""

from __future__ import annotations

from directrix.cli import options
from directrix.cli.app import Result, verb


@verb(
    "push",
    "The commit is there or not; it has all files or none.",
    "example: directrix push woman.safetensors me/woman; directrix generate --direction me/woman ...",
)
def push(
    file: options.DirectionFile,
    repository: options.Word,
    revision: str | None = None,
    private: bool = False,
    message: str | None = None,
    license: str | None = None,
    no_card: bool = False,
) -> Result:
    """Put a direction on the Hugging Face hub, with a model card.

    The card is made from what the file says, its measured figures among it, and the image that `directrix card` wrote
    beside it. The token is that of `hf auth login` or HF_TOKEN.

    Args:
        repository (OWNER/NAME): Made where there is none.
        revision (BRANCH): Branch to commit to. Default: the main one.
        private: Make the repository private, if it is made.
        message: Of the commit.
        license (NAME): For the model card, such as apache-2.0.
        no_card: Leave README.md as it is on the hub.
    """
    from directrix.directions.direction import Direction

    path = options.direction_file(file)
    image = path.with_suffix(".png")
    url = Direction.load(path).push_to_hub(
        repository,
        revision=revision,
        private=private or None,
        message=message,
        license=license,
        card=not no_card,
        picture=image.read_bytes() if image.is_file() else None,
    )
    return Result(f"{file} is in {repository}: {url}", {"repository": repository, "commit": url})
