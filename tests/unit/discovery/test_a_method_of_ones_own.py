"""A discovery method that another package brings: registered as an entry point, used by its name."""

from dataclasses import dataclass
from importlib import metadata
from typing import ClassVar

import pytest
import torch

import directrix
from directrix.discovery import Sampling
from directrix.discovery.problem import Defaults, Fit, Method, Problem
from directrix.discovery.trajectories import Trajectories
from directrix.errors import DirectrixError

WOMAN = directrix.Concept.of("woman", "a woman", "a person")
SAMPLING = Sampling(images=2, guidance_scale=3.0, num_inference_steps=2)


@dataclass(frozen=True)
class Last(Method):
    """What the prompt changes at the trajectories' last step alone. scale: of the vector."""

    scale: float = 1.0

    name: ClassVar = "last"
    learns_from: ClassVar = "trajectories"
    defaults: ClassVar = Defaults(images=4, steps=0, batch_size=4)
    objective: ClassVar = "c = E [ h(x_1, 1, y+) - h(x_1, 1, y-) ]"

    def fit(self, problem: Problem[Trajectories]) -> Fit:
        seen, denoiser = problem.data, problem.denoiser
        vectors = torch.zeros(problem.shape)
        for place, pair in enumerate(seen.pairs):
            states = seen.states[seen.prompt[place], :, -1]
            target = denoiser.encode([pair.target]).expand(len(states))
            output = denoiser.site_output(states, seen.timesteps[-1:].expand(len(states)), target).mean(dim=0).cpu()
            vectors[seen.concept[place]] += self.scale * (output - seen.neutral[seen.prompt[place], -1])
        return Fit(problem.orthogonalized(vectors), forward=denoiser.forward)


@pytest.fixture
def installed(monkeypatch):
    """Stands for [project.entry-points."directrix.methods"] last = "...:Last" of an installed package."""
    point = metadata.EntryPoint("last", f"{__name__}:Last", "directrix.methods")
    monkeypatch.setattr(metadata.EntryPoint, "load", lambda self: Last)
    real = metadata.entry_points
    monkeypatch.setattr(
        metadata, "entry_points", lambda **of: [point] if of == {"group": "directrix.methods"} else real(**of)
    )


def test_it_is_used_by_its_name_with_its_options(installed, pipeline):
    once = directrix.discover(pipeline, WOMAN, "last", sampling=SAMPLING)
    twice = directrix.discover(pipeline, WOMAN, "last", sampling=SAMPLING, scale=2.0)
    assert once.recipe["method"] == "last" and once.recipe["objective"] == Last.objective
    assert twice.recipe["scale"] == 2.0 and once.norm() > 0
    torch.testing.assert_close(twice.tensor, 2 * once.tensor)
    with pytest.raises(DirectrixError, match="did you mean 'scale'"):
        directrix.discover(pipeline, WOMAN, "last", sampling=SAMPLING, scales=2.0)


def test_without_the_package_there_is_no_such_method(pipeline):
    with pytest.raises(DirectrixError, match="no discovery method 'last'"):
        directrix.discover(pipeline, WOMAN, "last", sampling=SAMPLING)
