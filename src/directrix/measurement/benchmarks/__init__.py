"""Benchmarks are data: a folder with benchmark.yaml, prompts.csv and README.md, read into a `Benchmark`.

benchmark = load("emoji-occupations")
benchmark = load("i2p", data="i2p_benchmark.csv")
benchmark = load("path/to/a/folder/of/yours")

A package of yours adds benchmarks by the entry point group "directrix.benchmarks": each names a package whose folder
holds benchmark.yaml, or a variable with the path of such a folder.
"""

from __future__ import annotations

from pathlib import Path

from directrix.checks import one_of
from directrix.errors import BenchmarkError
from directrix.measurement.benchmarks.benchmark import MEASURES, Benchmark, Harm, Row
from directrix.measurement.benchmarks.schema import read
from directrix.registry import Registry

__all__ = ["MEASURES", "Benchmark", "Harm", "Row", "load", "names", "shipped"]

DESCRIPTION = "benchmark.yaml"
BENCHMARKS = Registry("benchmark", "directrix.benchmarks", {}, error=BenchmarkError)


def names() -> list[str]:
    """The benchmarks in the package, by alphabet, then those of other packages."""
    own = sorted(_folders())
    return [*own, *(name for name in BENCHMARKS.names() if name not in own)]


def shipped() -> list[Benchmark]:
    """The benchmarks in the package, by alphabet; those that ship no prompts have no rows."""
    return [read(folder / DESCRIPTION, listing=True) for _, folder in sorted(_folders().items())]


def load(name_or_path: str | Path, data: str | Path | None = None) -> Benchmark:
    """Reads a benchmark by its name, or one in a folder.

    Args:
        name_or_path: such as "emoji-occupations", or a folder that holds benchmark.yaml.
        data: the table of prompts, where the benchmark ships none: a CSV file, or a data set on the Hugging Face hub as
            "owner/name" or "owner/name:file.csv".

    Raises:
        BenchmarkError: no such benchmark, a description or a table that is not as it should be, data that is missing
            or not asked for.
    """
    plain = str(name_or_path).strip().lower().replace("_", "-")
    folder = _folders().get(plain) or Path(name_or_path).expanduser()
    if not folder.is_dir():
        found = BENCHMARKS.get(one_of("benchmark", plain, names(), error=BenchmarkError))
        folder = Path(getattr(found, "__file__", None) or found)
        folder = folder if folder.is_dir() else folder.parent
    if not (folder / DESCRIPTION).is_file():
        raise BenchmarkError(
            f"The folder '{folder}' holds no {DESCRIPTION}.",
            f"a folder with {DESCRIPTION} and its table.",
            "the format that docs/evaluation.md describes.",
        )
    return read(folder / DESCRIPTION, data)


def _folders() -> dict[str, Path]:
    return {path.parent.name.replace("_", "-"): path.parent for path in Path(__file__).parent.glob(f"*/{DESCRIPTION}")}
