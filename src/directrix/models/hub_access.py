"""The Hugging Face hub: whether it can be reached, and what of it is on this machine.

Its client retries for most of a minute where there is no network. One look beforehand costs a fraction of a second.
"""

from __future__ import annotations

import socket
import threading
import urllib.request
from urllib.parse import urlsplit

from directrix.errors import DirectrixError, ModelError

# Seconds that the hub, or the proxy before it, has to take a connection.
PATIENCE = 4.0


def unreachable() -> str | None:
    """Why the hub cannot be asked, as a clause; None where it takes a connection."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    hub = urlsplit(constants.ENDPOINT)
    proxies = {} if urllib.request.proxy_bypass(hub.hostname or "") else urllib.request.getproxies()
    through = urlsplit(proxies.get(hub.scheme) or proxies.get("all") or constants.ENDPOINT)
    port = through.port or (443 if through.scheme == "https" else 80)
    failed = [f"{through.hostname} does not answer"]

    def connect() -> None:
        try:
            socket.create_connection((through.hostname or "", port), PATIENCE).close()
            failed.clear()
        except OSError as error:
            failed.append(f"{through.hostname}: {error.strerror or error}")

    # Looking a name up has no time limit of its own.
    asking = threading.Thread(target=connect, daemon=True)
    asking.start()
    asking.join(PATIENCE)
    return failed[-1] if failed else None


def only_here(
    repository: str,
    file: str,
    what: str,
    remedy: str,
    *,
    revision: str | None = None,
    kind: str = "model",
    error: type[DirectrixError] = ModelError,
) -> bool:
    """Whether a repository is to be read from the cache on this machine alone, since the hub cannot be reached.

    Args:
        repository: "owner/name".
        file: one of its files, without which the others are of no use.
        what: what the error calls it, such as "The model".
        remedy: what to do where it is not here, beside going online.
        kind: "model" or "dataset".

    Raises an error of the type `error`, at once: the hub cannot be reached, and the file is not here.
    """
    from huggingface_hub import try_to_load_from_cache

    why = unreachable()
    if why is None:
        return False
    if isinstance(try_to_load_from_cache(repository, file, revision=revision, repo_type=kind), str):
        return True
    raise error(
        f"{what} '{repository}' is not on this machine, and the Hugging Face hub cannot be reached: {why}.",
        "a copy on this machine, or a connection.",
        remedy,
    )


def refusal(error: BaseException) -> str | None:
    """What the hub said where it does not give a repository away, as a clause; None for any other error."""
    from huggingface_hub import errors

    each: BaseException | None = error
    while each is not None:
        if isinstance(each, errors.GatedRepoError):
            return "it is open only to those who accepted its terms; accept them on its page, then `hf auth login`"
        if isinstance(each, errors.RepositoryNotFoundError):
            return "the Hugging Face hub has no such repository, or it is a private one"
        if isinstance(each, errors.RevisionNotFoundError):
            return "it has no such revision"
        each = each.__cause__ or each.__context__
    return None
