"""A compiled denoiser. The backend counts the graphs and runs them as they are, so no C++ compiler is needed.

Tracing takes seconds, so most tests share one compiled pipeline; those that need their own come last.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from directrix.errors import MismatchError
from directrix.interventions.steering import steer
from graphs import Graphs

WINDOWS = [(0.0, 0.4), (0.5, 1.0), (0.3, 0.7)]


@dataclass
class Compiled:
    """A pipeline that is compiled as a whole or not at all, and what it drew before it was."""

    pipeline: Any
    direction: Any
    plain: torch.Tensor
    steered: torch.Tensor
    windows: list[torch.Tensor]
    graphs: Graphs = field(default_factory=Graphs)

    def compile(self) -> None:
        self.pipeline.unet = torch.compile(self.pipeline.unet, backend=self.graphs, fullgraph=True)


@pytest.fixture(scope="module")
def model(make_pipeline: Callable[..., Any], draw: Callable[..., Any], make_direction: Any) -> Iterator[Compiled]:
    torch._dynamo.reset()
    pipeline = make_pipeline()
    direction = make_direction(of=pipeline)
    plain, windows = draw(pipeline), []
    with steer(pipeline, {direction: 0.5}):
        steered = draw(pipeline)
    for start, stop in WINDOWS:
        with steer(pipeline, {direction: 1.0}, start=start, stop=stop):
            windows.append(draw(pipeline))
    model = Compiled(pipeline, direction, plain, steered, windows)
    model.compile()
    yield model
    torch._dynamo.reset()


def test_twenty_strengths_are_no_new_graph(model: Compiled, draw: Callable[..., Any], make_direction: Any):
    """One graph unsteered, one steered and one of what looks at the call, whatever the strengths and directions."""
    pipeline, direction, graphs = model.pipeline, model.direction, model.graphs
    other = make_direction("other", seed=1, shape=(32,), of=pipeline)
    assert torch.equal(draw(pipeline), model.plain)
    assert graphs.count == 1
    with steer(pipeline, {direction: 0.5}):
        assert torch.equal(draw(pipeline), model.steered)
    assert graphs.count == 3
    drawn = []
    for place in range(20):
        with steer(pipeline, {direction: 0.1 + place / 10}):
            drawn.append(draw(pipeline, num_inference_steps=1))
    assert not any(torch.equal(one, two) for one, two in itertools.pairwise(drawn))
    with steer(pipeline, {direction: 0.0}):
        assert torch.equal(draw(pipeline), model.plain)
    with steer(pipeline, {other: [-1.0], direction: 0.5}), steer(pipeline, {other: [1.0]}):
        torch.testing.assert_close(draw(pipeline), model.steered, atol=1e-4, rtol=1e-3)
    assert torch.equal(draw(pipeline), model.plain)
    assert graphs.count == 3


def test_windows_are_no_new_graph(model: Compiled, draw: Callable[..., Any]):
    """Beside those of the first window, in which the denoiser's timestep is looked at."""
    counts = []
    for (start, stop), expected in zip(WINDOWS, model.windows, strict=True):
        with steer(model.pipeline, {model.direction: 1.0}, start=start, stop=stop):
            assert torch.equal(draw(model.pipeline), expected)
        counts.append(model.graphs.count)
    assert len(set(counts)) == 1


def test_what_does_not_fit_is_said_all_the_same(model: Compiled, draw: Callable[..., Any], make_direction: Any):
    large = make_direction(shape=(32, 6, 6), of=model.pipeline)
    with pytest.raises(MismatchError, match="6 x 6"), steer(model.pipeline, {large: 1.0}):
        draw(model.pipeline)
    assert torch.equal(draw(model.pipeline), model.plain)


def test_discovery_runs_the_network_as_it_is_written(
    model: Compiled, make_pipeline: Callable[..., Any], discover: Callable[..., Any], draw: Callable[..., Any]
):
    before = model.graphs.count
    found = discover(model.pipeline, "trajectory")
    assert model.graphs.count == before
    assert torch.equal(found.tensor, discover(make_pipeline(), "trajectory").tensor)
    assert torch.equal(draw(model.pipeline), model.plain)


def test_models_of_one_structure_do_not_share_their_steering(
    model: Compiled, make_pipeline: Callable[..., Any], draw: Callable[..., Any]
):
    other = make_pipeline()
    other.unet = torch.compile(other.unet, backend=model.graphs, fullgraph=True)
    with steer(model.pipeline, {model.direction: 0.5}):
        assert torch.equal(draw(model.pipeline), model.steered)
        assert torch.equal(draw(other), model.plain)
    with steer(other, {model.direction: 0.5}):
        assert torch.equal(draw(other), model.steered)
        assert torch.equal(draw(model.pipeline), model.plain)


def test_gradients_pass_through(model: Compiled, make_pipeline: Callable[..., Any]):
    found = []
    for pipeline in (make_pipeline(), model.pipeline):
        latents = torch.linspace(-1, 1, 512).reshape(2, 4, 8, 8).requires_grad_()
        with steer(pipeline, {model.direction: [1.0, 0.0]}, guided=False):
            pipeline.unet(latents, torch.tensor(1), torch.zeros(2, 32, 32)).sample.square().sum().backward()
        found.append(latents.grad)
    assert found[0] is not None
    torch.testing.assert_close(found[1], found[0])


@pytest.mark.slow
def test_compiled_in_place_while_steered(model: Compiled, make_pipeline: Callable[..., Any], draw: Callable[..., Any]):
    torch._dynamo.reset()
    graphs, pipeline = Graphs(), make_pipeline()
    with steer(pipeline, {model.direction: 0.5}):
        pipeline.unet.compile(backend=graphs, fullgraph=True)
        assert torch.equal(draw(pipeline), model.steered)
    assert torch.equal(draw(pipeline), model.plain)
    assert graphs.count == 3


def test_a_compiled_site(model: Compiled, make_pipeline: Callable[..., Any], draw: Callable[..., Any]):
    """Where the steered block is compiled by itself, the rest of the network is not."""
    torch._dynamo.reset()
    graphs, pipeline = Graphs(), make_pipeline()
    pipeline.unet.mid_block.compile(backend=graphs, fullgraph=True)
    assert torch.equal(draw(pipeline), model.plain)
    with steer(pipeline, {model.direction: 0.5}):
        assert torch.equal(draw(pipeline), model.steered)
    made = graphs.count
    assert torch.equal(draw(pipeline), model.plain)
    with steer(pipeline, {model.direction: -1.5}):
        assert not torch.equal(draw(pipeline), model.steered)
    assert graphs.count == made <= 3
