"""A denoiser that several pipelines, threads and tasks share: each call is steered by its own pipeline's steering."""

from __future__ import annotations

import asyncio
import copy
import pickle
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

import pytest
import torch

from directrix.directions.direction import Direction
from directrix.errors import MismatchError
from directrix.interventions.attach import attach
from directrix.interventions.steering import steer
from directrix.models import sites


def hooks(pipeline: Any) -> int:
    modules = sites.denoiser(pipeline).modules()
    return sum(len(each._forward_hooks) + len(each._forward_pre_hooks) for each in modules)


def draw(pipeline: Any, scale: float = 5.0, steps: int = 2, **others: Any) -> torch.Tensor:
    return pipeline(
        ["a judge"],
        num_inference_steps=steps,
        guidance_scale=scale,
        generator=torch.Generator().manual_seed(0),
        output_type="latent",
        **others,
    ).images


def sibling(pipeline: Any) -> Any:
    """Another pipeline with the same networks, and a scheduler and a tokenizer of its own."""
    own = {name: copy.deepcopy(getattr(pipeline, name)) for name in ("scheduler", "tokenizer")}
    parts = {**pipeline.components, **own}
    other = type(pipeline)(**parts, requires_safety_checker=False)
    other.set_progress_bar_config(disable=True)
    return other


@contextmanager
def switching_often() -> Iterator[None]:
    """Threads take turns fifty times as often as usual."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)


@pytest.fixture
def direction(make_direction: Callable[..., Direction]) -> Direction:
    return make_direction()


@pytest.mark.parametrize("scale", [1.0, 5.0])
def test_a_pipeline_of_the_same_parts_is_not_steered(pipeline: Any, direction: Direction, scale: float):
    other = sibling(pipeline)
    plain = draw(other)
    draw(pipeline, scale)
    with steer(pipeline, {direction: 1.0}):
        assert torch.equal(draw(other), plain)
        assert not torch.equal(draw(pipeline), plain)
        with steer(other, {direction: -1.0}):
            both = draw(other)
        assert torch.equal(draw(other), plain)
    with steer(other, {direction: -1.0}):
        assert torch.equal(draw(other), both)


def test_a_pipeline_of_another_class_is_not_steered(pipeline: Any, direction: Direction):
    from diffusers import StableDiffusionImg2ImgPipeline

    other = StableDiffusionImg2ImgPipeline(**pipeline.components, requires_safety_checker=False)
    other.set_progress_bar_config(disable=True)

    def painted() -> torch.Tensor:
        generator = torch.Generator().manual_seed(0)
        return other(["a judge"], torch.zeros(1, 3, 16, 16), generator=generator, output_type="latent").images

    plain = painted()
    with steer(pipeline, {direction: 1.0}):
        assert torch.equal(painted(), plain)


def test_a_pipeline_that_is_called_in_a_callback_is_not_steered(pipeline: Any, direction: Direction):
    from diffusers import StableDiffusionImg2ImgPipeline

    other, plain = sibling(pipeline), draw(pipeline)
    painter = StableDiffusionImg2ImgPipeline(**pipeline.components, requires_safety_checker=False)
    painter.scheduler, found = copy.deepcopy(painter.scheduler), []

    def painted() -> torch.Tensor:
        generator = torch.Generator().manual_seed(0)
        return painter(["a judge"], torch.zeros(1, 3, 16, 16), generator=generator, output_type="latent").images

    def calling(inner: Callable[[], torch.Tensor]) -> torch.Tensor:
        def call(_pipeline: Any, _step: int, _time: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            found.append(inner())
            return tensors

        return draw(pipeline, callback_on_step_end=call)

    expected = painted()
    with steer(pipeline, {direction: 1.0}):
        steered = draw(pipeline)
        for inner, unsteered in ((lambda: draw(other), plain), (painted, expected)):
            with pytest.warns(RuntimeWarning, match="within a call of StableDiffusionPipeline is not steered"):
                assert torch.equal(calling(inner), steered)
            assert all(torch.equal(each, unsteered) for each in found)
            found.clear()
    with steer(other, {direction: 1.0}):
        assert torch.equal(calling(lambda: draw(other)), plain)
        assert all(torch.equal(each, steered) for each in found)


def test_a_steering_that_another_thread_closes_during_a_call(pipeline: Any, direction: Direction):
    """The image is neither steered nor unsteered, and the call says so."""
    opened = ExitStack()

    def close(_pipeline: Any, _step: int, _time: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        thread = threading.Thread(target=opened.close)
        thread.start()
        thread.join()
        return tensors

    opened.enter_context(steer(pipeline, {direction: 1.0}))
    with pytest.warns(RuntimeWarning, match="closed or changed in another thread or task during a call"):
        draw(pipeline, callback_on_step_end=close)
    assert hooks(pipeline) == 0


def test_threads_beside_each_other(pipeline: Any, direction: Direction):
    """One steered and one not, on one denoiser."""
    other = sibling(pipeline)
    plain, rounds = draw(other), 20
    with steer(pipeline, {direction: 1.0}):
        expected = draw(pipeline)

    def steered() -> list[torch.Tensor]:
        found = []
        for _ in range(rounds):
            with steer(pipeline, {direction: 1.0}):
                found.append(draw(pipeline))
        return found

    with ThreadPoolExecutor(2) as pool:
        one, two = pool.submit(steered), pool.submit(lambda: [draw(other) for _ in range(rounds)])
        assert all(torch.equal(each, expected) for each in one.result())
        assert all(torch.equal(each, plain) for each in two.result())
    assert hooks(pipeline) == 0


@pytest.mark.slow
def test_a_hundred_calls_beside_steered_ones(pipeline: Any, direction: Direction):
    """Four threads draw unsteered, and four open a steering for each image and close it again."""
    plain = draw(pipeline)
    with steer(pipeline, {direction: 1.0}):
        expected = draw(pipeline)

    def often(strength: float | None) -> list[torch.Tensor]:
        own, found = sibling(pipeline), []
        for _ in range(25):
            with nullcontext() if strength is None else steer(own, {direction: strength}):
                found.append(draw(own))
        return found

    with ThreadPoolExecutor(8) as pool, switching_often():
        unsteered, steered = ([pool.submit(often, each) for _ in range(4)] for each in (None, 1.0))
        for futures, wanted in ((unsteered, plain), (steered, expected)):
            assert [torch.equal(each, wanted) for future in futures for each in future.result()] == [True] * 100
    assert hooks(pipeline) == 0


def test_tasks_that_overlap(pipeline: Any, direction: Direction):
    """One opens its steering and waits; the other draws with the same pipeline meanwhile."""
    plain = draw(pipeline)
    with steer(pipeline, {direction: 1.0}):
        expected = draw(pipeline)
    opened, drawn = asyncio.Event(), asyncio.Event()

    async def steered() -> torch.Tensor:
        with steer(pipeline, {direction: 1.0}):
            opened.set()
            await drawn.wait()
            return await asyncio.to_thread(draw, pipeline)

    async def unsteered() -> torch.Tensor:
        await opened.wait()
        try:
            with pytest.warns(RuntimeWarning, match="is not steered: its steering was opened in another"):
                return draw(pipeline)
        finally:
            drawn.set()

    async def both() -> Any:
        return await asyncio.gather(steered(), unsteered())

    one, two = asyncio.run(both())
    assert torch.equal(one, expected) and torch.equal(two, plain)


def test_what_is_attached_acts_in_every_thread(make_pipeline: Callable[..., Any], direction: Direction):
    pipeline = make_pipeline()
    with steer(pipeline, {direction: 1.0}):
        expected = draw(pipeline)
    attach(pipeline).load_direction(direction, strength=1.0)
    with ThreadPoolExecutor(1) as pool:
        assert torch.equal(pool.submit(draw, pipeline).result(), expected)


@pytest.mark.parametrize("times", [150, pytest.param(1250, marks=pytest.mark.slow)])
def test_opening_and_closing_from_threads_leaves_nothing(pipeline: Any, direction: Direction, times: int):
    with steer(pipeline, {direction: 1.0}):
        expected = draw(pipeline)

    def often() -> None:
        for _ in range(times):
            with steer(pipeline, {direction: 0.5}):
                pass

    own = vars(type(pipeline)).get("__call__")
    with ThreadPoolExecutor(8) as pool, switching_often():
        for future in [pool.submit(often) for _ in range(8)]:
            future.result()
    assert hooks(pipeline) == 0
    assert vars(type(pipeline)).get("__call__") is own
    with steer(pipeline, {direction: 1.0}):
        assert torch.equal(draw(pipeline), expected)


@pytest.mark.parametrize("way", [copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))])
def test_a_copy_made_while_steered_is_independent(pipeline: Any, direction: Direction, way: Callable[[Any], Any]):
    plain = draw(pipeline)
    with steer(pipeline, {direction: 1.0}):
        copied = way(pipeline)
        assert torch.equal(draw(copied), plain)
        assert hooks(copied) == 0
    with steer(pipeline, {direction: 1.0}):
        steered = draw(pipeline)
        assert torch.equal(draw(copied), plain)
    with steer(copied, {direction: 1.0}):
        assert torch.equal(draw(copied), steered) and torch.equal(draw(pipeline), plain)


@pytest.mark.parametrize("way", [copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))])
def test_a_copy_of_an_attached_pipeline_has_its_own_steering(
    make_pipeline: Callable[..., Any], direction: Direction, way: Callable[[Any], Any]
):
    pipeline = make_pipeline()
    plain = draw(pipeline)
    attach(pipeline).load_direction(direction, strength=1.0)
    steered = draw(pipeline)
    copied = way(pipeline)
    pipeline.unload_directions()
    assert copied.get_active_directions() == [direction.name]
    assert torch.equal(draw(copied), steered) and torch.equal(draw(pipeline), plain)
    copied.unload_directions()
    assert torch.equal(draw(copied), plain) and hooks(copied) == hooks(pipeline) == 0


def test_a_denoiser_replaced_meanwhile_is_noticed(pipeline: Any, direction: Direction):
    network = pipeline.unet
    with steer(pipeline, {direction: 1.0}):
        pipeline.unet = copy.deepcopy(network)
        with pytest.raises(MismatchError, match="another denoiser than when its steering was opened"):
            draw(pipeline)
        pipeline.unet = network
        draw(pipeline)
