from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from directrix.directions.direction import Direction
from directrix.errors import DirectrixError, MismatchError, SiteError, StrengthError
from directrix.interventions.protocol import Intervention
from directrix.interventions.steering import Steering, steer
from directrix.models import hooks as _hooks
from directrix.models import sites
from directrix.models.identity import ModelIdentity, Site

STEPS = 3


def draw(
    pipeline: Any, prompts: Any = "a judge", seeds: Any = (0,), guidance: float = 5.0, **options: Any
) -> torch.Tensor:
    """Latents (n, 4, 8, 8), one generator per image."""
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    options = {"num_inference_steps": STEPS} | options
    return pipeline(prompts, generator=generators, guidance_scale=guidance, output_type="latent", **options).images


def hooks(pipeline: Any) -> int:
    return sum(len(each._forward_hooks) + len(each._forward_pre_hooks) for each in pipeline.unet.modules())


def seen(pipeline: Any, **options: Any) -> list[torch.Tensor]:
    """The mid block's output at each step, after steering."""
    outputs: list[torch.Tensor] = []
    with _hooks.edit_output(pipeline.unet.mid_block, lambda h: outputs.append(h.clone())):
        draw(pipeline, **options)
    return outputs


@pytest.mark.parametrize("guidance", [1.0, 5.0])
@pytest.mark.parametrize("zero", [0, 0.0, -0.0, [0.0, 0.0]])
def test_strength_zero_is_bit_identical(
    pipeline: Any, make_direction: Callable[..., Direction], zero: Any, guidance: float
):
    plain = draw(pipeline, ["a judge", "a cook"], (0, 1), guidance)
    with steer(pipeline, {make_direction(): zero}, branch="both" if guidance > 1 else "conditional"):
        assert torch.equal(draw(pipeline, ["a judge", "a cook"], (0, 1), guidance), plain)
    with steer(pipeline, {}):
        assert torch.equal(draw(pipeline, ["a judge", "a cook"], (0, 1), guidance), plain)
    assert torch.equal(draw(pipeline, ["a judge", "a cook"], (0, 1), guidance), plain)


@pytest.mark.parametrize("branch", ["conditional", "unconditional", "both"])
def test_what_is_added_with_guidance(pipeline: Any, make_direction: Callable[..., Direction], branch: str):
    direction = make_direction()
    plain = seen(pipeline)[0]
    with steer(pipeline, {direction: 0.5}, branch=branch):
        steered = seen(pipeline)[0]
    halves = {"unconditional": [0.5, 0.0], "conditional": [0.0, 0.5], "both": [0.5, 0.5]}[branch]
    for row, strength in enumerate(halves):
        if strength == 0:
            assert torch.equal(steered[row], plain[row])
        else:
            torch.testing.assert_close(steered[row], plain[row] + strength * direction.tensor)


def test_without_guidance_the_whole_batch_is_steered(pipeline: Any, make_direction: Callable[..., Direction]):
    direction = make_direction()
    options = {"prompts": ["a judge", "a cook"], "seeds": (0, 1), "guidance": 1.0}
    plain = seen(pipeline, **options)[0]
    with steer(pipeline, {direction: 1.0}):
        steered = seen(pipeline, **options)[0]
    assert plain.shape[0] == 2
    torch.testing.assert_close(steered, plain + direction.tensor)


def test_guidance_may_change_between_calls(pipeline: Any, make_direction: Callable[..., Direction]):
    with steer(pipeline, {make_direction(): 1.0}):
        guided, free = draw(pipeline), draw(pipeline, guidance=1.0)
        assert torch.equal(draw(pipeline), guided)
        assert torch.equal(draw(pipeline, guidance=1.0), free)
    assert not torch.equal(draw(pipeline), guided)


@pytest.mark.parametrize("guidance", [1.0, 5.0])
def test_a_batch_draws_what_singles_draw(pipeline: Any, make_direction: Callable[..., Direction], guidance: float):
    prompts, strengths = ["a judge", "a cook with a knife", "a dog"], [1.0, 0.0, -2.0]
    direction = make_direction()
    with steer(pipeline, {direction: strengths}):
        batch = draw(pipeline, prompts, (4, 5, 6), guidance)
    for index, prompt in enumerate(prompts):
        with steer(pipeline, {direction: strengths[index]}):
            torch.testing.assert_close(
                draw(pipeline, prompt, (4 + index,), guidance)[0], batch[index], atol=1e-4, rtol=1e-3
            )


def test_rows_of_strength_zero_keep_their_bits(pipeline: Any, make_direction: Callable[..., Direction]):
    plain = draw(pipeline, ["a judge"] * 3, (0, 1, 2))
    with steer(pipeline, {make_direction(): [2.0, 0.0, 2.0]}):
        steered = draw(pipeline, ["a judge"] * 3, (0, 1, 2))
    assert torch.equal(steered[1], plain[1])
    assert not torch.allclose(steered[0], plain[0])
    assert not torch.allclose(steered[2], plain[2])


@pytest.mark.parametrize("strengths", [(0.0, 2.0, 2.0, 0.0), (2.0, 0.0, 0.0, -1.0), (0.0, 0.0, 1e-60, 3.0)])
def test_scattered_images_are_steered_as_neighbours(
    pipeline: Any, make_direction: Callable[..., Direction], strengths: tuple[float, ...]
):
    direction = make_direction()

    def last(*values: float) -> torch.Tensor:
        with steer(pipeline, {direction: values}):
            return seen(pipeline, prompts=["a judge"] * 4, seeds=range(4), num_inference_steps=1)[-1]

    added = last(*strengths) - last(0.0, 0.0, 0.0, 0.0)
    for row, strength in enumerate((0.0,) * 4 + strengths):
        assert torch.allclose(added[row], strength * direction.tensor, atol=1e-5)
        assert strength or not added[row].any()


def test_images_per_prompt_follow_the_pipeline_s_order(pipeline: Any, make_direction: Callable[..., Direction]):
    direction, strengths = make_direction(), [0.0, 1.0, 2.0, 0.0]
    with steer(pipeline, {direction: strengths}):
        several = draw(pipeline, ["a judge", "a cook"], range(4), num_images_per_prompt=2)
        listed = draw(pipeline, ["a judge", "a judge", "a cook", "a cook"], range(4))
    torch.testing.assert_close(several, listed)
    with steer(pipeline, {direction: [1.0, 2.0]}), pytest.raises(StrengthError, match="2 strengths for a batch of 4"):
        draw(pipeline, ["a judge", "a cook"], range(4), num_images_per_prompt=2)
    assert hooks(pipeline) == 0


def test_several_directions_are_a_sum(pipeline: Any, make_direction: Callable[..., Direction]):
    a, b = make_direction("a"), make_direction("b", seed=1)
    with steer(pipeline, {a: 1.0, b: -0.5}):
        together = draw(pipeline)
    with steer(pipeline, {a - 0.5 * b: 1.0}):
        torch.testing.assert_close(draw(pipeline), together, atol=1e-4, rtol=1e-3)


def test_nested_steering_adds(pipeline: Any, make_direction: Callable[..., Direction]):
    a, b = make_direction("a"), make_direction("b", seed=1)
    with steer(pipeline, {a: 1.0, b: 0.5}):
        together = draw(pipeline)
    with steer(pipeline, {a: 1.0}):
        alone = draw(pipeline)
        with steer(pipeline, {b: 0.5}):
            torch.testing.assert_close(draw(pipeline), together, atol=1e-4, rtol=1e-3)
        assert torch.equal(draw(pipeline), alone)
    with steer(pipeline, {a: 1.0}), steer(pipeline, {a: -1.0}):
        torch.testing.assert_close(draw(pipeline), draw_plain(pipeline), atol=1e-4, rtol=1e-3)


def draw_plain(pipeline: Any) -> torch.Tensor:
    retained = dict(pipeline.unet.mid_block._forward_hooks)
    pipeline.unet.mid_block._forward_hooks.clear()
    try:
        return draw(pipeline)
    finally:
        pipeline.unet.mid_block._forward_hooks.update(retained)


def test_hooks_are_gone_after_an_exception(pipeline: Any, make_direction: Callable[..., Direction]):
    plain = draw(pipeline)

    def fail(*_: Any) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), steer(pipeline, {make_direction(): 1.0}, stop=0.5):
        draw(pipeline, callback_on_step_end=fail)
    assert hooks(pipeline) == 0
    assert torch.equal(draw(pipeline), plain)


@pytest.mark.parametrize(
    ("start", "stop", "expected"),
    [
        (0.0, 1.0, [1, 1, 1, 1]),
        (0.0, 0.5, [1, 1, 0, 0]),
        (0.5, 1.0, [0, 0, 1, 1]),
        (0.25, 0.75, [0, 1, 1, 0]),
        (0.0, 0.1, [1, 0, 0, 0]),
        (0.3, 0.3, [0, 0, 0, 0]),
        (1.0, 1.0, [0, 0, 0, 0]),
    ],
)
@pytest.mark.parametrize("guidance", [1.0, 5.0])
def test_window_of_steps(
    pipeline: Any,
    make_direction: Callable[..., Direction],
    start: float,
    stop: float,
    expected: list[int],
    guidance: float,
):
    pairs: list[tuple[torch.Tensor, torch.Tensor]] = []
    before: list[torch.Tensor] = []
    with (
        _hooks.edit_output(pipeline.unet.mid_block, lambda h: before.append(h.clone())),
        steer(pipeline, {make_direction(): 1.0}, start=start, stop=stop),
        _hooks.edit_output(pipeline.unet.mid_block, lambda h: pairs.append((before[-1], h.clone()))),
    ):
        draw(pipeline, num_inference_steps=4, guidance=guidance)
    assert [int(not torch.equal(*pair)) for pair in pairs] == expected


@pytest.mark.parametrize(
    "name", ["PNDMScheduler", "HeunDiscreteScheduler", "EulerDiscreteScheduler", "DPMSolverMultistepScheduler"]
)
def test_window_with_other_schedulers(
    make_pipeline: Callable[..., Any], make_direction: Callable[..., Direction], name: str
):
    import diffusers

    pipeline = make_pipeline()
    pipeline.scheduler = getattr(diffusers, name).from_config(pipeline.scheduler.config)
    plain, changed = seen(pipeline, num_inference_steps=4), None
    with steer(pipeline, {make_direction(): 1.0}, start=0.5):
        changed = seen(pipeline, num_inference_steps=4)
    same = [torch.equal(a, b) for a, b in zip(plain, changed, strict=True)]
    first = same.index(False)
    assert all(same[:first])
    assert 1 <= first <= len(same) - 1


def test_vectors_fit_every_size_and_maps_one(pipeline: Any, make_direction: Callable[..., Direction]):
    free, tied = make_direction(shape=(32,)), make_direction()
    for height in (16, 24):
        with steer(pipeline, {free: 1.0}):
            steered = draw(pipeline, height=height, width=16)
        assert not torch.allclose(steered, draw(pipeline, height=height, width=16))
    with pytest.raises(MismatchError, match=r"4 x 4.*6 x 4.*resized\(6, 4\)"), steer(pipeline, {tied: 1.0}):
        draw(pipeline, height=24, width=16)
    assert hooks(pipeline) == 0
    with steer(pipeline, {tied.resized(6, 4): 1.0}):
        draw(pipeline, height=24, width=16)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(
    make_pipeline: Callable[..., Any], make_direction: Callable[..., Direction], dtype: torch.dtype
):
    pipeline = make_pipeline()
    for part in (pipeline.unet, pipeline.vae, pipeline.text_encoder):
        part.to(dtype)
    plain = draw(pipeline)
    assert plain.dtype == dtype
    with steer(pipeline, {make_direction(): 0.0}):
        assert torch.equal(draw(pipeline), plain)
    with steer(pipeline, {make_direction(): 1.0}):
        steered = draw(pipeline)
    assert steered.dtype == dtype
    assert not torch.equal(steered, plain)


def test_v_prediction(v_pipeline: Any, make_direction: Callable[..., Direction]):
    plain = draw(v_pipeline)
    with steer(v_pipeline, {make_direction(of=v_pipeline): 1.0}):
        assert not torch.allclose(draw(v_pipeline), plain)


def test_a_single_direction_has_its_default_strength(pipeline: Any, make_direction: Callable[..., Direction]):
    from directrix.directions.direction import Strengths

    direction = make_direction().with_(strengths=Strengths(0.7, 0.0, 1.0))
    with steer(pipeline, direction):
        by_default = draw(pipeline)
    with steer(pipeline, {direction: 0.7}):
        assert torch.equal(draw(pipeline), by_default)


def test_other_models_are_refused_by_name(other_pipeline: Any, make_direction: Callable[..., Direction]):
    direction = make_direction()
    with (
        pytest.raises(MismatchError, match="belongs to the model 'UNet2DConditionModel'"),
        steer(other_pipeline, {direction: 1.0}),
    ):
        pass
    with pytest.raises(MismatchError), steer(other_pipeline, {direction: 0.0}):
        pass


def test_missing_site(pipeline: Any, make_direction: Callable[..., Direction]):
    direction = make_direction().with_(site=Site("nowhere", 32))
    with pytest.raises(SiteError), steer(pipeline, {direction: 1.0}):
        pass
    assert hooks(pipeline) == 0


def test_two_sites(pipeline: Any, make_direction: Callable[..., Direction]):
    up = make_direction("up", shape=(32,)).with_(site=sites.find(pipeline, "up_blocks.0"))
    with steer(pipeline, {make_direction(): 1.0}):
        one = draw(pipeline)
    with steer(pipeline, {make_direction(): 1.0, up: 1.0}):
        assert not torch.allclose(draw(pipeline), one)
    assert hooks(pipeline) == 0


@pytest.mark.parametrize("bad", ["woman.safetensors", ["woman"], {"woman": 1.0}, 3, None])
def test_what_is_not_a_direction(pipeline: Any, bad: Any):
    with pytest.raises(DirectrixError, match="irection"):
        steer(pipeline, bad)


@pytest.mark.parametrize("window", [(-0.1, 1.0), (0.0, 1.1), (0.6, 0.4), ("0", 1.0), (float("nan"), 1.0), (True, 1.0)])
def test_windows_that_make_no_sense(pipeline: Any, make_direction: Callable[..., Direction], window: tuple[Any, Any]):
    with pytest.raises(StrengthError, match="window"):
        steer(pipeline, {make_direction(): 1.0}, "both", *window)


@pytest.mark.parametrize("bad", [float("nan"), "1", [1.0, float("inf")], None])
def test_strengths_are_checked_before_anything_runs(pipeline: Any, make_direction: Callable[..., Direction], bad: Any):
    with pytest.raises(StrengthError):
        steer(pipeline, {make_direction(): bad})


def test_denoiser_called_by_hand(make_pipeline: Callable[..., Any], make_direction: Callable[..., Direction]):
    pipeline, direction, out = make_pipeline(), make_direction(), []
    with (
        torch.no_grad(),
        steer(pipeline, {direction: [1.0, 0.0, 1.0]}),
        _hooks.edit_output(pipeline.unet.mid_block, out.append),
    ):
        pipeline.unet(torch.zeros(3, 4, 8, 8), 1, torch.zeros(3, 5, 32))
    torch.testing.assert_close(out[0][0] - out[0][1], direction.tensor, atol=1e-5, rtol=1e-4)
    with (
        torch.no_grad(),
        steer(pipeline, {direction: 1.0}, guided=True),
        _hooks.edit_output(pipeline.unet.mid_block, out.append),
    ):
        pipeline.unet(torch.zeros(2, 4, 8, 8), 1, torch.zeros(2, 5, 32))
    torch.testing.assert_close(out[1][1] - out[1][0], direction.tensor, atol=1e-5, rtol=1e-4)


def test_gradients_pass_through(pipeline: Any, make_direction: Callable[..., Direction]):
    latents = torch.zeros(2, 4, 8, 8, requires_grad=True)
    with steer(pipeline, {make_direction(): [1.0, 0.0]}, guided=False):
        pipeline.unet(latents, 1, torch.zeros(2, 5, 32)).sample.sum().backward()
    assert latents.grad is not None
    assert bool(latents.grad.abs().sum() > 0)


def test_transformers_are_steered_by_vectors():
    from diffusers import PixArtTransformer2DModel

    torch.manual_seed(0)
    network = PixArtTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=4,
        in_channels=4,
        out_channels=4,
        num_layers=2,
        cross_attention_dim=8,
        sample_size=8,
        caption_channels=8,
        use_additional_conditions=False,
    ).eval()
    pipeline: Any = SimpleNamespace(transformer=network)
    from directrix import models

    direction = Direction("a", torch.randn(8), sites.find(pipeline), models.identity(pipeline))

    def call() -> torch.Tensor:
        with torch.no_grad():
            condition = {"resolution": None, "aspect_ratio": None}
            time = torch.tensor([5, 5])
            return network(torch.ones(2, 4, 8, 8), torch.ones(2, 3, 8), time, condition).sample

    plain = call()
    with steer(pipeline, {direction: [0.0, 1.0]}, guided=False):
        steered = call()
    assert torch.equal(steered[0], plain[0])
    assert not torch.allclose(steered[1], plain[1])
    with pytest.raises(StrengthError, match="guided=True or guided=False"), steer(pipeline, {direction: 1.0}):
        call()


def test_steering_is_an_intervention(make_direction: Callable[..., Direction]):
    steering = Steering({make_direction("woman"): 1.0, make_direction("old"): [0.0, 0.5]}, "both", 0.1, 0.9)
    assert isinstance(steering, Intervention)
    assert steering.name == "woman:1, old:per image"
    assert steering.config["branch"] == "both"
    assert [each["strength"] for each in steering.config["directions"]] == [1.0, [0.0, 0.5]]


def test_selection_of_images(make_direction: Callable[..., Direction]):
    direction = make_direction()
    steering = Steering({direction: [0.0, 1.0, 2.0, 2.0]}, start=0.5)
    assert steering.select([0, 1], 4).strengths[direction] == (0.0, 1.0)
    assert (
        steering.select([2], 4).config
        == steering.select([2, 3], 4).config
        == Steering({direction: 2}, start=0.5).config
    )
    with pytest.raises(StrengthError, match="4 strengths of 'woman' for 5 images"):
        steering.select([0], 5)


def test_a_steering_can_be_used_twice(pipeline: Any, make_direction: Callable[..., Direction]):
    steering = Steering({make_direction(): 1.0})
    with steering.applied(pipeline):
        first = draw(pipeline)
    with steering.applied(pipeline) as given:
        assert given is pipeline
        assert torch.equal(draw(pipeline), first)


def test_a_renamed_copy_of_the_model_is_accepted(pipeline: Any, make_direction: Callable[..., Direction]):
    direction = make_direction()
    renamed = direction.with_(model=ModelIdentity("another name", "x", direction.model.fingerprint))
    with steer(pipeline, {renamed: 1.0}):
        draw(pipeline)
