"""Controls: what a direction is to be better than, measured on the same prompts with the same seeds.

- random: a random direction of the same norm at the same site. What it changes, any push of that size changes.
- reversed: the direction with the wrong sign. What it adds, the direction does not mean.
- words: the prompt's own words ("a photo of a female pilot"), which need no discovery.
"""

from __future__ import annotations

import torch

from directrix.directions.direction import Direction


def random_like(direction: Direction, seed: int = 0) -> Direction:
    """A random direction with parts of the same norms and shapes at the same sites.

    Tokens of text that share a vector share a random one, of its norm.
    """
    source, parts = torch.Generator().manual_seed(seed), []
    for each in direction.parts:
        by_token = each.site.layout == "text" and each.tensor.ndim == 2
        rows, which = each.tensor.unique(dim=0, return_inverse=True) if by_token else (each.tensor[None], [0])
        noise = torch.randn(rows.shape, generator=source)
        sizes = [float(row.double().norm() / one.double().norm()) for row, one in zip(rows, noise, strict=True)]
        scaled = torch.stack([one * size for one, size in zip(noise, sizes, strict=True)])
        parts.append(each.with_tensor(scaled[which] if by_token else scaled[0]))
    return direction.with_(name=f"random for {direction.name}", parts=parts)


def reversed_of(direction: Direction) -> Direction:
    """The same direction with the wrong sign."""
    return direction.scaled(-1).with_(name=f"reversed {direction.name}")
