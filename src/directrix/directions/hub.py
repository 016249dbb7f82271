"""The Hugging Face hub: one repository a direction.

    direction.safetensors   the direction's file
    README.md               its model card
    card.png                the picture of its card, where there is one

Wherever a direction's file is asked for, "owner/name" or "owner/name@revision" may stand for it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from directrix import __version__
from directrix.errors import HubError, first_line
from directrix.models import hub_access

FILE, CARD, PICTURE = "direction.safetensors", "README.md", "card.png"

_ID = re.compile(r"(?P<repository>\w[\w.-]*/\w[\w.-]*)(@(?P<revision>[\w.][\w./-]*))?")
# Endings by which people mean a file of theirs, also where it is missing.
_FILES = (".safetensors", ".pth", ".pt", ".yaml", ".yml", ".json", ".png", ".csv")


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
        token: for private repositories; None for the one that `hf auth login` stored.

    Raises:
        HubError: the repository or file is not there or cannot be reached, or a revision of a local file.
    """
    found = place(str(source))
    if found is None:
        if revision is not None:
            raise HubError(
                f"The revision '{revision}' was given with '{source}', which is no repository.",
                "owner/name on the Hugging Face hub.",
                "leave the revision out.",
            )
        inside = Path(source) / file
        return inside if inside.is_file() else Path(source)
    from huggingface_hub import hf_hub_download

    revision = revision or found.revision
    # The client would try again for most of a minute.
    alone = hub_access.unreachable() is not None
    try:
        return Path(hf_hub_download(found.repository, file, revision=revision, token=token, local_files_only=alone))
    except Exception as error:
        raise _explained(error, found.repository, revision, file) from error


def upload(
    files: Mapping[str, bytes],
    repository: str,
    message: str,
    *,
    revision: str | None = None,
    private: bool | None = None,
    token: str | bool | None = None,
) -> str:
    """Puts files into a repository, which is made where there is none, in one commit.

    Args:
        files: contents by name; what else is there stays.
        repository: "owner/name".
        message: of the commit.
        revision: branch to commit to, made where there is none; None for the main branch.
        private: whether a repository that is made is private; None for the owner's default.
        token: that may write; None for the one that `hf auth login` stored.

    Returns the address of the commit. Raises HubError: no token, no right to write, or no connection to the hub.
    """
    found = place(repository)
    if found is None or found.revision:
        raise HubError(
            f"'{repository}' is no repository's name.",
            "owner/name, where nothing here has that path.",
            "directrix push woman.safetensors me/woman.",
        )
    from huggingface_hub import CommitOperationAdd, HfApi, get_token
    from huggingface_hub.errors import LocalTokenNotFoundError

    if token is False or (token in (None, True) and not get_token()):
        raise _explained(LocalTokenNotFoundError(), repository, revision, None)
    api = HfApi(token=token, library_name="directrix", library_version=__version__)
    operations = [CommitOperationAdd(name, content) for name, content in files.items()]
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        if revision is not None:
            api.create_branch(repository, branch=revision, exist_ok=True)
        commit = api.create_commit(repository, operations=operations, commit_message=message, revision=revision)
    except Exception as error:
        raise _explained(error, repository, revision, None) from error
    return str(commit.commit_url)


def _explained(error: Any, repository: str, revision: str | None, file: str | None) -> HubError:
    """What an error of the hub's client means; file: what was to be fetched, None where something was to be sent."""
    import yaml
    from huggingface_hub import errors

    if isinstance(error, errors.LocalEntryNotFoundError) and getattr(error.__cause__, "response", None) is not None:
        # Older clients say that a file is not in the cache, because of what the hub answered.
        error = error.__cause__
    status = getattr(getattr(error, "response", None), "status_code", None)
    known = yaml.safe_load(Path(__file__).with_name("hub_errors.yaml").read_text(encoding="utf-8"))
    kinds = [kind for kind in known if isinstance(error, getattr(errors, kind, ()))]
    answered = f"{'send' if file is None else 'fetch'} {status}"
    said = known[next((kind for kind in (*kinds, answered) if kind in known), "answer" if status else "nothing")]
    right = "write to that owner's repositories" if file is None else "read it"
    values = {"repository": repository, "revision": revision, "file": file, "status": status, "right": right}
    return HubError(*(part.format(**values, said=first_line(error)) for part in said))
