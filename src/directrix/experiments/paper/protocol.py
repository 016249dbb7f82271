"""The paper's experiments, settings and concepts, read from protocol.yaml; and the figures in published.yaml."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from directrix.checks import one_of
from directrix.concept import Concept


class _Data(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Column(_Data):
    """A figure of ours: where it is in a summary."""

    metric: str
    method: str  # the steered method that it is taken from
    kind: str = ""  # of the prompts that it is about; "" for all
    group: str = ""
    mean_over: Sequence[str] = ()  # groups whose figures are averaged, each counting the same


class Experiment(_Data):
    """One experiment of the paper; protocol.yaml says what each value means."""

    name: str
    title: str
    images: int
    judges: Sequence[str]
    concepts: Sequence[str]
    methods: Mapping[str, Mapping[str, Any]]
    ours: str
    columns: Mapping[str, Column]
    prompts: int
    clip: Mapping[str, Any] = {}
    details: Mapping[str, Column] = {}
    beyond: Mapping[str, str] = {}
    ours_beyond: str = ""
    categories: Sequence[str] = ()
    judged_by: Sequence[Mapping[str, Any]] = ()
    real_pictures: bool = False
    differs: Sequence[str] = ()
    unknown: Sequence[str] = ()


class Paper(_Data):
    """The paper's settings: of discovery, named as in a direction's recipe, and of the images that are judged."""

    name: str
    model: str
    scheduler: str
    dtype: str
    discovery: Mapping[str, Any]
    drawing: Mapping[str, Any]


def experiments() -> Mapping[str, Experiment]:
    """All experiments by name."""
    return {name: Experiment(name=name, **given) for name, given in _read("protocol")["experiments"].items()}


def experiment(name: str) -> Experiment:
    """The experiment of a name; DirectrixError, with the nearest, where there is none."""
    known = experiments()
    return known[one_of("experiment", name, known)]


def paper() -> Paper:
    """The paper's settings."""
    return Paper(**_read("protocol")["paper"])


def concept(name: str) -> Concept:
    """The concept of a direction's name."""
    return Concept.of(name, **_read("protocol")["concepts"][name])


def published_names(name: str) -> Sequence[str]:
    """What the authors' files call the direction of a name."""
    return _read("protocol")["published_names"].get(name, ())


def published(name: str) -> Sequence[Mapping[str, Any]]:
    """What was published for an experiment, in the order of the table: name, source (where it was read), figures."""
    return _read("published")[name]


@cache
def _read(name: str) -> Mapping[str, Any]:
    import yaml

    return yaml.safe_load(Path(__file__).with_name(f"{name}.yaml").read_text(encoding="utf-8"))
