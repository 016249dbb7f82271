"""Controls: what a direction is to be better than, measured on the same prompts with the same seeds.

- random: a random direction of the same norm at the same site. What it changes, any push of that size changes.
- reversed: the direction with the wrong sign. What it adds, the direction does not mean.
- words: the prompt's own words ("a photo of a female pilot"), which need no discovery.
"""

from __future__ import annotations

import torch

from directrix.directions.direction import Direction


def random_like(direction: Direction, seed: int = 0) -> Direction:
    """A random direction with parts of the same norms and shapes at the same sites."""
    source, parts = torch.Generator().manual_seed(seed), []
    for each in direction.parts:
        noise = torch.randn(each.tensor.shape, generator=source)
        parts.append(each.with_tensor(noise * (float(each.tensor.double().norm()) / float(noise.double().norm()))))
    return direction.with_(name=f"random for {direction.name}", parts=parts)


def reversed_of(direction: Direction) -> Direction:
    """The same direction with the wrong sign."""
    return direction.scaled(-1).with_(name=f"reversed {direction.name}")
