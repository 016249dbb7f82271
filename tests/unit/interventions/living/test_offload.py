"""Weights that wait elsewhere until they are needed. The hooks are accelerate's own, with the CPU as accelerator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from directrix import models
from directrix.interventions.steering import steer

WAYS = ["enable_model_cpu_offload", "enable_sequential_cpu_offload"]
# Without it diffusers refuses on a machine that has no accelerator.
CPU = torch.device("cpu")


def offload(pipeline: Any, way: str) -> None:
    """What the pipeline's method does, where there is an accelerator."""
    import accelerate

    if way == "enable_model_cpu_offload":
        pipeline.enable_model_cpu_offload(device=CPU)
        return
    # The method itself says "cpu:0", and a copy to there is no parameter any more.
    pipeline.remove_all_hooks()
    for name in ("text_encoder", "vae", "unet"):
        accelerate.cpu_offload(getattr(pipeline, name), CPU)


@pytest.mark.parametrize("way", WAYS)
def test_steering(make_pipeline: Callable[..., Any], draw: Callable[..., Any], make_direction: Any, way: str):
    pipeline = make_pipeline()
    direction = make_direction(of=pipeline)
    plain = draw(pipeline)
    with steer(pipeline, {direction: 1.0}, start=0.3):
        steered = draw(pipeline)
    offload(pipeline, way)
    if way == "enable_sequential_cpu_offload":
        assert all(each.is_meta for each in pipeline.unet.parameters())
    assert torch.equal(draw(pipeline), plain)
    with steer(pipeline, {direction: 1.0}, start=0.3):
        assert torch.equal(draw(pipeline), steered)
    # diffusers takes its hooks off and puts them on again after each call; so it does here, while steered.
    with steer(pipeline, {direction: 1.0}, start=0.3):
        offload(pipeline, way)
        assert torch.equal(draw(pipeline), steered)
    assert torch.equal(draw(pipeline), plain)


@pytest.mark.parametrize("method", ["difference", "trajectory"])
@pytest.mark.parametrize("way", WAYS)
def test_discovery(make_pipeline: Callable[..., Any], discover: Callable[..., Any], way: str, method: str):
    pipeline = make_pipeline()
    expected = discover(pipeline, method)
    offload(pipeline, way)
    torch.testing.assert_close(discover(pipeline, method).tensor, expected.tensor)


@pytest.mark.parametrize("kind", ["leaf_level", "block_level"])
def test_groups_of_layers(
    make_pipeline: Callable[..., Any],
    draw: Callable[..., Any],
    discover: Callable[..., Any],
    make_direction: Any,
    kind: str,
):
    pipeline = make_pipeline()
    if not hasattr(pipeline.unet, "enable_group_offload"):
        pytest.skip("this version of diffusers moves no groups")
    direction, known, expected = (
        make_direction(of=pipeline),
        models.identity(pipeline),
        discover(pipeline, "trajectory"),
    )
    plain = draw(pipeline)
    with steer(pipeline, {direction: 1.0}):
        steered = draw(pipeline)
        pipeline.unet.enable_group_offload(
            onload_device=CPU, offload_device=CPU, offload_type=kind, num_blocks_per_group=1
        )
        assert torch.equal(draw(pipeline), steered)
    assert torch.equal(draw(pipeline), plain) and models.identity(pipeline) == known
    torch.testing.assert_close(discover(pipeline, "trajectory").tensor, expected.tensor)
    with steer(pipeline, {direction: 1.0}):
        assert torch.equal(draw(pipeline), steered)


def test_the_model_is_known_though_its_weights_wait_elsewhere(make_pipeline: Callable[..., Any]):
    known = models.identity(make_pipeline())
    pipeline = make_pipeline()
    offload(pipeline, "enable_sequential_cpu_offload")
    assert models.identity(pipeline) == known


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator: the weights must really move")
@pytest.mark.parametrize("way", WAYS)
def test_on_an_accelerator(make_pipeline: Callable[..., Any], draw: Callable[..., Any], make_direction: Any, way: str):
    pipeline = make_pipeline()
    direction = make_direction(of=pipeline)
    getattr(pipeline, way)()
    plain = draw(pipeline)
    with steer(pipeline, {direction: 1.0}):
        assert not torch.allclose(draw(pipeline), plain)
    assert torch.equal(draw(pipeline), plain)
