"""Numbers that cannot be: a strength beyond its range is said, and an overflow is never drawn."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from directrix import generate
from directrix.directions.header import Strengths
from directrix.errors import StrengthError
from directrix.interventions import finite
from directrix.interventions.attach import attach
from directrix.interventions.nearest_concept import NearestConcept
from directrix.interventions.project_and_set import ProjectAndSet
from directrix.interventions.steering import Steering, steer
from unit.models.families import diffusion_transformers

FLUX = {"height": 16, "width": 16, "max_sequence_length": 16}
CASES = [(torch.float16, 1e5, "float16"), (torch.bfloat16, 1e30, "bfloat16")]


def overflow(strength: float, precision: str) -> str:
    return re.escape(f"'woman' at strength {strength:g}, ") + rf".* step 1 of 3, in {precision}\."


@pytest.fixture
def woman(make_direction: Callable[..., Any]) -> Any:
    """A direction that takes any strength without a warning."""
    return make_direction().with_(strengths=Strengths(0.0, -3e38, 3e38))


@pytest.fixture
def half(make_pipeline: Callable[..., Any]) -> Any:
    return make_pipeline().to(torch.float16)


@pytest.mark.parametrize(("dtype", "strength", "name"), CASES)
def test_an_overflow_in_a_unet(
    make_pipeline: Callable[..., Any], draw: Any, woman: Any, dtype: torch.dtype, strength: float, name: str
):
    pipeline = make_pipeline().to(dtype)
    plain = draw(pipeline)
    with pytest.raises(StrengthError, match=overflow(strength, name)), steer(pipeline, {woman: strength}):
        draw(pipeline)
    assert torch.equal(draw(pipeline), plain)


@pytest.mark.parametrize(("dtype", "strength", "name"), CASES)
def test_an_overflow_in_a_transformer(draw: Any, make_direction: Any, dtype: torch.dtype, strength: float, name: str):
    pipeline = diffusion_transformers.flux().to(dtype)
    direction = make_direction(shape=(16,), of=pipeline).with_(strengths=Strengths(0.0, -3e38, 3e38))
    with pytest.raises(StrengthError, match=overflow(strength, name)), steer(pipeline, {direction: strength}):
        draw(pipeline, **FLUX)


def test_the_last_step_of_one_image(half: Any, draw: Any, woman: Any):
    with (
        pytest.raises(StrengthError, match=r"'woman' at strength 100000, .* step 3 of 3"),
        steer(half, {woman: [0.0, 1e5]}, start=0.6),
    ):
        draw(half, ["a judge", "a cook"], 2)


def test_latents_that_overflow_at_the_end(half: Any, draw: Any, woman: Any):
    """The answer is finite, what the scheduler makes of it is not: no black image."""
    step = half.scheduler.step
    half.scheduler.step = lambda *args, **kwargs: tuple(each * torch.inf for each in step(*args, **kwargs)[:1])
    with pytest.raises(StrengthError, match="in the last step"), steer(half, {woman: 1.0}):
        draw(half, num_inference_steps=1, output_type="pt")


def test_attached_directions(half: Any, draw: Any, woman: Any):
    half = attach(half)
    half.load_direction(woman, name="mine", strength=1e5)
    with pytest.raises(StrengthError, match="'mine' at strength 100000"):
        draw(half)
    half.disable_directions()
    draw(half)


@pytest.mark.parametrize(
    "policy",
    [
        lambda woman, man: ProjectAndSet({"gender": {"woman": {woman: 1e5}, "man": {man: 1e5}}}, [{"gender": "woman"}]),
        lambda woman, man: NearestConcept({"weapon": {woman: 1e5}}),
    ],
)
def test_policies(half: Any, draw: Any, woman: Any, make_direction: Any, policy: Any):
    man = make_direction("man", 1)
    with (
        pytest.raises(StrengthError, match=r"'woman' at strength 100000.* step 1 of 3"),
        policy(woman, man).applied(half),
    ):
        draw(half)


@pytest.mark.parametrize("options", [{}, {"stop": 0.5}])
def test_a_model_that_is_broken_itself(
    make_pipeline: Callable[..., Any], draw: Any, woman: Any, options: dict[str, Any]
):
    """Latents that never were finite are no fault of a direction, least of all at strength 0."""
    pipeline = make_pipeline()
    latents = torch.full((1, 4, 8, 8), torch.nan)
    for strength in (0.0, 1.0):
        with steer(pipeline, {woman: strength}, **options):
            assert bool(draw(pipeline, latents=latents).isnan().any())
    pipeline.unet.conv_out.register_forward_hook(lambda _module, _args, output: output * torch.inf)
    with steer(pipeline, {woman: 0.0}, **options):
        assert not bool(draw(pipeline).isfinite().all())
    with steer(pipeline, {woman: 1.0}, start=0.5):
        assert not bool(draw(pipeline).isfinite().all())


class OnAccelerator:
    """A tensor's finiteness as an accelerator has it: to ask for it is to wait."""

    waited = 0
    device = SimpleNamespace(type="cuda")

    def __init__(self, value: bool) -> None:
        self.value = value

    def __bool__(self) -> bool:
        OnAccelerator.waited += 1
        return self.value


def test_an_accelerator_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, pipeline: Any, draw: Any, make_direction: Any
):
    """All is asked for when the pipeline's call has ended; the step is the first one that went wrong."""
    OnAccelerator.waited = 0
    answers = iter([True, True, False, False])
    waited = []

    def step(_pipeline: Any, _step: int, _timestep: Any, _tensors: Any) -> dict[str, Any]:
        waited.append(OnAccelerator.waited)
        return {}

    monkeypatch.setattr(finite, "_is_finite", lambda _: (OnAccelerator(next(answers)), torch.float16))
    with pytest.raises(StrengthError, match=r"step 2 of 3, in float16"), steer(pipeline, {make_direction(): 1.0}):
        draw(pipeline, callback_on_step_end=step)
    assert waited == [0, 0, 0]


def test_a_strength_outside_its_range_is_said_once(pipeline: Any, draw: Any, make_direction: Any):
    woman = make_direction(seed=41).with_(strengths=Strengths(1.0, -1.0, 2.0))
    said = pytest.warns(UserWarning, match=r"strength 3 of 'woman' is outside its range, -1 to 2")
    with said, steer(pipeline, {woman: 3.0}):
        pass
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with steer(pipeline, {woman: [3.0, 2.0]}):
            pass
        # A calibration looks for the range.
        with finite.beyond_range(), steer(pipeline, {woman: 7.0}):
            pass
    with pytest.warns(UserWarning, match=r"strength -2 of 'woman'"), steer(pipeline, {woman: [1.0, -2.0]}):
        pass
    with pytest.warns(UserWarning, match=r"strength 5 of 'woman'"):
        generate(pipeline, ["a judge"], interventions=[Steering({woman: 5.0})], num_inference_steps=1)


def test_attached_strengths_outside_their_range(make_pipeline: Callable[..., Any], make_direction: Any):
    pipeline = attach(make_pipeline())
    woman = make_direction(seed=42).with_(strengths=Strengths(1.0, -1.0, 2.0))
    with pytest.warns(UserWarning, match=r"strength 3 of 'woman' is outside its range, -1 to 2"):
        pipeline.load_direction(woman, strength=3.0)
    with pytest.warns(UserWarning, match=r"strength 4 of 'woman' is outside its range, -1 to 2"):
        pipeline.set_directions("woman", 4.0)
