"""Randomness as a function of what it is for, not of what was drawn before.

Every random number of a discovery comes from a generator made of (seed, purpose, index).
Nothing has to be remembered to resume a run: step 1,700 draws the same numbers whether or not
the program was stopped at step 1,000.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def generator(seed: int, *purpose: str | int) -> torch.Generator:
    """A CPU generator for one purpose, such as ``generator(0, "step", 17)``.

    On the CPU whatever the model's device, so that all devices draw the same numbers.
    """
    import torch

    digest = hashlib.sha256(json.dumps([seed, *purpose]).encode()).digest()
    return torch.Generator("cpu").manual_seed(int.from_bytes(digest[:8], "little") >> 1)
