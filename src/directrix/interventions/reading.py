"""What a reading of an image says: which categories it shows by how likely each is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Of one image, by attribute: how likely each category is.
Reading = Mapping[str, Mapping[str, float]]
# The categories of what is to be kept out of images.
ABSENT, PRESENT = "absent", "present"


def shown(category: str, likelihood: Mapping[str, float]) -> bool:
    """Whether nothing says that an image shows another category, or something else than all of them."""
    return likelihood[category] >= max(*likelihood.values(), round(1 / len(likelihood), 4))


def missed(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The attributes in which a finished image shows another category than it was dealt; see `ClosedLoop.found`.

    found: as an image's row in a manifest has it under "closed_loop". What is kept out of an image is none of them.
    """
    own = {name: each for name, each in found.items() if "after" in each and each["given"] != ABSENT}
    return [name for name, each in own.items() if not shown(each["given"], each["after"])]
