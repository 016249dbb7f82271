"""What a reading of an image says: which categories it shows by how likely each is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Of one image, by attribute: how likely each category is.
Reading = Mapping[str, Mapping[str, float]]


def shown(category: str, likelihood: Mapping[str, float]) -> bool:
    """Whether nothing says that an image shows another category, or something else than all of them."""
    return likelihood[category] >= max(*likelihood.values(), round(1 / len(likelihood), 4))


def missed(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The attributes in which a finished image shows another category than it was dealt; see `ClosedLoop.found`.

    found: as an image's row in a manifest has it under "closed_loop". What is kept out of an image is none of them.
    """
    finished = {name: (each["given"], each["after"]) for name, each in found.items() if "after" in each}
    return [name for name, (given, seen) in finished.items() if "still" not in found[name] and not shown(given, seen)]
