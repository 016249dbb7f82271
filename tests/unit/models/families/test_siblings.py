"""Discovery with pipelines that take an image beside the prompt, or before it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import diffusers
import pytest
import torch
from PIL import Image

from directrix.concept import Concept
from directrix.discovery import Optimizer, Sampling, discover
from directrix.errors import ModelError
from directrix.models import SteerableModel
from unit.discovery.test_restored import unchanged
from unit.models.families import siblings
from unit.models.families.parts import is_newest

WOMAN = Concept.of("woman", "a woman", "a person")
SIZE = {"height": 16, "width": 16}
SHORT = {**SIZE, "max_sequence_length": 16}
KONTEXT = {**SHORT, "max_area": 256, "_auto_resize": False}
HUNYUAN = {**SIZE, "use_resolution_binning": False}
KLEIN = {**SHORT, "text_encoder_out_layers": (1,)}
# Each pipeline, the one that discovery draws with, and what that is called with.
CASES: dict[str, tuple[Callable[[], Any], str, dict[str, Any]]] = {
    "sd-controlnet": (siblings.controlled_unet, "StableDiffusionPipeline", {}),
    "sdxl-controlnet": (partial(siblings.controlled_unet, True), "StableDiffusionXLPipeline", {}),
    "sd3-controlnet": (siblings.controlled_stable_diffusion_3, "StableDiffusion3Pipeline", SHORT),
    "flux-controlnet": (siblings.controlled_flux, "FluxPipeline", SHORT),
    "flux-kontext": (siblings.kontext, "FluxKontextPipeline", KONTEXT),
    "hunyuan-dit": (siblings.hunyuan_dit, "HunyuanDiTPipeline", HUNYUAN),
    "hunyuan-dit-controlnet": (partial(siblings.hunyuan_dit, True), "HunyuanDiTPipeline", HUNYUAN),
    "flux-2-klein": (siblings.flux_2_klein, "Flux2KleinPipeline", KLEIN),
}


@pytest.mark.parametrize("case", CASES)
def test_discovery(case: str):
    build, drawn_with, call = CASES[case]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        try:
            pipeline = build()
        except (AttributeError, ImportError, TypeError) as error:
            if is_newest():
                raise
            pytest.skip(f"this version of diffusers cannot build it: {error}")
    model = SteerableModel.of(pipeline).text_to_image()
    assert model.name == drawn_with and model.denoiser is SteerableModel.of(pipeline).denoiser
    assert (model.pipeline is pipeline) == (type(pipeline).__name__ == drawn_with)
    if call.keys() - model.parameters:
        assert not is_newest()
        pytest.skip("this version of diffusers takes other arguments")
    settings = Sampling(1, guidance_scale=4.0, num_inference_steps=2, call=call)
    # The first call of a text encoder or a transformer leaves hooks of its library's own.
    assert discover(pipeline, WOMAN, sampling=settings).norm() > 0
    with unchanged(pipeline):
        for method in ("trajectory", "distillation"):
            assert discover(pipeline, WOMAN, method, sampling=settings, optimizer=Optimizer(1, 1)).norm() > 0


def test_a_pipeline_that_needs_an_image_is_given_one():
    if not hasattr(diffusers, "FluxControlPipeline"):
        pytest.skip("this version of diffusers has none")
    pipeline = siblings.flux_control()
    settings = Sampling(1, num_inference_steps=2, call=SHORT)
    with pytest.raises(ModelError, match="did not draw from a prompt alone") as caught:
        discover(pipeline, WOMAN, sampling=settings)
    assert "'control_image': image" in str(caught.value.remedy)
    settings = Sampling(1, num_inference_steps=2, call={**SHORT, "control_image": Image.new("RGB", (16, 16))})
    assert discover(pipeline, WOMAN, sampling=settings).norm() > 0
