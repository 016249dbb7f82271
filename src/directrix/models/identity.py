"""Where a direction belongs: a site, and a model."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from directrix.errors import MismatchError
from directrix.models import embedded
from directrix.models.fingerprint import fingerprint

# The last two are arguments of the denoiser about the prompt; see `models.text_inputs`.
LAYOUTS = ("channels-first", "channels-last", "vector", "text", "pooled")
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_SNAPSHOT = re.compile(r"models--(?P<name>[^/\\]+)[/\\]snapshots[/\\](?P<revision>[0-9a-f]+)")
# The denoiser's own attribute, so that copies have it too: name and revision that it was loaded as.
_LOADED_AS = "_directrix_loaded_as"


@dataclass(frozen=True)
class Site:
    """A place in a denoiser that is steered: a module's output, or an argument about the prompt.

    Args:
        name: dotted name of the module inside the denoiser, such as "mid_block"; or of the argument, such as
            "encoder_hidden_states".
        channels: number of channels C of it.
        layout: "channels-first" for (B, C, H, W) outputs, "channels-last" for (B, tokens, C), "vector" for (B, C);
            "text" for an argument (B, tokens, C), "pooled" for one (B, C).
    """

    name: str
    channels: int
    layout: str = "channels-first"

    def __post_init__(self) -> None:
        if self.layout not in LAYOUTS:
            raise MismatchError(f"The site's layout is '{self.layout}'.", f"one of {', '.join(LAYOUTS)}.")


@dataclass(frozen=True)
class ModelIdentity:
    """Which model: its name, revision and the fingerprint of its denoiser. The fingerprint alone decides."""

    name: str
    revision: str
    fingerprint: str

    @classmethod
    def of(cls, network: Any) -> ModelIdentity:
        """That of a denoiser, however it was loaded. ModelError where its weights are not in memory."""
        name, revision = getattr(network, _LOADED_AS, None) or _configured(network)
        return cls(name, revision, fingerprint(network))


def remember(network: Any, name: str, revision: str) -> None:
    """Notes what a denoiser was loaded as; without a revision, the one of the hub's cache."""
    setattr(network, _LOADED_AS, (name, revision or _configured(network)[1]))


def _configured(network: Any) -> tuple[str, str]:
    """Name and revision from the path that diffusers remembers; never the path itself."""
    path = str(getattr(network, "config", {}).get("_name_or_path") or "")
    cached = _SNAPSHOT.search(path)
    if cached:
        return cached["name"].replace("--", "/"), cached["revision"]
    if path and not Path(path).is_absolute() and HUB_ID.fullmatch(path) and not Path(path).exists():
        return path, ""
    parts = [part for part in Path(path).parts if part not in ("unet", "transformer")]
    if path and (known := embedded.named(Path(path))):
        return known, ""
    return (parts[-1] if parts else type(network).__name__), ""
