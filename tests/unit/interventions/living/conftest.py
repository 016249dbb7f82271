"""What the tests of this folder share: drawing, finding a direction, and the networks that are added to a pipeline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

STEPS = 3


def draw_latents(pipeline: Any, prompts: Any = "a judge", images: int = 1, **options: Any) -> torch.Tensor:
    """Latents (images, 4, 8, 8), image i from seed i."""
    generators = [torch.Generator().manual_seed(seed) for seed in range(images)]
    settings = {"guidance_scale": 5.0, "num_inference_steps": STEPS, "output_type": "latent"} | options
    return pipeline(prompts, generator=generators, **settings).images


@pytest.fixture(scope="session")
def draw() -> Callable[..., torch.Tensor]:
    """Draws latents: draw(pipeline, prompts="a judge", images=1, guidance_scale=5.0, ...)."""
    return draw_latents


@pytest.fixture(scope="session")
def discover() -> Callable[..., Any]:
    """Finds a direction in a few steps: discover(pipeline, method="difference", **settings)."""

    def find(pipeline: Any, method: str = "difference", **settings: Any) -> Any:
        import directrix
        from directrix.discovery.settings import grouped

        small: dict[str, Any] = {"images": 2, "batch_size": 2, "num_inference_steps": 2}
        if method != "difference":
            small |= {"steps": 2, "learning_rate": 0.01}
        woman = directrix.Concept.of("woman", "a woman", "a person")
        return directrix.discover(pipeline, woman, method, **grouped({**small, **settings}))

    return find


@pytest.fixture(scope="session")
def check_steering(make_direction: Callable[..., Any]) -> Callable[..., None]:
    """check_steering(pipeline, draw): strength 0 keeps the bits, 1 changes them, and nothing is left behind."""

    def check(pipeline: Any, draw: Callable[[], torch.Tensor], direction: Any = None) -> None:
        from directrix.interventions.steering import steer

        direction = make_direction(of=pipeline) if direction is None else direction
        plain = draw()
        with steer(pipeline, {direction: 0.0}):
            assert torch.equal(draw(), plain)
        with steer(pipeline, {direction: 1.0}):
            steered = draw()
            assert torch.equal(draw(), steered)
        assert bool(torch.isfinite(steered).all())
        assert not torch.allclose(steered, plain)
        assert torch.equal(draw(), plain)

    return check
