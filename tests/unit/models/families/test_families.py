"""Every family from end to end: find, save, load, steer, unload."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from directrix import models
from directrix.concept import Concept
from directrix.directions.direction import Direction
from directrix.discovery import discover
from directrix.discovery.environment import frozen
from directrix.discovery.frozen_denoiser import FrozenDenoiser
from directrix.discovery.pipeline_calls import PipelineCall
from directrix.discovery.settings import grouped
from directrix.discovery.trajectories import record_trajectories
from directrix.errors import MismatchError
from directrix.interventions.attach import attach
from directrix.interventions.steering import steer
from directrix.models import sites
from directrix.models.steerable import SteerableModel

WOMAN = Concept.of("woman", "a woman", "a person")
PROMPTS = ["a judge", "a cook with a knife"]


def found(family: Any, method: str = "difference", **changes: Any) -> Direction:
    call = {key: value for key, value in family.call.items() if key != "negative_prompt"}
    settings = {"images": 2, "num_inference_steps": 2, "guidance_scale": family.scale, "call": call}
    return discover(family.pipeline, WOMAN, method, **grouped({**settings, **changes}))


def random_direction(family: Any, seed: int = 0, shape: tuple[int, ...] | None = None) -> Direction:
    tensor = torch.randn(shape or family.shape, generator=torch.Generator().manual_seed(seed))
    return Direction("random", tensor, sites.find(family.pipeline), models.identity(family.pipeline))


def hooks(pipeline: Any) -> int:
    modules = sites.denoiser(pipeline).modules()
    return sum(len(each._forward_hooks) + len(each._forward_pre_hooks) for each in modules)


def test_found_saved_loaded_steered_unloaded(family: Any, tmp_path: Path):
    direction = found(family)
    assert direction.site.name == family.site and tuple(direction.tensor.shape) == family.shape
    assert direction.norm() > 0
    direction.save(tmp_path / "woman.safetensors")
    loaded = Direction.load(tmp_path / "woman.safetensors")
    plain = family.draw(PROMPTS, [1, 2])
    with steer(family.pipeline, {loaded: 20.0}):
        steered = family.draw(PROMPTS, [1, 2])
    assert not torch.equal(steered[0], plain[0]) and not torch.equal(steered[1], plain[1])
    with steer(family.pipeline, {loaded: 0.0}):
        assert torch.equal(family.draw(PROMPTS, [1, 2]), plain)
    assert hooks(family.pipeline) == 0 and "encode_prompt" not in vars(family.pipeline)
    assert torch.equal(family.draw(PROMPTS, [1, 2]), plain)


def test_a_batch_draws_what_singles_draw(family: Any):
    direction, strengths = random_direction(family), [0.0, 1.5]
    plain = family.draw(PROMPTS, [1, 2])
    with steer(family.pipeline, {direction: strengths}):
        batch = family.draw(PROMPTS, [1, 2])
    assert torch.equal(batch[0], plain[0]) and not torch.allclose(batch[1], plain[1], rtol=1e-3)
    one = {"negative_prompt": [""]} if "negative_prompt" in family.call else {}
    with steer(family.pipeline, {direction: strengths[1]}):
        single = family.draw(PROMPTS[1:], [2], **one)
    torch.testing.assert_close(single[0], batch[1], rtol=1e-2, atol=1e-2)


def test_directions_that_stay_draw_what_steer_draws(family: Any):
    direction, pipeline = random_direction(family), family.pipeline
    plain = family.draw(PROMPTS, [1, 2])
    with steer(pipeline, {direction: [1.5, 0.0]}):
        expected = family.draw(PROMPTS, [1, 2])
    own = type(pipeline)
    try:
        attach(pipeline)
        pipeline.load_direction(direction, strength=[1.5, 0.0])
        assert torch.equal(family.draw(PROMPTS, [1, 2]), expected)
        pipeline.disable_directions()
        assert torch.equal(family.draw(PROMPTS, [1, 2]), plain)
        pipeline.unload_directions()
    finally:
        pipeline.__class__ = own
    assert hooks(pipeline) == 0 and "encode_prompt" not in vars(pipeline)
    assert not torch.equal(expected[0], plain[0]) and torch.equal(expected[1], plain[1])


def test_what_is_replayed_is_what_the_pipeline_asked(family: Any):
    """The recorded site's output, and its unconditional half, come out again from states, times and prompts."""
    call = {key: value for key, value in family.call.items() if key != "negative_prompt"}
    model = SteerableModel.of(family.pipeline)
    drawing = PipelineCall(model, family.scale, 2, call)
    with frozen(model):
        denoiser = FrozenDenoiser(model, model.find_site(), drawing)
        (seen,) = record_trajectories(drawing, [denoiser.site], [WOMAN], 1)
        assert seen.evaluations == 2 * (2 if family.guided else 1)
        told = denoiser.encode(["a person"])
        empty = denoiser.unconditional([None]) if family.guided else told
        for step, time in enumerate(seen.timesteps):
            state = seen.states[0, :, step]
            for asked, expected in ((told, seen.neutral), (empty, seen.empty)):
                again = denoiser.site_output(state, time[None], asked).cpu()
                torch.testing.assert_close(again[0], expected[0, step], rtol=1e-3, atol=1e-4)
    if family.guided:
        assert not torch.allclose(seen.neutral, seen.empty, rtol=1e-3)


def text_states(family: Any, prompt: str) -> list[torch.Tensor]:
    """What the denoiser is given in each call."""
    seen: list[torch.Tensor] = []
    network = sites.denoiser(family.pipeline)
    hook = network.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs.get("encoder_hidden_states")), with_kwargs=True
    )
    try:
        family.draw([prompt] * 2, [1, 2])
    finally:
        hook.remove()
    return seen


def test_only_the_conditional_rows_are_steered(family: Any):
    """Which rows they are is seen from the text states: those that change with the prompt."""
    site, pipeline = sites.find(family.pipeline), family.pipeline
    from directrix.models import activations

    before: list[torch.Tensor] = []
    after: list[torch.Tensor] = []
    with (
        activations.read(pipeline, site, lambda h: before.append(h.clone())),
        steer(pipeline, {random_direction(family): 1.0}),
        activations.read(pipeline, site, lambda h: after.append(h.clone())),
    ):
        family.draw(PROMPTS, [1, 2])
    calls = len(before) // 2
    assert calls == (2 if family.name in ("flux-true-guidance", "lumina-2") else 1)
    texts = [text_states(family, word) for word in ("a dog", "a cat")]
    for call_number in range(calls):
        one, other = (each[call_number] for each in texts)
        conditional = [not torch.equal(a, b) for a, b in zip(one, other, strict=True)]
        changed = [not torch.equal(a, b) for a, b in zip(before[call_number], after[call_number], strict=True)]
        assert changed == conditional


# The others share all their code with one of these.
DIFFERENT = ("sd2", "sdxl", "turbo", "lcm", "pixart-alpha", "sd3", "flux-dev", "sana", "lumina-next", "lumina-2")


@pytest.mark.parametrize("family", DIFFERENT, indirect=True)
@pytest.mark.parametrize("method", ["trajectory", "distillation", "reconstruction"])
def test_every_method(family: Any, method: str):
    direction = found(family, method, steps=2, batch_size=2)
    assert tuple(direction.tensor.shape) == family.shape and direction.norm() > 0
    assert len(direction.recipe["loss"]["curve"]) == 2


def test_another_family_s_directions_are_refused(of: Any):
    names = ("sd1", "sdxl", "pixart-alpha", "sd3", "flux-dev")
    directions = {name: random_direction(of(name)) for name in names}
    for name, other in zip(names, (*names[1:], names[0]), strict=True):
        with (
            pytest.raises(MismatchError, match="discovered with this very model"),
            steer(of(name).pipeline, {directions[other]: 1.0}),
        ):
            pass
