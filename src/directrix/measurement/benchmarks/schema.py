"""Reading benchmark.yaml: every key checked, so that a slip says what was meant."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field, model_validator

from directrix.checks import one_of, validated
from directrix.errors import BenchmarkError
from directrix.measurement.benchmarks import prompts
from directrix.measurement.benchmarks.benchmark import MEASURES, Benchmark, Harm
from directrix.measurement.benchmarks.prompts import Text
from directrix.reading import yaml_text
from directrix.reading.names import inside
from directrix.reading.source import Source

# The table is the user's; see `load`.
GIVEN = "given"
Share = Annotated[float, Field(gt=0, le=1)]
Role = Literal["id", "prompt", "group", "kind", "split"]
Columns = Annotated[list[str], Field(min_length=1)]


class _Harm(BaseModel, extra="forbid", coerce_numbers_to_str=True):
    attribute: Text
    labels: tuple[str, ...]


class Description(BaseModel, extra="forbid", coerce_numbers_to_str=True):
    """The content of benchmark.yaml; docs/evaluation.md says what each key means."""

    name: Text
    version: Text
    licence: Text
    description: Text
    measures: tuple[str, ...]
    source: str = ""
    data: str = "prompts.csv"
    columns: dict[Role, str | Columns] = {}
    expected: list[str] | dict[str, str] = []
    switches: prompts.Switches | None = None
    empty_prompts: bool = False
    judge: str = "emoji"
    held_out_judge: str = ""
    fair: dict[str, list[str] | dict[str, float]] = {}
    joint: tuple[Annotated[tuple[str, ...], Field(min_length=2)], ...] = ()
    harm: dict[str, _Harm] = {}
    even_within: Share = 0.25
    obeyed_at: Share = 0.8
    images: Annotated[int, Field(ge=1, strict=True)] = 1
    clip: dict[str, dict[str, str | list[str]]] = {}

    @model_validator(mode="after")
    def _fits_together(self) -> Description:
        for measure in self.measures:
            one_of("measure", measure, MEASURES, error=BenchmarkError)
        for measure, key in (("fairness", "fair"), ("harm", "harm")):
            if measure in self.measures and not getattr(self, key):
                raise BenchmarkError(f"It measures {measure} but has no '{key}'.", f"'{key}' as well.")
        for attribute in (each for names in self.joint for each in names):
            one_of("attribute under 'fair', called", attribute, self.fair, error=BenchmarkError)
        for attribute, labels in self.fair.items():
            shares = self.shares(attribute)
            sums_up = math.isclose(sum(shares.values()), 1, abs_tol=1e-6)
            if len(shares) < max(2, len(labels)) or min(shares.values()) < 0 or not sums_up:
                raise BenchmarkError(
                    f"the labels of '{attribute}' are {labels!r}.",
                    "two labels or more, each once, as a list for equal shares, or each with its share; shares sum to "
                    "1.",
                    "[female, male].",
                )
        return self

    def shares(self, attribute: str) -> dict[str, float]:
        """Equal shares of a list of labels, or the shares that a mapping says."""
        labels = self.fair[attribute]
        return labels if isinstance(labels, dict) else dict.fromkeys(labels, 1 / len(labels or "?"))


def read(path: Path, data: str | Path | None = None, *, listing: bool = False) -> Benchmark:
    """Reads a benchmark from its description, and its prompts from the table that it names, or from `data`.

    listing: one that ships no prompts then has none, in place of an error. Errors are those of `load`.
    """
    content = yaml_text.read(
        Source(path, BenchmarkError, "a YAML file.", "the format that docs/evaluation.md describes.")
    )
    if isinstance(content, dict):
        # A key that is left empty is one that is not given; an empty judge would be another judge than was meant.
        optional = {key for key, field in Description.model_fields.items() if not field.is_required()} - {"judge"}
        content = {key: value for key, value in content.items() if value is not None or key not in optional}
    found = validated(Description, content, f"'{path}'", BenchmarkError)
    absent = found.data == GIVEN and data is None
    if absent and not listing:
        raise BenchmarkError(
            f"The benchmark '{found.name}' ships no prompts.",
            "a CSV file, or a data set on the Hugging Face hub.",
            f"--data FILE.csv, or --data OWNER/NAME. {found.source}".strip(),
        )
    if found.data != GIVEN and data is not None:
        raise BenchmarkError(
            f"The benchmark '{found.name}' has its own prompts; '{data}' is not used by it.",
            "a table only for a benchmark that ships none.",
            "leave it out, or write a benchmark.yaml of your own.",
        )
    where = prompts.located(data) if data is not None else inside(path.parent, found.data)
    if where is None:
        raise BenchmarkError(
            f"'{path}' > data is '{found.data}'.", "a file beside it or in a folder there.", "move the table there."
        )
    expected = found.expected if isinstance(found.expected, dict) else {name: name for name in found.expected}
    same = ("name", "version", "licence", "measures", "judge", "held_out_judge", "joint", "even_within", "obeyed_at")
    return Benchmark(
        **{key: getattr(found, key) for key in (*same, "images", "clip")},
        description=" ".join(found.description.split()),
        source=" ".join(found.source.split()),
        rows=() if absent else prompts.rows(where, found.columns, expected, found.switches, found.empty_prompts),
        targets={attribute: found.shares(attribute) for attribute in found.fair},
        harms={name: Harm(each.attribute, each.labels) for name, each in found.harm.items()},
    )
