"""Steering a real (tiny) denoiser: what reaches the mid block is h + strength * direction, row by row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from directrix.directions.direction import Direction
from directrix.interventions.steering import steer
from directrix.models import hooks

STRENGTHS = st.just(0.0) | st.floats(-3, 3, width=32)


@given(st.data())
@settings(max_examples=15)
def test_rows(pipeline: Any, make_direction: Callable[..., Direction], data: st.DataObject):
    images = data.draw(st.integers(1, 3))
    guided = data.draw(st.booleans())
    branch = data.draw(st.sampled_from(["conditional", "unconditional", "both"] if guided else ["conditional", "both"]))
    lists = [data.draw(st.lists(STRENGTHS, min_size=images, max_size=images)) for _ in range(2)]
    shapes = data.draw(st.tuples(*[st.sampled_from([(32,), (32, 4, 4)])] * 2))
    directions = [make_direction(str(index), seed=index, shape=shape) for index, shape in enumerate(shapes)]
    rows = images * (2 if guided else 1)
    inputs = (torch.ones(rows, 4, 8, 8), 10, torch.ones(rows, 5, 32))
    before: list[torch.Tensor] = []
    after: list[torch.Tensor] = []
    block = pipeline.unet.mid_block
    with (
        torch.no_grad(),
        hooks.edit_output(block, before.append),
        steer(pipeline, dict(zip(directions, lists, strict=True)), branch=branch, guided=guided),
        hooks.edit_output(block, after.append),
    ):
        pipeline.unet(*inputs)
    for row in range(rows):
        half = "unconditional" if guided and row < images else "conditional"
        on = not guided or branch in (half, "both")
        strengths = [each[row % images] if on else 0.0 for each in lists]
        if not any(strengths):
            assert torch.equal(after[0][row], before[0][row])
            continue
        expected = before[0][row].clone()
        for strength, direction in zip(strengths, directions, strict=True):
            tensor = direction.tensor
            expected += strength * (tensor if tensor.ndim == 3 else tensor[:, None, None])
        torch.testing.assert_close(after[0][row], expected, atol=1e-4, rtol=1e-4)
