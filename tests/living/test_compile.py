"""A compiled denoiser. The backend counts the graphs and runs them as they are, so no C++ compiler is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from directrix.errors import MismatchError
from directrix.steer import steer


class Graphs:
    """A backend that counts what it is given to compile."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, graph: Any, _inputs: Any) -> Any:
        self.count += 1
        return graph.forward


@pytest.fixture
def graphs() -> Iterator[Graphs]:
    torch._dynamo.reset()
    yield Graphs()
    torch._dynamo.reset()


def compiled(pipeline: Any, graphs: Graphs, how: str = "module") -> Any:
    if how == "module":
        pipeline.unet = torch.compile(pipeline.unet, backend=graphs, fullgraph=True)
    else:
        pipeline.unet.compile(backend=graphs, fullgraph=True)
    return pipeline


@pytest.mark.parametrize("how", ["module", "in place"])
def test_twenty_strengths_are_no_new_graph(
    make_pipeline: Callable[..., Any], draw: Callable[..., Any], make_direction: Any, graphs: Graphs, how: str
):
    """One graph unsteered, one steered, whatever the strengths, directions and windows; neither breaks in parts."""
    pipeline = make_pipeline()
    direction, other = make_direction(of=pipeline), make_direction("other", seed=1, shape=(32,), of=pipeline)
    plain = draw(pipeline)
    with steer(pipeline, {direction: 0.5}):
        expected = draw(pipeline)
    compiled(pipeline, graphs, how)
    assert torch.equal(draw(pipeline), plain)
    assert graphs.count == 1
    with steer(pipeline, {direction: 0.5}):
        assert torch.equal(draw(pipeline), expected)
    assert graphs.count == 2
    for place in range(20):
        with steer(pipeline, {direction: place / 10}):
            drawn = draw(pipeline, num_inference_steps=1)
    with steer(pipeline, {direction: 0.0}):
        assert torch.equal(draw(pipeline), plain)
    with steer(pipeline, {other: [-1.0], direction: 0.5}), steer(pipeline, {other: [1.0]}):
        torch.testing.assert_close(draw(pipeline), expected, atol=1e-4, rtol=1e-3)
    assert graphs.count == 2
    assert torch.equal(draw(pipeline), plain)
    assert graphs.count == 2
    assert bool(torch.isfinite(drawn).all())


def test_compiled_while_steered(
    make_pipeline: Callable[..., Any], draw: Callable[..., Any], make_direction: Any, graphs: Graphs
):
    pipeline = make_pipeline()
    direction = make_direction(of=pipeline)
    plain = draw(pipeline)
    with steer(pipeline, {direction: 1.0}):
        expected = draw(pipeline)
        compiled(pipeline, graphs)
        assert torch.equal(draw(pipeline), expected)
    assert torch.equal(draw(pipeline), plain)
    assert graphs.count == 2


def test_windows_of_steps(
    make_pipeline: Callable[..., Any], draw: Callable[..., Any], make_direction: Any, graphs: Graphs
):
    pipeline = make_pipeline()
    direction = make_direction(of=pipeline)
    windows = [(0.0, 0.4), (0.5, 1.0), (0.3, 0.7)]
    expected = []
    for start, stop in windows:
        with steer(pipeline, {direction: 1.0}, start=start, stop=stop):
            expected.append(draw(pipeline))
    compiled(pipeline, graphs)
    for (start, stop), latents in zip(windows, expected, strict=True):
        with steer(pipeline, {direction: 1.0}, start=start, stop=stop):
            assert torch.equal(draw(pipeline), latents)
    assert graphs.count == 1


def test_models_of_one_structure_do_not_share_their_steering(
    make_pipeline: Callable[..., Any], draw: Callable[..., Any], make_direction: Any, graphs: Graphs
):
    one, two = make_pipeline(), make_pipeline()
    direction = make_direction(of=one)
    plain = draw(one)
    with steer(one, {direction: 1.0}):
        expected = draw(one)
    compiled(one, graphs), compiled(two, graphs)
    with steer(one, {direction: 1.0}):
        assert torch.equal(draw(one), expected)
        assert torch.equal(draw(two), plain)
        with steer(two, {direction: 1.0}):
            assert torch.equal(draw(two), expected)
    assert torch.equal(draw(one), plain)


def test_a_compiled_site(
    make_pipeline: Callable[..., Any], draw: Callable[..., Any], make_direction: Any, graphs: Graphs
):
    """Where the steered block is compiled by itself, the rest of the network is not."""
    pipeline = make_pipeline()
    direction = make_direction(of=pipeline)
    plain = draw(pipeline)
    with steer(pipeline, {direction: 1.0}):
        expected = draw(pipeline)
    pipeline.unet.mid_block.compile(backend=graphs, fullgraph=True)
    assert torch.equal(draw(pipeline), plain)
    with steer(pipeline, {direction: 1.0}):
        assert torch.equal(draw(pipeline), expected)
    assert torch.equal(draw(pipeline), plain)
    assert graphs.count == 2


def test_what_does_not_fit_is_said_by_a_compiled_model_too(
    make_pipeline: Callable[..., Any], draw: Callable[..., Any], make_direction: Any, graphs: Graphs
):
    pipeline = compiled(make_pipeline(), graphs)
    with pytest.raises(MismatchError, match="4 x 4"), steer(pipeline, {make_direction(of=pipeline): 1.0}):
        draw(pipeline, height=24, width=16)


def test_gradients_pass_through(make_pipeline: Callable[..., Any], make_direction: Any, graphs: Graphs):
    pipeline = make_pipeline()
    direction, states = make_direction(of=pipeline), torch.randn(2, 4, 8, 8)
    found = []
    for each in (pipeline, compiled(make_pipeline(), graphs)):
        latents = states.clone().requires_grad_()
        with steer(each, {direction: [1.0, 0.0]}, guided=False):
            each.unet(latents, torch.tensor(1), torch.zeros(2, 5, 32)).sample.square().sum().backward()
        found.append(latents.grad)
    assert found[0] is not None
    torch.testing.assert_close(found[1], found[0])


@pytest.mark.parametrize("method", ["difference", "trajectory"])
def test_discovery(
    make_pipeline: Callable[..., Any],
    discover: Callable[..., Any],
    draw: Callable[..., Any],
    graphs: Graphs,
    method: str,
):
    """It runs the network as it is written, and the graphs that are there fit afterwards."""
    expected = discover(make_pipeline(), method)
    pipeline = compiled(make_pipeline(), graphs)
    plain = draw(pipeline)
    assert torch.equal(discover(pipeline, method).tensor, expected.tensor)
    assert torch.equal(draw(pipeline), plain)
    assert graphs.count == 1
