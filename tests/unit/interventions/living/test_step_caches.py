"""Caches of steps that diffusers offers: a direction counts once, wherever it is, and none hinders the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import diffusers
import pytest
import torch

from directrix.interventions.attach import attach
from directrix.interventions.nearest_concept import NearestConcept
from directrix.interventions.steering import steer
from unit.interventions.living.cached_families import STEPS, built, built_in, cached, direction, draw

ALWAYS, NEVER = (-1, 1001), (0, 0)


def timestep_of(name: str) -> Callable[[], Any]:
    return lambda: built(name).current_timestep


def first_block(_name: str, hits: bool) -> Any:
    return diffusers.FirstBlockCacheConfig(threshold=1e9 if hits else -1.0)


def mag(_name: str, hits: bool) -> Any:
    return diffusers.MagCacheConfig(
        threshold=1e9,
        max_skip_steps=100,
        retention_ratio=0.0 if hits else 1.0,
        num_inference_steps=STEPS,
        mag_ratios=torch.ones(STEPS),
    )


def taylor(_name: str, hits: bool, lite: bool = False) -> Any:
    return diffusers.TaylorSeerCacheConfig(
        cache_interval=4,
        disable_cache_before_step=1 if hits else 100,
        taylor_factors_dtype=torch.float32,
        use_lite_mode=lite,
    )


def taylor_lite(name: str, hits: bool) -> Any:
    return taylor(name, hits, lite=True)


def pyramid(name: str, hits: bool) -> Any:
    return diffusers.PyramidAttentionBroadcastConfig(
        spatial_attention_block_skip_range=3,
        spatial_attention_timestep_skip_range=ALWAYS if hits else NEVER,
        current_timestep_callback=timestep_of(name),
    )


def faster(name: str, hits: bool) -> Any:
    return diffusers.FasterCacheConfig(
        spatial_attention_timestep_skip_range=(-1, 900) if hits else NEVER,
        unconditional_batch_timestep_skip_range=ALWAYS if hits else NEVER,
        attention_weight_callback=lambda _: 0.3,
        tensor_format="BFCHW",
        is_guidance_distilled=name == "flux",
        current_timestep_callback=timestep_of(name),
    )


def sea(_name: str, hits: bool) -> Any:
    return diffusers.SeaCacheConfig(
        threshold=1e9 if hits else 0.0, cache_end_steps=0, max_consecutive_cached=0, residual_order=int(hits)
    )


STACKS = (first_block, mag, taylor_lite)
CACHED = [(name, config) for name in ("flux", "wan", "cogvideox") for config in (first_block, taylor, pyramid)]
CACHED += [("flux", faster), ("cogvideox", faster), ("wan", mag), ("wan", sea), ("cogvideox", taylor_lite)]
# The first block, the last one, and heads; the middle one is the default.
SITES = [(name, config, None) for name, config in CACHED]
SITES += [
    ("wan", config, site) for config in (*STACKS, sea) for site in ("blocks.0", "blocks.2", "blocks.1.attn1.heads")
]
SITES += [("wan", config, "blocks.0.attn1.heads") for config in STACKS]
SITES += [("flux", first_block, site) for site in ("transformer_blocks.0", "single_transformer_blocks.1")]


def named(each: Any) -> str:
    return getattr(each, "__name__", str(each))


EACH = pytest.mark.parametrize(("name", "config"), CACHED, ids=named)


@EACH
def test_a_cache_that_never_hits_changes_nothing(name: str, config: Any):
    woman = direction(name)
    with steer(built(name), {woman: 1.0}):
        expected = draw(name)
    with cached(name, config(name, False)), steer(built(name), {woman: 1.0}):
        torch.testing.assert_close(draw(name), expected)


@pytest.mark.parametrize(("name", "config", "site"), SITES, ids=named)
def test_a_direction_counts_once(name: str, config: Any, site: str | None):
    woman = direction(name, site)
    with built_in(name, woman), cached(name, config(name, True)):
        expected = draw(name)
    with cached(name, config(name, True)):
        plain = draw(name)
        with steer(built(name), {woman: 1.0}):
            steered = draw(name)
        assert torch.equal(draw(name), plain)
    torch.testing.assert_close(steered, expected, atol=2e-4, rtol=2e-4)
    assert (steered - plain).abs().max() > 0.01


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("flux", first_block),
        ("flux", pyramid),
        ("wan", mag),
        ("wan", sea),
        ("cogvideox", taylor),
        ("cogvideox", faster),
    ],
    ids=named,
)
def test_any_order(name: str, config: Any):
    """A cache may come before, in the midst of or after steering, and go again: the images are those of both."""
    pipeline, woman = built(name), direction(name)
    transformer = pipeline.transformer
    plain = draw(name)
    with cached(name, config(name, True)):
        cached_plain = draw(name)
        with steer(pipeline, {woman: 1.0}):
            both = draw(name)
    with steer(pipeline, {woman: 1.0}):
        steered = draw(name)
        transformer.enable_cache(config(name, True))
        assert torch.equal(draw(name), both)
        transformer.disable_cache()
        assert torch.equal(draw(name), steered)
        transformer.enable_cache(config(name, True))
    assert torch.equal(draw(name), cached_plain)
    with steer(pipeline, {woman: 0.0}, stop=0.5):
        assert torch.equal(draw(name), cached_plain)
    with steer(pipeline, {woman: 1.0}):
        transformer.disable_cache()
        assert torch.equal(draw(name), steered)
    assert torch.equal(draw(name), plain)
    assert not any(each._forward_hooks or each._forward_pre_hooks for each in transformer.modules())
    assert not any(
        vars(each).get("_diffusers_hook", transformer._diffusers_hook).hooks for each in transformer.modules()
    )


@pytest.mark.parametrize("config", [first_block, taylor_lite, pyramid], ids=named)
def test_attached_directions(config: Any):
    """Directions that stay, and a cache that comes and goes."""
    name = "flux"
    pipeline, woman = built(name), direction(name)
    plain = draw(name)
    with steer(pipeline, {woman: 1.0}):
        steered = draw(name)
        with cached(name, config(name, True)):
            both = draw(name)
    attached = attach(pipeline)
    try:
        attached.load_direction(woman, strength=1.0)
        with cached(name, config(name, True)):
            assert torch.equal(draw(name), both)
            attached.disable_directions()
            unsteered = draw(name)
            attached.enable_directions()
            assert torch.equal(draw(name), both)
            attached.unload_directions()
            assert torch.equal(draw(name), unsteered)
            attached.load_direction(woman, strength=1.0)
        assert torch.equal(draw(name), steered)
    finally:
        attached.unload_directions()
    assert torch.equal(draw(name), plain)


@pytest.mark.parametrize("steps", [3, 6])
@pytest.mark.parametrize("name", ["flux", "wan", "cogvideox"])
@pytest.mark.parametrize("window", [{"stop": 0.34}, {"start": 0.5}], ids=str)
def test_windows(name: str, window: dict[str, float], steps: int):
    """At a window's edge all is computed anew, so a cache carries nothing across it."""
    pipeline, woman = built(name), direction(name)
    low, high = window.get("start", 0.0), window.get("stop", 1.0)
    steered = [low <= step / steps < high for step in range(steps)]
    now = [0]

    def callback(_pipeline: Any, step: int, _timestep: Any, _tensors: Any) -> dict[str, Any]:
        now[0] = step + 1
        if step + 1 < steps and steered[step] != steered[step + 1]:
            pipeline.transformer._reset_stateful_cache()
        return {}

    with built_in(name, woman, lambda: steered[now[0]]), cached(name, first_block(name, True)):
        expected = draw(name, num_inference_steps=steps, callback_on_step_end=callback)
    with cached(name, first_block(name, True)):
        with steer(pipeline, {woman: 1.0}, **window):
            found = draw(name, num_inference_steps=steps)
        with steer(pipeline, {woman: 1.0}):
            whole = draw(name, num_inference_steps=steps)
        plain = draw(name, num_inference_steps=steps)
    torch.testing.assert_close(found, expected, atol=2e-4, rtol=2e-4)
    assert 0 < (found - plain).norm() < (whole - plain).norm()


@pytest.mark.parametrize("config", [mag, taylor_lite, pyramid, faster], ids=named)
def test_a_window_is_over(config: Any):
    """Whatever a cache stores of steered steps, it does not go on with it after the window."""
    name = "cogvideox"
    pipeline, strong = built(name), direction(name, scale=30.0)
    with cached(name, config(name, True)):
        plain = draw(name)
        with steer(pipeline, {strong: 1.0}, start=0.8):
            late = draw(name)
        with steer(pipeline, {strong: 1.0}, stop=0.1):
            early = draw(name)
        with steer(pipeline, {strong: 1.0}):
            always = draw(name)
    for some in (late, early):
        assert 0 < (some - plain).norm() < (always - plain).norm()


def test_strengths_that_change_within_a_call():
    name = "flux"
    woman = direction(name)
    attached = attach(built(name))
    attached.load_direction(woman, strength=0.0)

    def callback(_pipeline: Any, step: int, _timestep: Any, _tensors: Any) -> dict[str, Any]:
        if step == 2:
            attached.set_directions("woman", 1.0)
        return {}

    try:
        with cached(name, first_block(name, True)):
            plain = draw(name)
            changed = draw(name, callback_on_step_end=callback)
        assert (changed - plain).abs().max() > 0.01
    finally:
        attached.unload_directions()


def test_after_a_call_that_failed():
    """What a broken off, steered call left in a cache is not in the next image."""
    name = "flux"

    def stop(*_: Any) -> dict[str, Any]:
        raise KeyboardInterrupt

    with cached(name, first_block(name, True)):
        plain = draw(name)
        with pytest.raises(KeyboardInterrupt), steer(built(name), {direction(name): 1.0}):
            draw(name, callback_on_step_end=stop)
        assert torch.equal(draw(name), plain)


@pytest.mark.parametrize("config", [first_block, taylor_lite, faster], ids=named)
@pytest.mark.parametrize("site", [None, "transformer_blocks.2"])
def test_interventions_that_look_first(config: Any, site: str | None):
    """What a skipped block shows is nobody's activations, and is not looked at."""
    name = "cogvideox"
    woman = direction(name, site)
    with cached(name, config(name, True)):
        plain = draw(name)
        with NearestConcept({"weapon": {woman: 3.0}}).applied(built(name)):
            nearest = draw(name)
        with steer(built(name), {woman: 3.0}):
            expected = draw(name)
    # Of one category it is the nearest in every step.
    torch.testing.assert_close(nearest, expected, atol=2e-4, rtol=2e-4)
    assert (nearest - plain).abs().max() > 0.01


def test_a_cache_for_a_compiled_model_that_is_steered():
    """Its modules have classes of their own then, which a cache must know."""
    name = "wan"
    pipeline, woman, config = built(name), direction(name), first_block(name, True)
    transformer = pipeline.transformer
    with cached(name, config), steer(pipeline, {woman: 1.0}):
        expected = draw(name)
    transformer.compile(backend="eager")
    try:
        with steer(pipeline, {woman: 1.0}), cached(name, config):
            torch.testing.assert_close(draw(name), expected)
    finally:
        transformer._compiled_call_impl = None
        torch._dynamo.reset()
