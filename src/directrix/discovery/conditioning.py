"""The denoiser's inputs beside state and time: rows of tensors, one a prompt, and what is the same for all prompts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

# An argument's name, or for one inside a dictionary the names that lead to it.
Path = tuple[str, ...]


@dataclass(frozen=True)
class Conditioning:
    """Of N prompts.

    rows: tensors whose first dimension is N; shared: whatever else the call takes.
    """

    rows: Mapping[Path, Tensor]
    shared: Mapping[Path, Any] = field(default_factory=dict)

    def __getitem__(self, index: Any) -> Conditioning:
        """Some of the rows, by a tensor or a slice."""
        return Conditioning({path: each[index] for path, each in self.rows.items()}, self.shared)

    def expand(self, count: int, *_: int) -> Conditioning:
        """One row repeated, as ``Tensor.expand`` does it, but laid out as pipelines do; further sizes are those of the
        tensors."""
        rows = {path: each.expand(count, *each.shape[1:]).contiguous() for path, each in self.rows.items()}
        return Conditioning(rows, self.shared)

    def arguments(self) -> dict[str, Any]:
        """As keyword arguments of the denoiser."""
        given: dict[str, Any] = {}
        for path, value in {**self.shared, **self.rows}.items():
            place = given
            for name in path[:-1]:
                place = place.setdefault(name, {})
            place[path[-1]] = value
        return given


def flat(arguments: Mapping[str, Any], above: Path = ()) -> dict[Path, Any]:
    """Arguments by path; dictionaries that are not empty are gone into."""
    found: dict[Path, Any] = {}
    for name, value in arguments.items():
        path = (*above, name)
        if isinstance(value, Mapping) and value:
            found |= flat(value, path)
        else:
            found[path] = value
    return found


def stitched(parts: Mapping[int, Conditioning]) -> Conditioning:
    """Single rows joined in the order of their numbers."""
    import torch

    ordered = [parts[number] for number in sorted(parts)]
    first = ordered[0]
    return Conditioning({path: torch.cat([each.rows[path] for each in ordered]) for path in first.rows}, first.shared)
