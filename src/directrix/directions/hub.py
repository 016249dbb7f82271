"""Directions on the Hugging Face hub: one repository a direction.

    direction.safetensors   the direction's file
    README.md               its model card
    card.png                the picture of its card, where there is one

Wherever a direction's file is asked for, "owner/name" or "owner/name@revision" may stand for it.
"""

from __future__ import annotations

import re
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from directrix._version import __version__
from directrix.directions import serialization
from directrix.errors import HubError

if TYPE_CHECKING:
    from directrix.directions.direction import Direction

FILE, CARD, PICTURE = "direction.safetensors", "README.md", "card.png"

_ID = re.compile(r"(?P<repository>\w[\w.-]*/\w[\w.-]*)(@(?P<revision>[\w.][\w./-]*))?")
# Endings by which people mean a file of theirs, also where it is missing.
_FILES = (".safetensors", ".pth", ".pt", ".yaml", ".yml", ".json", ".png", ".csv")
_UNREACHABLE = ("LocalEntryNotFoundError", "OfflineModeIsEnabled", "ConnectionError", "TransportError", "Timeout")


class Place(NamedTuple):
    """A repository on the hub, and the branch, tag or commit in it; None for its main branch."""

    repository: str
    revision: str | None


def place(text: str) -> Place | None:
    """The place that "owner/name" or "owner/name@revision" means; None where the text is a path."""
    match = _ID.fullmatch(text)
    if match is None or Path(match["repository"]).suffix in _FILES or Path(text).exists():
        return None
    return Place(match["repository"], match["revision"])


def locate(
    source: str | PathLike[str], revision: str | None = None, *, file: str = FILE, token: str | bool | None = None
) -> Path:
    """The file of a direction: a path as it is, `file` in a folder, or the hub's, fetched unless it is here.

    Args:
        source: a file, a folder that holds `file`, or "owner/name[@revision]" on the hub.
        revision: branch, tag or commit on the hub.
        file: its name in the folder or repository.
        token: for private repositories; None for the one that `hf auth login` kept.

    Raises:
        HubError: the repository or file is not there or cannot be reached, or a revision of a local file.
    """
    text = str(source)
    found = place(text)
    if found is None:
        if revision is not None:
            raise HubError(
                f"The revision '{revision}' was given with '{text}', which is no repository.",
                "owner/name on the Hugging Face hub.",
                "leave the revision out.",
            )
        inside = Path(text) / file
        return inside if inside.is_file() else Path(text)
    revision = revision or found.revision
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(found.repository, file, revision=revision, token=token))
    except Exception as error:
        raise _explained(error, Place(found.repository, revision), file) from error


def load(
    source: str | PathLike[str], revision: str | None = None, *, file: str = FILE, token: str | bool | None = None
) -> Direction:
    """Reads a direction from a file, a folder or the hub, and checks all of it; see `locate`.

    Raises:
        HubError: as `locate` does.
        DirectionFileError: the file is no direction, or is damaged.
    """
    return serialization.load(locate(source, revision, file=file, token=token))


def upload(
    direction: Direction,
    repository: str,
    card: str | None,
    picture: bytes | None = None,
    *,
    revision: str | None = None,
    private: bool | None = None,
    message: str | None = None,
    token: str | bool | None = None,
) -> str:
    """Puts a direction into a repository, which is made where there is none, in one commit.

    Args:
        direction: what is uploaded, as direction.safetensors.
        repository: "owner/name".
        card: README.md; None leaves the one that is there.
        picture: card.png; None leaves the one that is there.
        revision: branch to commit to, made where there is none; None for the main branch.
        private: whether a repository that is made is private; None for the owner's default.
        message: of the commit.
        token: that may write; None for the one that `hf auth login` kept.

    Returns:
        The address of the commit.

    Raises:
        HubError: no token, no right to write, or the hub cannot be reached.
    """
    found = place(repository)
    if found is None or found.revision:
        raise HubError(
            f"'{repository}' is no repository's name.",
            "owner/name, where nothing here has that path.",
            "directrix push woman.safetensors me/woman.",
        )
    from huggingface_hub import CommitOperationAdd, HfApi, get_token

    if token is False or (token in (None, True) and not get_token()):
        raise _without_token()
    contents = {FILE: serialization.to_bytes(direction), CARD: card and card.encode(), PICTURE: picture}
    api = HfApi(token=token, library_name="directrix", library_version=__version__)
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        if revision is not None:
            api.create_branch(repository, branch=revision, exist_ok=True)
        commit = api.create_commit(
            repository,
            operations=[CommitOperationAdd(name, content) for name, content in contents.items() if content is not None],
            commit_message=message or f"Upload the direction '{direction.name}'",
            revision=revision,
        )
    except Exception as error:
        raise _explained(error, Place(repository, revision), None) from error
    return str(commit.commit_url)


def _explained(error: Exception, where: Place, file: str | None) -> HubError:
    """What an error of the hub's client means.

    By the names of its classes: their homes, and which of them are network errors, differ between versions.
    """
    cause = error.__cause__
    # Older clients say that a file is not in the cache, because of what the hub answered.
    if type(error).__name__ == "LocalEntryNotFoundError" and getattr(cause, "response", None) is not None:
        error = cause if isinstance(cause, Exception) else error
    kinds = {each.__name__ for each in type(error).__mro__}
    name = f"'{where.repository}'"
    status = getattr(getattr(error, "response", None), "status_code", None)
    if kinds & {"LocalTokenNotFoundError"}:
        return _without_token()
    if kinds & {"GatedRepoError"}:
        return HubError(
            f"{name} is open only to those who accepted its terms.",
            "a token of somebody who did.",
            "accept them on its page, then `hf auth login`.",
        )
    if kinds & {"RevisionNotFoundError"}:
        return HubError(
            f"{name} has no revision '{where.revision}'.",
            "a branch, tag or commit of it.",
            "leave the revision out for its main branch.",
        )
    # Without a token the hub says 401 of what is missing and of what is private, and no more.
    if kinds & {"RepositoryNotFoundError"} or (status == 401 and file is not None):
        return HubError(
            f"There is no {name} on the hub that you may see, nor here as a file.",
            "a direction's file, or owner/name of a repository that is public or yours.",
            "check the name; for a private one `hf auth login`.",
        )
    if any(kind.endswith(_UNREACHABLE) for kind in kinds):
        return HubError(
            f"The hub cannot be reached for {name}, and it was not fetched before.",
            "a connection, or a copy in the cache.",
            "again when online; without HF_HUB_OFFLINE; or the path of a file.",
        )
    if kinds & {"EntryNotFoundError"}:
        return HubError(
            f"{name} holds no file '{file}'.",
            "a repository that `directrix push` made, or the name of the direction's file in it.",
            'Direction.from_pretrained("owner/name", file="woman.safetensors").',
        )
    if status in (401, 403):
        return HubError(
            f"The hub refuses the token for {name} ({status}).",
            "a token that may write to that owner's repositories." if file is None else "a token that may read it.",
            "`hf auth login` with such a token, or HF_TOKEN.",
        )
    lines = str(error).strip().splitlines()
    first = lines[0].rstrip(".") if lines else type(error).__name__
    if status is None:
        # No answer of the hub's at all: a full disk, a name that is none, or a file that may not be written.
        if file is None:
            return HubError(
                f"Nothing could be sent to {name}: {first}.", "owner/name on the Hugging Face hub.", "again later."
            )
        return HubError(
            f"What the hub has of {name} could not be fetched or kept: {first}.",
            "a connection, and a cache that can be written.",
            "HF_HOME=DIR for a cache elsewhere.",
        )
    return HubError(
        f"The hub answers {status} for {name}: {first}.", "owner/name on the Hugging Face hub.", "again later."
    )


def _without_token() -> HubError:
    return HubError("There is no token for the hub.", "one that may write.", "`hf auth login`, HF_TOKEN, or token=.")
