"""Where a direction belongs: a site, and a model."""

from __future__ import annotations

from dataclasses import dataclass

from directrix.errors import MismatchError

LAYOUTS = ("channels-first", "channels-last")


@dataclass(frozen=True)
class Site:
    """A place in a denoiser whose output is steered.

    Args:
        name: dotted name of the module inside the denoiser, such as "mid_block".
        channels: number of channels C of its output.
        layout: "channels-first" for (B, C, H, W) outputs, "channels-last" for (B, tokens, C).
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
