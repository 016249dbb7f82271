"""Which step a pipeline is at."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from directrix.errors import StrengthError
from directrix.models.step_clock import StepClock


def clock(timesteps: Any = None) -> StepClock:
    scheduler = SimpleNamespace(timesteps=timesteps)
    return StepClock(SimpleNamespace(pipeline=SimpleNamespace(scheduler=scheduler)))  # type: ignore[arg-type]


def fractions(clock: StepClock, timesteps: torch.Tensor, given: Any, **names: str) -> list[float]:
    found = []
    for i, t in enumerate(timesteps):
        values = {"timesteps": timesteps, "t": t, "i": i}
        found.append(clock.now({names.get(k, k): v for k, v in values.items() if names.get(k, k)}, given(t)).fraction)
    return found


@pytest.mark.parametrize(
    "given", [lambda t: t, lambda t: t / 1000, lambda t: 1 - t / 1000, lambda t: (t / 1000).half()]
)
def test_whatever_time_the_denoiser_is_given(given: Any):
    """Also a first timestep that a transformer is given as 1, and a last one of 1."""
    timesteps = torch.tensor([1000.0, 667.0, 334.0, 1.0])
    assert fractions(clock(timesteps), timesteps, given) == [0.0, 0.25, 0.5, 0.75]
    # A loop without a counter.
    assert fractions(clock(timesteps), timesteps, given, i="") == [0.0, 0.25, 0.5, 0.75]


def test_a_solver_that_asks_twice_within_a_step():
    timesteps = torch.tensor([9.0, 6.0, 6.0, 3.0, 3.0])
    assert fractions(clock(timesteps), timesteps, lambda t: t) == [0, 1 / 3, 1 / 3, 2 / 3, 2 / 3]


def test_image_to_image_counts_the_steps_it_draws():
    whole = torch.arange(10.0, 0.0, -1.0)
    assert fractions(clock(whole), whole[6:], lambda t: t) == [0.0, 0.25, 0.5, 0.75]


def test_calls_of_the_denoiser_itself_go_by_the_scheduler():
    found = clock(torch.tensor([900.0, 600.0, 300.0])).now({}, torch.tensor([600.0, 600.0]))
    assert (found.index, found.count, found.timestep) == (1, 3, 600.0)


def test_a_step_that_cannot_be_known_is_refused():
    for timesteps, given in ((None, 5.0), (torch.zeros(0), 5.0), (torch.ones(3), None)):
        with pytest.raises(StrengthError, match="present step is not known"):
            clock(timesteps).now({}, given)


def test_a_loop_without_known_names_is_not_guessed():
    """A time that is not the scheduler's may be one that the pipeline scaled."""
    steps = torch.tensor([900.0, 600.0, 300.0])
    assert clock(steps).now({"self": None}, 600.0).index == 1
    with pytest.raises(StrengthError, match="present step is not known"):
        clock(steps).now({"self": None}, 0.6)
