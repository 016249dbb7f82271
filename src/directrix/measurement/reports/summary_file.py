"""What may stand in summary.json, of which a page is made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Discriminator, Field, Tag

from directrix.checks import validated
from directrix.errors import OutputError
from directrix.reading import json_text
from directrix.reading.figures import Count, Figure, Identity, Number
from directrix.reading.source import MEBIBYTE, Source

Text = Annotated[str, Field(strict=True)]
Labels = dict[str, Count]


class _Part(BaseModel, strict=True, extra="allow"):
    pass


def _kind(content: Any) -> str:
    return "figure" if isinstance(content, Figure) or (isinstance(content, dict) and "value" in content) else "metric"


class Metric(_Part):
    """A metric over all prompts, with its parts by kind, group and prompt."""

    mean: Figure | None = None
    worst: Figure | None = None
    unscored: Count = 0
    by_kind: dict[str, FigureOrMetric] = {}
    by_group: dict[str, Figure] = {}
    by_prompt: dict[str, Figure] = {}


FigureOrMetric = Annotated[Annotated[Figure, Tag("figure")] | Annotated[Metric, Tag("metric")], Discriminator(_kind)]


class Described(_Part):
    """The benchmark."""

    description: Text
    licence: Text
    source: Text


class JudgeSettings(_Part):
    """A judge's settings."""

    name: Text


class Reference(_Part):
    """What images were compared with."""

    source: Text
    pictures: Count


class Provenance(_Part):
    """How the run was made."""

    model: Identity
    pictures: Count
    drawing: dict[str, str | int | float | bool | None]
    flagged: Count = 0
    versions: dict[str, Text]
    seed: Count
    attributes: list[Text]
    benchmark: Described
    targets: dict[str, dict[str, Number]] = {}
    judges: list[JudgeSettings]
    reference: Reference | None = None
    methods: dict[str, list[dict[str, Any]]]
    seconds: dict[str, Number] = {}


class Summary(_Part):
    """The content of summary.json; docs/evaluation.md says what each key means."""

    benchmark: Text
    version: Text
    prompts: Count
    images_per_prompt: Count
    methods: Annotated[dict[str, dict[str, FigureOrMetric]], Field(min_length=1)]
    paired: dict[str, dict[str, FigureOrMetric]]
    compared_to: Text
    counts: dict[str, dict[str, dict[str, dict[str, Labels]]]] = {}
    unscored: dict[str, Labels]
    warnings: list[Text] = []
    not_measured: dict[str, Text]
    provenance: Provenance


def read(path: Path) -> dict[str, Any]:
    """The summary of a run; OutputError where there is none, or where it is not what an evaluation writes."""
    wanted, remedy = "what a finished evaluation writes.", f"directrix evaluate BENCHMARK -o {path.parent}"
    found = json_text.read(Source(path, OutputError, wanted, remedy, most=256 * MEBIBYTE))
    validated(Summary, found, f"'{path}'", OutputError)
    return found
