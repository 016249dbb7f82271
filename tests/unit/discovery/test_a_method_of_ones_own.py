"""A discovery method that another package brings: registered as an entry point, used by its name."""

from dataclasses import dataclass
from importlib import metadata
from typing import ClassVar

import pytest
import torch

import directrix
from directrix.discovery import Sampling
from directrix.discovery.difference_of_means import mean_change
from directrix.discovery.problem import Defaults, Fit, Method, Problem
from directrix.errors import DirectrixError

WOMAN = directrix.Concept.of("woman", "a woman", "a person")
SAMPLING = Sampling(images=2, guidance_scale=3.0, num_inference_steps=2)


@dataclass(frozen=True)
class Median(Method):
    """The median over prompt pairs in place of the mean, as in docs/extending.md. scale: of the vector."""

    scale: float = 1.0

    name: ClassVar = "median"
    learns_from: ClassVar = "trajectories"
    defaults: ClassVar = Defaults(images=8, steps=0, batch_size=32)
    objective: ClassVar = "c = median over prompt pairs of E [ h(y+) - h(y-) ]"

    def fit(self, problem: Problem) -> Fit:
        owners = torch.tensor(problem.data.concept)  # the concept of each prompt pair
        changes = torch.stack([mean_change(problem, pair) for pair in range(len(owners))])  # (pairs, C, H, W)
        vectors = torch.stack([changes[owners == k].median(dim=0).values for k in range(problem.shape[0])])
        return Fit(problem.orthogonalized(self.scale * vectors), forward=problem.denoiser.forward)


@pytest.fixture
def installed(monkeypatch):
    """Stands for [project.entry-points."directrix.methods"] median = "...:Median" of an installed package."""
    point = metadata.EntryPoint("median", f"{__name__}:Median", "directrix.methods")
    monkeypatch.setattr(metadata.EntryPoint, "load", lambda self: Median)
    real = metadata.entry_points
    monkeypatch.setattr(
        metadata, "entry_points", lambda **of: [point] if of == {"group": "directrix.methods"} else real(**of)
    )


def test_it_is_used_by_its_name_with_its_options(installed, pipeline):
    once = directrix.discover(pipeline, WOMAN, "median", sampling=SAMPLING)
    twice = directrix.discover(pipeline, WOMAN, "median", sampling=SAMPLING, scale=2.0)
    assert once.recipe["method"] == "median" and once.recipe["objective"] == Median.objective
    assert twice.recipe["scale"] == 2.0 and once.norm() > 0
    torch.testing.assert_close(twice.tensor, 2 * once.tensor)
    with pytest.raises(DirectrixError, match="did you mean 'scale'"):
        directrix.discover(pipeline, WOMAN, "median", sampling=SAMPLING, scales=2.0)


def test_without_the_package_there_is_no_such_method(pipeline):
    with pytest.raises(DirectrixError, match="no discovery method 'median'"):
        directrix.discover(pipeline, WOMAN, "median", sampling=SAMPLING)
