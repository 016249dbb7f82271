"""Every family's denoiser compiled: the pictures stay, and another strength is no new graph."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from typing import Any

import pytest
import torch

from directrix import models
from directrix.directions.direction import Direction
from directrix.interventions.steering import steer
from directrix.models import sites
from graphs import Graphs

PROMPTS = ["a judge", "a cook with a knife"]


@pytest.fixture
def dynamo() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.usefixtures("dynamo")
@pytest.mark.parametrize(
    "name",
    [
        "pixart-alpha",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("turbo", "sd3", "flux-dev", "sana", "lumina-2")),
    ],
)
def test_strengths_are_no_new_graph(of: Any, name: str):
    family = of(name)
    plain, graphs = family.pipeline, Graphs()
    tensor = torch.randn(family.shape, generator=torch.Generator().manual_seed(0))
    direction = Direction("random", 10 * tensor, sites.find(plain), models.identity(plain))
    pictures = [family.draw(PROMPTS, [1, 2])]
    with steer(plain, {direction: 1.0}):
        pictures.append(family.draw(PROMPTS, [1, 2]))

    # A pipeline of its own around the same network: others draw with the one that is not compiled.
    compiled = copy(plain)
    part = "unet" if hasattr(plain, "unet") else "transformer"
    compiled.register_modules(**{part: torch.compile(getattr(plain, part), backend=graphs)})
    torch.testing.assert_close(family.draw(PROMPTS, [1, 2], compiled), pictures[0], atol=1e-4, rtol=1e-3)
    with steer(compiled, {direction: 1.0}):
        steered = family.draw(PROMPTS, [1, 2], compiled)
    torch.testing.assert_close(steered, pictures[1], atol=1e-4, rtol=1e-3)
    assert not torch.allclose(steered, pictures[0], atol=1e-2)
    before = graphs.count
    drawn = []
    for strength in (0.3, -0.5, [1.0, 2.0], 4.0):
        with steer(compiled, {direction: strength}):
            drawn.append(family.draw(PROMPTS, [1, 2], compiled))
    assert len({tuple(each.flatten().tolist()) for each in drawn}) == 4
    torch.testing.assert_close(family.draw(PROMPTS, [1, 2], compiled), pictures[0], atol=1e-4, rtol=1e-3)
    assert graphs.count == before > 0
