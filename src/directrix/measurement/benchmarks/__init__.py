"""Benchmarks are data: a folder with benchmark.yaml, prompts.csv and README.md, read into a `Benchmark`.

benchmark = load("emoji-occupations")
benchmark = load("i2p", data="i2p_benchmark.csv")
benchmark = load("path/to/a/folder/of/yours")
"""

from __future__ import annotations

from pathlib import Path

from directrix.errors import BenchmarkError, suggestion
from directrix.measurement.benchmarks.benchmark import MEASURES, Benchmark, Harm, Row
from directrix.measurement.benchmarks.schema import read

__all__ = ["MEASURES", "Benchmark", "Harm", "Row", "load", "names", "shipped"]

DESCRIPTION = "benchmark.yaml"


def names() -> list[str]:
    """The benchmarks in the package, by alphabet."""
    return sorted(folder.name.replace("_", "-") for folder in _folders())


def shipped() -> list[Benchmark]:
    """The benchmarks in the package; those that ship no prompts have no rows."""
    found = [read(folder / DESCRIPTION, listing=True) for folder in _folders()]
    return sorted(found, key=lambda each: each.name)


def load(name_or_path: str | Path, data: str | Path | None = None) -> Benchmark:
    """Reads a benchmark of the package by its name, or one in a folder.

    Args:
        name_or_path: such as "emoji-occupations", or a folder that holds benchmark.yaml.
        data: the table of prompts, where the benchmark ships none: a CSV file, or a data set on the Hugging Face hub as
            "owner/name" or "owner/name:file.csv".

    Raises:
        BenchmarkError: no such benchmark, a description or a table that is not as it should be, data that is missing
            or not asked for.
    """
    plain = str(name_or_path).strip().lower().replace("_", "-")
    known = {folder.name.replace("_", "-"): folder for folder in _folders()}
    if plain in known:
        return read(known[plain] / DESCRIPTION, data)
    folder = Path(name_or_path).expanduser()
    if (folder / DESCRIPTION).is_file():
        return read(folder / DESCRIPTION, data)
    if folder.is_dir():
        raise BenchmarkError(
            f"The folder '{folder}' holds no {DESCRIPTION}.",
            f"a folder with {DESCRIPTION} and its table.",
            "the format that docs/evaluation.md describes.",
        )
    raise BenchmarkError(
        f"There is no benchmark '{name_or_path}'.",
        "the name of one, or a folder with benchmark.yaml.",
        suggestion(plain, known),
    )


def _folders() -> list[Path]:
    return [path.parent for path in Path(__file__).parent.glob(f"*/{DESCRIPTION}")]
