"""A LoRA, or an IP-Adapter, beside the directions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import CLIPImageProcessor

from directrix import models
from directrix.errors import MismatchError
from directrix.interventions.attach import attach
from directrix.interventions.steering import steer


def add_lora(pipeline: Any, name: str = "style", seed: int = 0) -> None:
    """A random LoRA on every attention of the U-Net, large enough to be seen."""
    from peft import LoraConfig

    config = LoraConfig(r=2, lora_alpha=2, target_modules=["to_q", "to_k", "to_v", "to_out.0"], init_lora_weights=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        pipeline.unet.add_adapter(config, adapter_name=name)
        for key, weight in pipeline.unet.named_parameters():
            if f".{name}." in key:
                torch.nn.init.normal_(weight, std=0.5)


def add_ip_adapter(pipeline: Any) -> None:
    """A random IP-Adapter for image embeddings of 8 features, from a state dict as its files hold it."""
    size, tokens = 32, 4
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        projection = {
            "proj.weight": torch.randn(size * tokens, 8),
            "proj.bias": torch.zeros(size * tokens),
            "norm.weight": torch.ones(size),
            "norm.bias": torch.zeros(size),
        }
        keys = {}
        for place, name in enumerate(pipeline.unet.attn_processors):
            if name.endswith("attn2.processor"):
                width = pipeline.unet.get_submodule(name.removesuffix(".processor")).to_q.out_features
                keys[f"{place}.to_k_ip.weight"] = torch.randn(width, size)
                keys[f"{place}.to_v_ip.weight"] = torch.randn(width, size)
    adapter = {"image_proj": projection, "ip_adapter": keys}
    # Without one, diffusers 0.30 asks an image encoder for its size, which there is none of here.
    pipeline.register_modules(feature_extractor=CLIPImageProcessor())
    pipeline.load_ip_adapter(adapter, subfolder=None, weight_name=None, image_encoder_folder=None)


def image_embeddings() -> list[torch.Tensor]:
    """Of the empty image and of one image: a tensor (2, 1, 8) for the one adapter."""
    return [torch.cat([torch.zeros(1, 1, 8), torch.ones(1, 1, 8)])]


def test_steering_beside_a_lora(
    make_pipeline: Callable[..., Any],
    draw: Callable[..., Any],
    check_steering: Callable[..., None],
    make_direction: Any,
):
    pipeline = make_pipeline()
    direction = make_direction(of=pipeline)
    bare = draw(pipeline)
    add_lora(pipeline)
    assert not torch.allclose(draw(pipeline), bare)
    # The direction was found before the LoRA came: it is still one of this model.
    check_steering(pipeline, lambda: draw(pipeline), direction)
    pipeline.unet.disable_adapters()
    assert torch.equal(draw(pipeline), bare)


def test_a_lora_may_come_and_go_while_steered(
    make_pipeline: Callable[..., Any], draw: Callable[..., Any], make_direction: Any
):
    pipeline = make_pipeline()
    direction = make_direction(of=pipeline)
    with steer(pipeline, {direction: 1.0}):
        alone = draw(pipeline)
        add_lora(pipeline)
        assert not torch.allclose(draw(pipeline), alone)
        pipeline.unet.delete_adapters("style")
        torch.testing.assert_close(draw(pipeline), alone)


@pytest.mark.parametrize("method", ["difference", "trajectory"])
def test_discovery_beside_a_lora(
    make_pipeline: Callable[..., Any],
    draw: Callable[..., Any],
    discover: Callable[..., Any],
    check_steering: Callable[..., None],
    method: str,
):
    pipeline = make_pipeline()
    bare = discover(pipeline, method)
    add_lora(pipeline)
    trained = {name: each.requires_grad for name, each in pipeline.unet.named_parameters()}
    direction = discover(pipeline, method)
    assert {name: each.requires_grad for name, each in pipeline.unet.named_parameters()} == trained
    assert direction.model.fingerprint == bare.model.fingerprint
    assert direction.cosine(bare) < 0.9999
    check_steering(pipeline, lambda: draw(pipeline), direction)


def test_a_lora_may_be_fused(
    make_pipeline: Callable[..., Any],
    draw: Callable[..., Any],
    check_steering: Callable[..., None],
    make_direction: Any,
):
    pipeline = make_pipeline()
    direction = make_direction(of=pipeline)
    add_lora(pipeline)
    beside = draw(pipeline)
    pipeline.unet.fuse_lora()
    torch.testing.assert_close(draw(pipeline), beside, atol=1e-3, rtol=1e-3)
    check_steering(pipeline, lambda: draw(pipeline), direction)


def lora_state(pipeline: Any, seed: int) -> dict[str, torch.Tensor]:
    """A random LoRA, as its file holds it."""
    from peft import get_peft_model_state_dict

    add_lora(pipeline, "default", seed)
    found = get_peft_model_state_dict(pipeline.unet)
    return {f"unet.{key}": value.detach().clone() for key, value in found.items()}


def test_a_lora_is_exchanged_in_place(
    make_pipeline: Callable[..., Any], draw: Callable[..., Any], discover: Callable[..., Any], make_direction: Any
):
    pipeline = make_pipeline()
    if not hasattr(pipeline.unet, "enable_lora_hotswap"):
        pytest.skip("this version of diffusers exchanges no LoRA in place")
    one, other = lora_state(make_pipeline(), 1), lora_state(make_pipeline(), 2)
    direction, known = make_direction(of=pipeline), models.identity(pipeline)

    def swap(state: dict[str, torch.Tensor], **options: Any) -> None:
        # The pipeline keeps the tensors that it is given, and writes to them.
        given = {key: value.clone() for key, value in state.items()}
        pipeline.load_lora_weights(given, adapter_name="default", **options)

    pipeline.unet.enable_lora_hotswap(target_rank=2)
    swap(one)
    with steer(pipeline, {direction: 1.0}):
        first = draw(pipeline)
        swap(other, hotswap=True)
        second = draw(pipeline)
    assert not torch.allclose(first, second)
    assert models.identity(pipeline) == known == discover(pipeline).model
    attached = attach(pipeline)
    attached.load_direction(direction)
    torch.testing.assert_close(draw(pipeline), second)
    swap(one, hotswap=True)
    torch.testing.assert_close(draw(pipeline), first)
    attached.unload_directions()


def test_a_lora_that_was_fused_before_anybody_asked_makes_another_model(
    make_pipeline: Callable[..., Any], make_direction: Any
):
    direction, pipeline = make_direction(), make_pipeline()
    add_lora(pipeline)
    pipeline.unet.fuse_lora()
    with pytest.raises(MismatchError, match="into whose weights a LoRA is fused") as caught, steer(pipeline, direction):
        pass
    assert "direction.with_(model=" in str(caught.value.remedy)


def test_steering_beside_an_ip_adapter(
    make_pipeline: Callable[..., Any],
    draw: Callable[..., Any],
    check_steering: Callable[..., None],
    make_direction: Any,
):
    pipeline = make_pipeline()
    direction, before = make_direction(of=pipeline), models.identity(pipeline).fingerprint
    add_ip_adapter(pipeline)
    assert models.identity(pipeline).fingerprint == before
    check_steering(pipeline, lambda: draw(pipeline, ip_adapter_image_embeds=image_embeddings()), direction)


@pytest.mark.parametrize("method", ["difference", "trajectory", "reconstruction"])
def test_discovery_leaves_an_ip_adapter_aside(
    make_pipeline: Callable[..., Any], draw: Callable[..., Any], discover: Callable[..., Any], method: str
):
    pipeline = make_pipeline()
    bare = discover(pipeline, method)
    add_ip_adapter(pipeline)

    def pictured() -> torch.Tensor:
        return draw(pipeline, ip_adapter_image_embeds=image_embeddings())

    before = pictured()
    direction = discover(pipeline, method)
    assert torch.equal(direction.tensor, bare.tensor)
    assert direction.model.fingerprint == bare.model.fingerprint
    assert torch.equal(pictured(), before)
