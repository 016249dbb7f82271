"""A ControlNet beside the directions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from directrix.interventions.steering import steer


@pytest.fixture(scope="module")
def controlled(make_pipeline: Callable[..., Any]) -> Any:
    """A pipeline with a random ControlNet that says something."""
    from diffusers import ControlNetModel, StableDiffusionControlNetPipeline

    pipeline = make_pipeline()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        # The factor between picture and latents is 2 here, not 8: two strides less in the embedding of the hint.
        network = ControlNetModel.from_unet(pipeline.unet, conditioning_embedding_out_channels=(8, 16))
        for weight in network.parameters():
            if not bool(weight.any()):
                torch.nn.init.normal_(weight, std=0.1)
    parts = pipeline.components
    return quiet(StableDiffusionControlNetPipeline(**parts, controlnet=network.eval(), requires_safety_checker=False))


def quiet(pipeline: Any) -> Any:
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


HINT = torch.linspace(0, 1, 3 * 16 * 16).reshape(1, 3, 16, 16)


@pytest.mark.parametrize("guess_mode", [False, True])
def test_steering(controlled: Any, draw: Callable[..., Any], check_steering: Callable[..., None], guess_mode: bool):
    def drawn(scale: float = 1.0) -> torch.Tensor:
        return draw(controlled, image=HINT, controlnet_conditioning_scale=scale, guess_mode=guess_mode)

    assert not torch.allclose(drawn(), drawn(0.0))
    check_steering(controlled, drawn)


@pytest.mark.parametrize("method", ["difference", "trajectory", "reconstruction"])
def test_discovery_asks_the_u_net_alone(
    controlled: Any,
    make_pipeline: Callable[..., Any],
    discover: Callable[..., Any],
    draw: Callable[..., Any],
    method: str,
):
    direction = discover(controlled, method)
    torch.testing.assert_close(direction.tensor, discover(make_pipeline(), method).tensor)
    plain = draw(controlled, image=HINT)
    with steer(controlled, {direction: 1.0}):
        assert not torch.equal(draw(controlled, image=HINT), plain)
