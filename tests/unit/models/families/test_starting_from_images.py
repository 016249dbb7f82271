"""Image-to-image and inpainting pipelines: steered as they are, discovered with their text-to-image sibling's parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from PIL import Image

from directrix.concept import Concept
from directrix.discovery import Optimizer, Sampling, discover
from directrix.errors import ConceptError, ModelError
from directrix.interventions.steering import steer
from directrix.models import SteerableModel, sites
from unit.models.families import diffusion_transformers as transformers
from unit.models.families import unets
from unit.models.families.parts import is_newest

WOMAN = Concept.of("woman", "a woman", "a person")
PICTURE = Image.new("RGB", (16, 16), (200, 120, 40))
MASK = Image.new("L", (16, 16), 255)


def sampling(call: dict[str, Any] | None = None, scale: float = 4.0) -> Sampling:
    return Sampling(1, guidance_scale=scale, num_inference_steps=2, call=call)


def built(build: Callable[[], Any]) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        try:
            return build()
        except (AttributeError, ImportError, TypeError) as error:
            if is_newest():
                raise
            pytest.skip(f"this version of diffusers cannot build it: {error}")


@pytest.mark.parametrize(
    ("build", "call"),
    [
        (lambda: unets.stable_diffusion(name="StableDiffusionImg2ImgPipeline"), {}),
        (lambda: unets.stable_diffusion(name="StableDiffusionInpaintPipeline"), {"mask_image": MASK}),
        (lambda: unets.stable_diffusion_xl("StableDiffusionXLImg2ImgPipeline"), {}),
        (lambda: transformers.flux(name="FluxImg2ImgPipeline"), {"height": 16, "width": 16}),
    ],
    ids=["sd-img2img", "sd-inpaint", "sdxl-img2img", "flux-img2img"],
)
def test_from_an_image(build: Callable[[], Any], call: dict[str, Any]):
    pipeline = built(build)
    sibling = SteerableModel.of(pipeline).text_to_image().pipeline
    assert sibling is not pipeline and sites.denoiser(sibling) is sites.denoiser(pipeline)
    size = {key: call[key] for key in ("height", "width") if key in call}
    direction = discover(pipeline, WOMAN, sampling=sampling(size))

    def draw() -> torch.Tensor:
        return pipeline(
            "a judge",
            image=PICTURE,
            strength=0.9,
            num_inference_steps=4,
            generator=torch.Generator().manual_seed(1),
            output_type="latent",
            **call,
        ).images

    plain = draw()
    with steer(pipeline, {direction: 0.0}):
        assert torch.equal(draw(), plain)
    with steer(pipeline, {direction: 10.0}):
        assert not torch.equal(draw(), plain)
    assert torch.equal(draw(), plain)


@pytest.mark.parametrize("method", ["difference", "distillation"])
def test_an_inpainting_network_paints_everything(method: str):
    pipeline = built(
        lambda: unets.stable_diffusion(name="StableDiffusionInpaintPipeline", in_channels=9, out_channels=4)
    )
    assert SteerableModel.of(pipeline).text_to_image().pipeline is pipeline
    optimizer = Optimizer(2, 2) if method == "distillation" else None
    assert discover(pipeline, WOMAN, method, sampling=sampling(), optimizer=optimizer).norm() > 0


def test_a_negative_prompt_is_given_to_the_branch_that_it_acts_on(of: Any):
    anti = Concept.of("unarmed", neutral="a person", negative="a weapon")
    for name in ("sdxl", "lumina-next", "lumina-2", "flux-dev", "flux-true-guidance"):
        family = of(name)
        call = {key: value for key, value in family.call.items() if key != "negative_prompt"}
        found = discover(family.pipeline, anti, sampling=sampling(call, family.scale))
        assert found.norm() > 0
    with pytest.raises(ConceptError, match="a negative prompt does nothing"):
        discover(of("flux-dev").pipeline, anti, "reconstruction", sampling=Sampling(1), optimizer=Optimizer(1))


def test_arguments_that_a_discovery_decides_are_refused(of: Any):
    words = ("prompt", "negative_prompt_embeds", "prompt_embeds")
    for wrong in (*words, "hieght", "num_images_per_prompt", "return_dict", "self"):
        with pytest.raises(ModelError, match=wrong):
            discover(of("sd1").pipeline, WOMAN, sampling=sampling({wrong: 1}))
    for wrong in ("prompt_2", "pooled_prompt_embeds", "negative_pooled_prompt_embeds"):
        with pytest.raises(ModelError, match=f"cannot be given '{wrong}'"):
            discover(of("sdxl").pipeline, WOMAN, sampling=sampling({wrong: 1}))
