"""Directions act in the announced call and in no other, and nothing is left behind."""

from __future__ import annotations

import copy
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

import pytest
import torch
from diffusers.guiders import ClassifierFreeGuidance, SkipLayerGuidance
from diffusers.hooks import LayerSkipConfig

from directrix.errors import DirectrixError
from directrix.guiders import Steered


@contextmanager
def failing(module: Any, call: int, error: BaseException) -> Iterator[None]:
    """The module raises in this call, the first being 1."""
    calls = []

    def fail(*_: Any) -> None:
        calls.append(1)
        if len(calls) == call:
            raise error

    handle = module.register_forward_pre_hook(fail)
    try:
        yield
    finally:
        handle.remove()


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), KeyboardInterrupt()])
@pytest.mark.parametrize("pair", ["sdxl", "sd3"], indirect=True)
def test_nothing_is_left_when_a_call_raises(pair, woman, error):
    plain = pair.draw()
    last = list(pair.denoiser.modules())[-1]
    steered = Steered({woman(pair): 1.0}, pair.modular.guider)
    with pair.guided_by(steered):
        expected = pair.draw()
        # Whoever holds the exception holds the frames, too.
        with pytest.raises(type(error)) as caught, failing(last, 3, error):
            pair.draw()
        assert pair.hooks() == []
        assert torch.equal(pair.draw(), expected)
    assert caught.value is error
    assert torch.equal(pair.draw(), plain)


def test_nothing_is_left_of_the_wrapped_guider_s_either(sd3, woman):
    skip = LayerSkipConfig([0], fqn="transformer_blocks", skip_attention=False)
    guider = SkipLayerGuidance(5.0, skip_layer_guidance_start=0.0, skip_layer_guidance_stop=1.0, skip_layer_config=skip)
    with sd3.guided_by(Steered({woman(sd3): 1.0}, guider)):
        expected = sd3.draw(scale=None)
        # The fifth call is the first one without a layer.
        with pytest.raises(RuntimeError), failing(sd3.denoiser.transformer_blocks[2], 5, RuntimeError("no")):
            sd3.draw(scale=None)
        assert sd3.hooks() == []
        assert torch.equal(sd3.draw(scale=None), expected)


class Loop:
    """What a block does in a step of a run. `between` runs between the announcement and the call."""

    def __init__(self, pair: Any, steered: Steered) -> None:
        self.pair, self.steered = pair, steered
        noise = torch.Generator().manual_seed(0)
        self.inputs = {
            "hidden_states": torch.randn(1, 4, 8, 8, generator=noise, dtype=torch.float64),
            "encoder_hidden_states": torch.randn(1, 4, 32, generator=noise, dtype=torch.float64),
            "pooled_projections": torch.randn(1, 32, generator=noise, dtype=torch.float64),
            "timestep": torch.tensor([500.0], dtype=torch.float64),
        }

    def call(self) -> torch.Tensor:
        with torch.no_grad():
            return self.pair.denoiser(**self.inputs, return_dict=False)[0]

    def step(self, between: Any = lambda: None, announce: bool = True, by_itself: bool = True) -> torch.Tensor:
        self.steered.set_state(step=0, num_inference_steps=1, timestep=torch.tensor(500))
        batches = self.steered.prepare_inputs({"x": (torch.zeros(1), torch.ones(1))})
        for batch in batches:
            if announce and by_itself:
                self.steered.prepare_models(self.pair.denoiser)
            elif announce:
                self.announce()
            between()
            batch.noise_pred = self.call()
            if announce:
                self.steered.cleanup_models(self.pair.denoiser)
        return self.steered(batches).pred

    def announce(self) -> None:
        self.steered.prepare_models(self.pair.denoiser)


@pytest.fixture
def loop(sd3, woman) -> Loop:
    return Loop(sd3, Steered({woman(sd3): 1.0}, ClassifierFreeGuidance(1.0)))


def test_other_callers_of_the_denoiser_get_it_unsteered(loop):
    plain, found = loop.call(), []

    def others() -> None:
        thread = Thread(target=lambda: found.append(Loop(loop.pair, loop.steered).call()))
        thread.start()
        thread.join()

    steered = loop.step(others)
    assert torch.equal(found[0], plain) and not torch.allclose(steered, plain)
    assert torch.equal(loop.step(), steered)


def test_an_announced_call_that_never_came_acts_in_no_later_one(loop):
    plain = loop.call()

    def fail() -> None:
        raise RuntimeError("the control network")

    with pytest.raises(RuntimeError) as caught:
        loop.step(fail)
    assert torch.equal(loop.call(), plain)
    caught.value.with_traceback(None)
    del caught
    gc.collect()
    assert loop.pair.hooks() == []


def test_loops_that_do_not_announce_their_calls_are_refused(loop):
    with pytest.raises(DirectrixError, match="0 of the step's 1 calls were announced"):
        loop.step(announce=False)
    with pytest.raises(DirectrixError, match="not called by the function that called prepare_models"):
        loop.step(by_itself=False)
    loop.steered.set_state(0, 1, torch.tensor(500))
    with pytest.raises(DirectrixError, match="called more often than for the guider's 0 batches"):
        loop.steered.prepare_models(loop.pair.denoiser)
    assert loop.pair.hooks() == []


def test_the_denoiser_is_as_it_was(loop):
    network = loop.pair.denoiser
    before = {name: set(vars(module)) for name, module in network.named_modules()}
    loop.step()
    assert {name: set(vars(module)) for name, module in network.named_modules()} == before
    steered = loop.step()
    assert torch.equal(Loop(loop.pair, copy.deepcopy(loop.steered)).step(), steered)


@pytest.mark.slow
def test_a_compiled_denoiser(sd3, woman):
    direction, own = woman(sd3), sd3.modular.transformer
    with sd3.guided_by(Steered({direction: 1.0}, sd3.modular.guider)):
        expected = sd3.draw()
        plain = sd3.draw(scale=1.0)
        try:
            sd3.modular.transformer = torch.compile(own, backend="eager")
            assert torch.allclose(sd3.draw(), expected, rtol=0, atol=1e-8)
            assert torch.allclose(sd3.draw(scale=1.0), plain, rtol=0, atol=1e-8)
        finally:
            sd3.modular.transformer = own
            torch._dynamo.reset()
    assert sd3.hooks() == []
