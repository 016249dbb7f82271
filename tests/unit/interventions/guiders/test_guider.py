"""Modular pipelines are steered by a guider, as the classic pipelines of the same parts are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import guiders as known
from diffusers.hooks import LayerSkipConfig

import directrix
from directrix.directions.direction import Strengths
from directrix.errors import DirectrixError, MismatchError, StrengthError
from directrix.guiders import Steered
from unit.models.families import diffusion_transformers as transformers

TWO = ["a judge", "a pilot"]
BOTH = pytest.mark.parametrize("pair", ["sdxl", "sd3"], indirect=True)


@BOTH
@pytest.mark.parametrize(
    ("prompts", "images", "strength", "scale", "settings"),
    [
        ("a judge", 1, 1.0, 5.0, {}),
        (TWO, 1, [0.0, 1.0], 5.0, {}),
        ("a judge", 2, [1.0, 0.5], 5.0, {}),
        (["a judge", "a judge"], 2, [0.0, 1.0, 0.5, 1.5], 5.0, {}),
        ("a judge", 1, 1.0, 1.0, {}),
        (TWO, 1, [0.5, 1.0], 5.0, {"start": 0.25, "stop": 0.75}),
        ("a judge", 1, 1.0, 5.0, {"stop": 0.5}),
        ("a judge", 1, 1.0, 5.0, {"branch": "both"}),
        ("a judge", 1, 1.0, 5.0, {"branch": "unconditional"}),
    ],
)
def test_images_equal_the_classic_pipeline_s(pair, woman, prompts, images, strength, scale, settings):
    direction = woman(pair)
    plain = pair.draw(prompts, images, scale)
    with pair.guided_by(Steered({direction: strength}, pair.modular.guider, **settings)):
        steered = pair.draw(prompts, images, scale)
    assert pair.hooks() == []
    with directrix.steer(pair.classic, {direction: strength}, **settings):
        classic = pair.draw_classic(prompts, images, scale)
    assert torch.allclose(steered, classic, rtol=0, atol=1e-5)
    assert float((steered - plain).abs().max()) > 1e-2
    assert torch.equal(pair.draw(prompts, images, scale), plain)


@BOTH
def test_two_directions_and_the_default_strength(pair, woman):
    first, second = woman(pair), woman(pair, seed=1)
    with pair.guided_by(Steered({first: 0.5, second: 1.0}, pair.modular.guider)):
        steered = pair.draw()
    with directrix.steer(pair.classic, {first: 0.5, second: 1.0}):
        assert torch.allclose(steered, pair.draw_classic(), rtol=0, atol=1e-5)
    with pair.guided_by(Steered(first, pair.modular.guider)):
        alone = pair.draw()
    with directrix.steer(pair.classic, first):
        assert torch.allclose(alone, pair.draw_classic(), rtol=0, atol=1e-5)


@BOTH
def test_strength_0_keeps_every_bit(pair, woman):
    plain = pair.draw(TWO)
    with pair.guided_by(Steered({woman(pair): 0.0}, pair.modular.guider)):
        assert torch.equal(pair.draw(TWO), plain)
    with pair.guided_by(Steered({woman(pair): [0.0, 1.0]}, pair.modular.guider)):
        assert torch.equal(pair.draw(TWO)[0], plain[0])


SKIP = LayerSkipConfig([0], fqn="transformer_blocks", skip_attention=False)
SKIPPING: Any = {"skip_layer_guidance_start": 0.0, "skip_layer_guidance_stop": 1.0, "skip_layer_config": SKIP}
# A guider, and what its calls of the denoiser are about in four steps: c for the prompt, u for the negative prompt, s
# for the prompt in a worse version of the model.
GUIDERS: dict[str, tuple[Callable[[], Any], str]] = {
    "within an interval": (lambda: known.ClassifierFreeGuidance(5.0, start=0.25, stop=0.75), "c cu cu c"),
    "switched off": (lambda: known.ClassifierFreeGuidance(5.0, enabled=False), "c c c c"),
    "skipped layers": (lambda: known.SkipLayerGuidance(5.0, **SKIPPING), "cu cus cus cus"),
    "skipped layers alone": (lambda: known.SkipLayerGuidance(1.0, **SKIPPING), "c cs cs cs"),
    "a bad version of itself": (lambda: known.AutoGuidance(5.0, auto_guidance_config=SKIP), "cu cu cu cu"),
    "projected": (lambda: known.AdaptiveProjectedGuidance(5.0), "cu cu cu cu"),
    "zero star": (lambda: known.ClassifierFreeZeroStarGuidance(5.0), "cu cu cu cu"),
    "tangential": (lambda: known.TangentialClassifierFreeGuidance(5.0), "cu cu cu cu"),
}


@pytest.mark.parametrize(("build", "calls"), GUIDERS.values(), ids=GUIDERS)
def test_every_guider_is_steered_where_it_is_conditional(sd3, woman, added_by_hand, build, calls):
    direction = woman(sd3)
    with sd3.guided_by(build()):
        plain = sd3.draw(TWO, scale=None)
        with added_by_hand(sd3.denoiser, direction, [1.0, 0.5], [each != "u" for each in calls.replace(" ", "")]):
            expected = sd3.draw(TWO, scale=None)
    with sd3.guided_by(Steered({direction: [1.0, 0.5]}, build())):
        steered = sd3.draw(TWO, scale=None)
    assert sd3.hooks() == []
    assert torch.allclose(steered, expected, rtol=0, atol=1e-5)
    assert not torch.allclose(steered, plain)


def test_a_video_model_that_asks_for_the_branches_in_two_calls(make_direction, added_by_hand):
    """Wan, conditional first, against the classic pipeline with the direction added by hand in every first call."""
    import diffusers
    from diffusers.modular_pipelines.wan import WanBlocks

    from unit.interventions.guiders.conftest import modular
    from unit.models.families import parts

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        classic = wan(diffusers, parts)
    blocks = WanBlocks()
    del blocks.sub_blocks["text_encoder"], blocks.sub_blocks["decode"]
    pipeline = modular(blocks, classic)
    direction = make_direction(shape=(24,), of=classic)
    noise = torch.Generator().manual_seed(0)
    call = {
        name: torch.randn(2, 5, 16, generator=noise, dtype=torch.float64)
        for name in ("prompt_embeds", "negative_prompt_embeds")
    }
    call |= {"latents": torch.randn(2, 16, 1, 2, 2, generator=noise, dtype=torch.float64)}
    call |= {"num_inference_steps": 2, "height": 16, "width": 16, "num_frames": 1}
    with added_by_hand(classic.transformer, direction, [1.0, 0.5], [True, False, True, False]):
        expected = classic(**call, guidance_scale=5.0, output_type="latent").frames
    pipeline.guider.guidance_scale = 5.0
    plain = pipeline(**call, output="latents")
    Steered({direction: [1.0, 0.5]}).install(pipeline)
    steered = pipeline(**call, output="latents")
    assert torch.allclose(steered.double(), expected.double(), rtol=0, atol=1e-5)
    assert float((steered - plain).abs().amax(dim=(1, 2, 3, 4)).min()) > 0.1


def wan(diffusers: Any, parts: Any) -> Any:
    """A tiny WanPipeline."""
    transformer = diffusers.WanTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=12,
        text_dim=16,
        freq_dim=16,
        ffn_dim=32,
        num_layers=3,
        cross_attn_norm=True,
        rope_max_seq_len=32,
    )
    vae = diffusers.AutoencoderKLWan(
        base_dim=3, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True]
    )
    return parts.ready(
        diffusers.WanPipeline(
            tokenizer=parts.fast_tokenizer(),
            text_encoder=parts.t5(),
            vae=vae.eval(),
            scheduler=transformers.flow(),
            transformer=transformer,
        )
    )


def test_what_it_does_not_define_is_the_wrapped_guider_s(sdxl, woman):
    inner = known.ClassifierFreeGuidance(3.0)
    steered = Steered({woman(sdxl): 1.0}, inner)
    assert steered.guidance_scale == 3.0 and steered.num_conditions == 2
    steered.guidance_scale = 4.0
    steered.disable()
    assert inner.guidance_scale == 4.0 and not inner._enabled and steered.num_conditions == 1
    steered.enable()
    assert steered.num_conditions == 2 and "woman" in repr(steered)
    with pytest.raises(AttributeError, match="nothing"):
        steered.nothing  # noqa: B018
    copy = steered.new(stop=0.5)
    assert copy.guider is not inner and copy.steering.stop == 0.5
    assert copy.steering.strengths == steered.steering.strengths


def test_one_around_another(sdxl, woman):
    first, second = woman(sdxl), woman(sdxl, seed=1)
    with sdxl.guided_by(Steered({first: 1.0}, Steered({second: 1.0}, sdxl.modular.guider, stop=0.5))):
        steered = sdxl.draw()
    with directrix.steer(sdxl.classic, {first: 1.0}), directrix.steer(sdxl.classic, {second: 1.0}, stop=0.5):
        assert torch.allclose(steered, sdxl.draw_classic(), rtol=0, atol=1e-5)


def test_installed_it_wraps_the_pipeline_s_own_guider(sdxl, woman):
    own = sdxl.modular.guider
    try:
        steered = Steered({woman(sdxl): 1.0})
        steered.install(sdxl.modular)
        assert sdxl.modular.guider is steered and steered.guider is own
        own_of_another = known.ClassifierFreeGuidance(2.0)
        other = Steered({woman(sdxl): 1.0}, own_of_another)
        other.install(sdxl.modular)
        assert sdxl.modular.guider is other and other.guider is own_of_another
    finally:
        sdxl.modular.update_components(guider=own)


def test_pipelines_that_no_guider_can_steer_are_refused(sdxl, woman):
    from diffusers import FluxAutoBlocks
    from diffusers.modular_pipelines.wan import Wan22Blocks

    steered = Steered({woman(sdxl): 1.0})
    with pytest.raises(DirectrixError, match=r"FluxModularPipeline have no guider.*not modular, with directrix.steer"):
        steered.install(FluxAutoBlocks().init_pipeline())
    with pytest.raises(DirectrixError, match="have guider, guider_2"):
        steered.install(Wan22Blocks().init_pipeline())
    with pytest.raises(DirectrixError, match=r"no modular pipeline.*directrix.steer"):
        steered.install(sdxl.classic)


def test_directions_of_another_model_are_refused(sdxl, sd3, woman, make_direction):
    steered = Steered({make_direction(): 1.0}, sdxl.modular.guider)
    with pytest.raises(MismatchError, match="belongs to the model"):
        steered.install(sdxl.modular)
    with sdxl.guided_by(steered), pytest.raises(MismatchError, match="belongs to the model"):
        sdxl.draw()
    assert sdxl.hooks() == []


def test_settings_are_refused(sdxl, woman):
    direction = woman(sdxl)
    with pytest.raises(StrengthError, match="window"):
        Steered({direction: 1.0}, start=0.5, stop=0.2)
    with pytest.raises(StrengthError, match="branch"):
        Steered({direction: 1.0}, branch="left")
    with pytest.raises(DirectrixError, match="The guider is a str"):
        Steered({direction: 1.0}, "ClassifierFreeGuidance")  # pyright: ignore
    own = sdxl.modular.guider
    for steered, message in (
        (Steered({direction: [1.0, 0.0, 0.0]}, own), "There are 3 strengths"),
        (Steered({direction: 1.0}, own, branch="unconditional"), "drawn without guidance"),
    ):
        with sdxl.guided_by(steered), pytest.raises(StrengthError, match=message):
            sdxl.draw(scale=1.0)
        assert sdxl.hooks() == []


def test_values_that_the_model_s_precision_cannot_hold_are_refused(sdxl, woman):
    direction = woman(sdxl)
    large = direction.with_(tensor=1e3 * direction.tensor, strengths=Strengths(1.0, -3e38, 3e38))
    with (
        sdxl.guided_by(Steered({large: 3e38}, sdxl.modular.guider)),
        pytest.raises(StrengthError, match=r"'woman' at strength 3e\+38.*finite"),
    ):
        sdxl.draw()
    assert sdxl.hooks() == []


def test_a_strength_outside_its_range_warns(sdxl, woman):
    own, steered = sdxl.modular.guider, Steered({woman(sdxl, seed=5): 1.75})
    try:
        with pytest.warns(UserWarning, match=r"1\.75 of 'woman' is outside its range"):
            steered.install(sdxl.modular)
    finally:
        sdxl.modular.update_components(guider=own)


def test_a_window_that_the_scheduler_s_steps_do_not_keep_is_refused(sdxl, woman):
    from diffusers import HeunDiscreteScheduler

    scheduler = sdxl.modular.scheduler
    sdxl.modular.update_components(scheduler=HeunDiscreteScheduler())
    try:
        with (
            sdxl.guided_by(Steered({woman(sdxl): 1.0}, stop=0.5)),
            pytest.raises(StrengthError, match="asks the denoiser once a step"),
        ):
            sdxl.draw()
    finally:
        sdxl.modular.update_components(scheduler=scheduler)


def test_a_prediction_of_an_unknown_name_is_refused(sdxl, woman):
    class Left(known.ClassifierFreeGuidance):
        _input_predictions = ["pred_left", "pred_right"]  # noqa: RUF012

    with (
        sdxl.guided_by(Steered({woman(sdxl): 1.0}, Left())),
        pytest.raises(DirectrixError, match="Left makes a prediction 'pred_left'"),
    ):
        sdxl.draw()


def test_steer_names_the_guider(sdxl, woman):
    with (
        pytest.raises(DirectrixError, match=r"modular pipeline.*directrix\.guiders\.Steered"),
        directrix.steer(sdxl.modular, {woman(sdxl): 1.0}),
    ):
        pass


def test_the_example_of_the_documentation(sdxl, woman, tmp_path, monkeypatch):
    page = Path(__file__).parents[4] / "docs" / "families.md"
    section = page.read_text(encoding="utf-8").split("## Modular pipelines\n")[1].split("\n## ")[0]
    example = section.split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(tmp_path)
    own, plain = sdxl.modular.guider, sdxl.modular(prompt="a judge", num_inference_steps=1, output="images")
    try:
        scope: dict[str, Any] = {"pipeline": sdxl.modular, "woman": woman(sdxl)}
        exec(example, scope)
        assert scope["image"].size == plain[0].size
        assert isinstance(sdxl.modular.guider, Steered) and sdxl.modular.guider.steering.stop == 0.8
    finally:
        sdxl.modular.update_components(guider=own)
