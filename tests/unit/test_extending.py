"""The worked examples of docs/extending.md run as they stand there, each found by its name as an installed entry."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import directrix
from directrix.measurement import benchmarks, judges

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"


def section(heading: str) -> dict[str, str]:
    """The code blocks of a section, by language."""
    text = PAGE.read_text(encoding="utf-8").split(f"## {heading}\n")[1].split("\n## ")[0]
    return dict(re.findall(r"^```(\w+)\n(.*?)^```", text, re.DOTALL | re.MULTILINE))


def example(heading: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the section's Python block defines."""
    import sys
    from types import ModuleType

    module = ModuleType(f"example_{re.sub(r'[^a-z]', '_', heading.lower())}")
    monkeypatch.setitem(sys.modules, module.__name__, module)  # data classes look their module up
    exec(section(heading)["python"], vars(module))
    return vars(module)


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch):
    """Offers an object as another package's entry: install("directrix.judges", "mine", object)."""
    points: dict[str, list[Any]] = {}
    real = importlib.metadata.entry_points
    monkeypatch.setattr(
        importlib.metadata, "entry_points", lambda *, group: [*real(group=group), *points.get(group, [])]
    )

    def offered(group: str, name: str, entry: Any) -> None:
        points.setdefault(group, []).append(SimpleNamespace(name=name, value=f"mine:{name}", load=lambda: entry))

    return offered


def test_a_discovery_method(pipeline, install, monkeypatch):
    median = example("A discovery method", monkeypatch)["Median"]
    install("directrix.methods", "median", median)
    sampling = directrix.Sampling(images=2, num_inference_steps=2)
    concept = directrix.Concept.of("woman", ["a woman", "a female judge"], ["a person", "a judge"])
    found = directrix.discover(pipeline, concept, "median", sampling=sampling)
    again = directrix.discover(pipeline, concept, "median", sampling=sampling)
    assert found.recipe["method"] == "median" and found.norm() > 0
    assert torch.equal(found.tensor, again.tensor)


def test_an_intervention(pipeline, make_direction, monkeypatch):
    control = example("An intervention", monkeypatch)["RandomControl"]
    woman = make_direction("woman")
    settings = {"num_inference_steps": 2, "guidance_scale": 5.0}
    plain, steered, again = (
        directrix.generate(pipeline, "a judge", interventions=each, **settings)[0]
        for each in ((), control(woman), control(woman))
    )
    assert not np.array_equal(np.asarray(plain.image), np.asarray(steered.image))
    assert np.array_equal(np.asarray(steered.image), np.asarray(again.image))
    assert steered.row["interventions"][0]["method"] == "random"


def test_a_judge_and_a_benchmark(pipeline, install, monkeypatch, tmp_path):
    install("directrix.judges", "brightness", example("A judge", monkeypatch)["Brightness"])
    parts = section("A benchmark")
    for name, text in (("benchmark.yaml", parts["yaml"]), ("prompts.csv", parts["csv"]), ("README.md", "# Lamps\n")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    lamps = benchmarks.load(tmp_path)
    summary = directrix.evaluate(
        pipeline, lamps, {"none": ()}, [judges.load("brightness")], folder=tmp_path / "run", num_inference_steps=2
    )
    obeyed = summary["methods"]["none"]["obeyed"]["mean"]
    assert obeyed["n"] == 2 and 0 <= obeyed["low"] <= obeyed["value"] <= obeyed["high"] <= 1


def test_a_reader_of_prompts(install, monkeypatch):
    install("directrix.readers", "whoever", example("A reader of prompts", monkeypatch)["read"])
    found = directrix.understand("whoever sings", reader="whoever")
    assert found.rewritten == "somebody sings" and found.switches[0].name == "gender"
    assert directrix.understand("a cook", reader="whoever").switches == ()
