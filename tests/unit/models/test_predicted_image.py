"""What a denoiser predicts at its last step is the image that comes out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from directrix.errors import MismatchError
from directrix.models import hooks, predicted_image
from directrix.models.denoiser_calls import Scope
from directrix.models.steerable import SteerableModel
from unit.models.families import survey


def looked_at(pipeline: Any, **call: Any) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """What the last call of the denoiser predicts, and the images."""
    model = SteerableModel.of(pipeline)
    scope, seen = Scope(model), [[]]

    def look(answer: Any) -> None:
        now = scope.now()
        assert now is not None
        state, given = next(iter(now.arguments.values())), answer[0]
        parts = now.layout[1].split("-") if now.layout[0] else ["conditional"]
        branches = dict(zip(parts, given.split(len(given) // len(parts)), strict=True))
        guided = predicted_image.guided_answer(model, branches)
        clean = predicted_image.clean_latents(model, now, state[: len(given) // len(parts)], guided)
        seen[0] = predicted_image.decoded(model, clean)

    with scope.opened(), hooks.after_call(model.denoiser, look):
        images = pipeline("a judge", num_inference_steps=3, num_images_per_prompt=2, **call).images
    return [np.asarray(each, float) for each in seen[0]], [np.asarray(each, float) for each in images]


@pytest.mark.parametrize("scale", [1.0, 5.0])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_of_a_diffusion_model(make_pipeline: Any, prediction: str, scale: float):
    from diffusers import DDIMScheduler

    pipeline = make_pipeline(prediction_type=prediction)
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config, clip_sample=False, set_alpha_to_one=True)
    generator = torch.Generator().manual_seed(3)
    seen, images = looked_at(pipeline, guidance_scale=scale, generator=generator)
    assert len(seen) == 2 and all(np.abs(a - b).max() <= 1 for a, b in zip(seen, images, strict=True))


def test_of_a_flow():
    pipeline = survey.build("StableDiffusion3Pipeline")
    seen, images = looked_at(pipeline, guidance_scale=4.0, height=16, width=16)
    assert len(seen) == 2 and all(np.abs(a - b).max() <= 1 for a, b in zip(seen, images, strict=True))


def test_latents_that_are_packed_cannot_be_looked_at(pipeline: Any):
    with pytest.raises(MismatchError, match="packs its latents"):
        predicted_image.decoded(SteerableModel.of(pipeline), torch.zeros(1, 16, 64))
