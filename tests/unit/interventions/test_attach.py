"""Directions that stay on a pipeline: as LoRA is handled, and the same pictures as `steer` draws."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import directrix
from directrix.directions.direction import Direction, Strengths
from directrix.errors import DirectrixError, MismatchError, SiteError, StrengthError
from directrix.interventions.attach import DirectionsMixin, attach, with_directions
from directrix.interventions.steering import steer
from directrix.models import sites
from directrix.models.identity import Site


def draw(pipeline: Any, prompts: Any = "a judge", guidance: float = 5.0, **options: Any) -> torch.Tensor:
    """Latents (n, 4, 8, 8), one generator per image."""
    images = (1 if isinstance(prompts, str) else len(prompts)) * options.get("num_images_per_prompt", 1)
    generators = [torch.Generator().manual_seed(seed) for seed in range(images)]
    options = {"num_inference_steps": 2, "output_type": "latent"} | options
    return pipeline(prompts, generator=generators, guidance_scale=guidance, **options).images


def hooks(pipeline: Any) -> int:
    network = sites.denoiser(pipeline)
    return sum(len(each._forward_hooks) + len(each._forward_pre_hooks) for each in network.modules())


@pytest.fixture
def attached(make_pipeline: Callable[..., Any]) -> Any:
    return attach(make_pipeline())


@pytest.fixture
def woman(make_direction: Callable[..., Direction]) -> Direction:
    return make_direction("woman").with_(strengths=Strengths(0.7, -1.0, 2.0))


@pytest.fixture
def old(make_direction: Callable[..., Direction]) -> Direction:
    return make_direction("old", seed=1, shape=(32,))


@pytest.mark.parametrize("guidance", [1.0, 5.0])
def test_the_same_bits_as_steer(attached: Any, woman: Direction, old: Direction, guidance: float):
    prompts = ["a judge", "a cook"]
    plain = draw(attached, prompts, guidance)
    strengths = [{woman: 0.7}, {woman: -0.4}, {woman: [0.0, 1.5]}, {woman: 0.3, old: [1.0, 0.0]}]
    expected = []
    for each in strengths:
        with steer(attached, each):
            expected.append(draw(attached, prompts, guidance))
    attached.load_direction(woman)
    attached.load_direction(old, strength=0.0)
    assert attached.get_active_directions() == ["woman"]
    assert torch.equal(draw(attached, prompts, guidance), expected[0])
    for each, images in zip(strengths[1:], expected[1:], strict=True):
        names = [direction.name for direction in each]
        attached.set_directions(names, list(each.values()))
        assert attached.get_active_directions() == names
        assert torch.equal(draw(attached, prompts, guidance), images)
    attached.unload_directions()
    assert torch.equal(draw(attached, prompts, guidance), plain)
    assert hooks(attached) == 0


def test_off_is_bit_identical(attached: Any, woman: Direction):
    plain = draw(attached)
    attached.load_direction(woman)
    steered = draw(attached)
    assert not torch.equal(steered, plain)
    # It stays on between calls.
    assert torch.equal(draw(attached), steered)
    attached.disable_directions()
    assert attached.get_active_directions() == []
    assert torch.equal(draw(attached), plain)
    attached.set_directions("woman", 2.0)
    assert torch.equal(draw(attached), plain)
    attached.enable_directions()
    attached.set_directions("woman", 0.7)
    assert torch.equal(draw(attached), steered)
    for off in (0, 0.0, -0.0, [0.0]):
        attached.set_directions("woman", off)
        assert attached.get_active_directions() == []
        assert torch.equal(draw(attached), plain)
    attached.set_directions([])
    assert torch.equal(draw(attached), plain)
    attached.set_directions("woman")
    assert torch.equal(draw(attached), steered)


def test_names_are_handled_as_those_of_adapters(attached: Any, woman: Direction, old: Direction, tmp_path: Path):
    woman.save(tmp_path / "direction.safetensors")
    assert attached.load_direction(tmp_path) == "woman"
    assert attached.load_direction(tmp_path / "direction.safetensors", name="again", strength=0.5) == "again"
    assert attached.load_direction(old) == "old"
    assert attached.get_list_directions() == attached.get_active_directions() == ["woman", "again", "old"]
    with pytest.raises(DirectrixError, match="named 'woman' is loaded already"):
        attached.load_direction(woman)
    with pytest.raises(DirectrixError, match=r"No direction 'wman' is loaded.*did you mean 'woman'"):
        attached.set_directions("wman")
    with pytest.raises(DirectrixError, match="No direction 'men'"):
        attached.delete_directions(["woman", "men"])
    assert attached.get_list_directions() == ["woman", "again", "old"]
    attached.set_directions(["old"], 1.0)
    assert attached.get_active_directions() == ["old"]
    assert hooks(attached)
    attached.delete_directions("old")
    assert attached.get_list_directions() == ["woman", "again"]
    attached.delete_directions(["woman", "again"])
    assert hooks(attached) == 0
    attached.unload_directions()
    attached.load_direction(woman)
    assert hooks(attached)
    attached.unload_directions()


def test_a_direction_may_be_loaded_twice(attached: Any, woman: Direction):
    with steer(attached, {woman: 1.0}):
        expected = draw(attached)
    attached.load_direction(woman, strength=0.5)
    attached.load_direction(woman, name="again", strength=0.5)
    torch.testing.assert_close(draw(attached), expected)
    attached.set_directions("again", [1.0, 0.0])
    with pytest.raises(StrengthError, match="2 strengths of 'again' for 1 images"):
        draw(attached)


@pytest.mark.parametrize("site", ["attn1.heads", "attn2.heads.1"])
def test_heads_are_steered_before_they_are_mixed(attached: Any, woman: Direction, site: str):
    place = sites.find(attached, f"mid_block.attentions.0.transformer_blocks.0.{site}")
    heads = woman.with_(site=place, tensor=torch.linspace(-9, 9, place.channels))
    with steer(attached, {heads: 1.0}):
        expected = draw(attached)
    plain = draw(attached)
    attached.load_direction(heads, strength=1.0)
    assert torch.equal(draw(attached), expected) and not torch.equal(expected, plain)


def test_what_cannot_be_loaded_changes_nothing(attached: Any, woman: Direction):
    attached.load_direction(woman)
    steered = draw(attached)
    nowhere = woman.with_(site=Site("nowhere", 32))
    with pytest.raises(SiteError, match="no module 'nowhere'"):
        attached.load_direction(nowhere, name="nowhere")
    assert attached.get_list_directions() == ["woman"]
    assert torch.equal(draw(attached), steered)


@pytest.mark.parametrize(
    ("names", "strengths"),
    [
        (["woman", "old"], [1.0]),
        (["woman"], [1.0, 2.0]),
        (["woman", "woman"], [1.0, 2.0]),
        (["woman"], ["1"]),
        ("woman", float("nan")),
        ("woman", []),
    ],
)
def test_strengths_that_make_no_sense_change_nothing(
    attached: Any, woman: Direction, old: Direction, names: Any, strengths: Any
):
    attached.load_direction(woman, strength=0.25)
    attached.load_direction(old, strength=0.0)
    with pytest.raises(StrengthError):
        attached.set_directions(names, strengths)
    assert attached.get_active_directions() == ["woman"]
    assert attached._directions.entries["woman"].strength == 0.25


def test_one_strength_per_image(attached: Any, woman: Direction):
    many = ["a judge"] * 17
    attached.load_direction(woman, strength=[0.0, 1.0, 2.0, 0.0])
    several = draw(attached, ["a judge", "a cook"], num_images_per_prompt=2)
    with pytest.raises(StrengthError, match="4 strengths of 'woman' for 3 images"):
        draw(attached, ["a judge"] * 3)
    attached.disable_directions()
    plain = draw(attached, ["a judge", "a cook"], num_images_per_prompt=2)
    draw(attached, ["a judge"] * 3)
    attached.enable_directions()
    assert [torch.equal(*pair) for pair in zip(several, plain, strict=True)] == [True, False, False, True]
    attached.set_directions("woman", [0.0] * 16 + [1.0])
    same = draw(attached, many, num_inference_steps=1)
    attached.set_directions("woman", 0.0)
    plain = draw(attached, many, num_inference_steps=1)
    assert [torch.equal(*pair) for pair in zip(same, plain, strict=True)] == [True] * 16 + [False]


def test_it_adds_to_steer(attached: Any, woman: Direction, old: Direction):
    with steer(attached, {woman: 0.7, old: 0.5}):
        both = draw(attached)
    attached.load_direction(woman)
    alone = draw(attached)
    with steer(attached, {old: 0.5}):
        torch.testing.assert_close(draw(attached), both)
    assert torch.equal(draw(attached), alone)
    with steer(attached, {woman: -0.7}):
        attached.disable_directions()
        away = draw(attached)
        attached.enable_directions()
        attached.set_directions("woman", 0.0)
        assert torch.equal(draw(attached), away)
        attached.unload_directions()
        assert torch.equal(draw(attached), away)
    assert hooks(attached) == 0


def test_guidance_may_end_in_the_middle(attached: Any, woman: Direction):
    def end(pipeline: Any, step: int, timestep: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
        # As diffusers' documentation shows it.
        if step == 0:
            pipeline._guidance_scale = 0.0
            kwargs["prompt_embeds"] = kwargs["prompt_embeds"].chunk(2)[-1]
        return kwargs

    options = {"callback_on_step_end": end, "callback_on_step_end_tensor_inputs": ["prompt_embeds"]}
    prompts = ["a judge", "a cook"]
    plain = draw(attached, prompts, **options)
    with steer(attached, {woman: [1.0, 0.0]}):
        expected = draw(attached, prompts, **options)
    attached.load_direction(woman, strength=[1.0, 0.0])
    found = draw(attached, prompts, **options)
    assert torch.equal(found, expected)
    assert torch.equal(found[1], plain[1]) and not torch.equal(found[0], plain[0])


def test_the_denoiser_called_by_hand(attached: Any, woman: Direction):
    attached.load_direction(woman, strength=[1.0, 0.0, 0.0])
    with torch.no_grad():
        inputs = torch.zeros(3, 4, 8, 8), 1, torch.zeros(3, 5, 32)
        first, second, third = attached.unet(*inputs).sample
        assert torch.equal(second, third) and not torch.equal(first, second)
        attached.set_directions("woman", [1.0, 0.0])
        with pytest.raises(StrengthError, match="2 strengths of 'woman' for 3 images"):
            attached.unet(*inputs)


def test_sizes_and_models_are_checked(attached: Any, other_pipeline: Any, woman: Direction):
    attached.load_direction(woman)
    with pytest.raises(MismatchError, match=r"resized\(6, 4\)"):
        draw(attached, height=24, width=16)
    attached.unet = other_pipeline.unet
    with pytest.raises(MismatchError, match="another denoiser"):
        draw(attached)
    attached.unload_directions()
    with pytest.raises(MismatchError, match="belongs to the model"):
        attached.load_direction(woman)
    assert hooks(attached) == 0


def test_half_precision(attached: Any, woman: Direction):
    for part in (attached.unet, attached.vae, attached.text_encoder):
        part.to(torch.bfloat16)
    with steer(attached, {woman: 1.0}):
        expected = draw(attached)
    attached.load_direction(woman, strength=1.0)
    assert torch.equal(draw(attached), expected)


def test_classes(make_pipeline: Callable[..., Any], tmp_path: Path, woman: Direction):
    from diffusers import StableDiffusionPipeline

    steered = with_directions(StableDiffusionPipeline)
    assert steered is with_directions(StableDiffusionPipeline) is with_directions(steered)
    assert issubclass(steered, DirectionsMixin) and steered.__name__ == "StableDiffusionPipeline"
    pipeline = make_pipeline()
    assert directrix.attach(pipeline) is pipeline is attach(pipeline)
    assert type(pipeline) is steered
    # Others of the class stay as they are.
    assert not isinstance(make_pipeline(), DirectionsMixin)
    pipeline.load_direction(woman)
    expected = draw(pipeline)
    pipeline.save_pretrained(tmp_path)
    assert '"StableDiffusionPipeline"' in (tmp_path / "model_index.json").read_text()
    assert '"diffusers"' in (tmp_path / "model_index.json").read_text()
    back = steered.from_pretrained(tmp_path, safety_checker=None)
    back.set_progress_bar_config(disable=True)
    assert back.get_list_directions() == []
    back.load_direction(woman)
    assert torch.equal(draw(back), expected)


@pytest.mark.parametrize(
    "way", [pytest.param("wrapped", marks=pytest.mark.slow), pytest.param("in place", marks=pytest.mark.slow), "blocks"]
)
def test_compiled_code_follows(attached: Any, woman: Direction, old: Direction, way: str):
    from torch._dynamo.testing import CompileCounter

    torch._dynamo.reset()
    plain = draw(attached)
    counter = CompileCounter()
    expected = {}
    for strength in (0.7, -0.5, 1.5):
        with steer(attached, {woman: strength}):
            expected[strength] = draw(attached)
    with steer(attached, {woman: 1.5, old: 0.5}):
        both = draw(attached)
    attached.load_direction(woman)
    if way == "wrapped":
        attached.unet = torch.compile(attached.unet, backend=counter, fullgraph=True)
    elif way == "in place":
        attached.unet.compile(backend=counter, fullgraph=True)
    else:
        attached.unet.mid_block.compile(backend=counter, fullgraph=True)
    torch.testing.assert_close(draw(attached), expected[0.7])
    compiled = counter.frame_count
    assert compiled >= 1
    for strength in (-0.5, 1.5, [-0.5], [1.5]):
        attached.set_directions(["woman"], [strength])
        wanted = expected[strength[0] if isinstance(strength, list) else strength]
        torch.testing.assert_close(draw(attached), wanted)
    attached.disable_directions()
    torch.testing.assert_close(draw(attached), plain)
    attached.enable_directions()
    draw(attached, guidance=3.0)
    assert counter.frame_count == compiled
    # Another number of directions at a site is no other program.
    attached.load_direction(old, strength=0.5)
    torch.testing.assert_close(draw(attached), both)
    assert counter.frame_count == compiled
    with pytest.raises(StrengthError, match="3 strengths"):
        attached.set_directions("woman", [1.0, 2.0, 3.0])
        draw(attached)
    attached.unload_directions()
    assert hooks(attached) == 0
    torch.testing.assert_close(draw(attached), plain)
    # What was compiled without a hook is another program, and the one with it is there still.
    both_programs = counter.frame_count
    attached.load_direction(woman)
    torch.testing.assert_close(draw(attached), expected[0.7])
    assert counter.frame_count == both_programs
    torch._dynamo.reset()
