"""Audits: what visitors measure, a folder each in the studio's own, with what was asked and the run itself.

NAME/plan.json      what was asked
NAME/prompts.csv    (or .txt) the uploaded prompts, where there are some
NAME/run/           what `directrix.evaluate` writes
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from directrix.checks import one_of, validated
from directrix.errors import BenchmarkError, DirectrixError
from directrix.measurement.benchmarks import Benchmark, load, shipped
from directrix.models.files import write_atomically
from directrix.reading import json_text
from directrix.reading.names import file_stem, inside
from directrix.reading.source import MEBIBYTE, Source
from directrix.studio.recipe import MOST_SEED, MOST_WORDS

MOST = 40  # audits
MOST_PROMPTS, MOST_IMAGES, MOST_DRAWN = 200, 20, 2000
LARGEST = 1 * MEBIBYTE  # of an upload
RUN, PLAN = "run", "plan.json"


@dataclass(frozen=True)
class Plan:
    """What an audit measures.

    Args:
        benchmark: the name of one in the package; "" for uploaded prompts.
        file: the name of the uploaded file in the audit's folder; "" for a benchmark.
        balanced: attributes whose shares are measured on uploaded prompts.
        methods: see `audit_run.methods`.
        images: of each prompt and method.
        prompts: at most so many, at even distances.

    Raises:
        DirectrixError: numbers out of range, or too many images in all.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid", "strict": False}

    model: str
    methods: tuple[str, ...]
    benchmark: str = ""
    file: str = ""
    balanced: tuple[str, ...] = ()
    images: int = 2
    prompts: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.methods:
            raise DirectrixError("No method is chosen.", "one or more.", "unsteered, and one to compare with it.")
        for said, value, least, most in (
            ("The number of images", self.images, 1, MOST_IMAGES),
            ("The number of prompts", self.prompts, 1, MOST_PROMPTS),
            ("The seed", self.seed, 0, MOST_SEED),
        ):
            if not isinstance(value, int) or not least <= value <= most:
                raise DirectrixError(f"{said} is {value}.", f"{least} to {most}.")
        drawn = self.images * self.prompts * len(self.methods)
        if drawn > MOST_DRAWN:
            raise DirectrixError(f"That makes {drawn:,} images.", f"at most {MOST_DRAWN:,}.", "fewer prompts.")


class Audits:
    """The audits in a folder, by name. One process has it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()

    def names(self) -> list[str]:
        """The latest first."""
        return sorted((path.parent.name for path in self._folder.glob(f"*/{PLAN}")), reverse=True)

    def create(self, plan: Plan, upload: Path | None = None) -> str:
        """Begins an audit and returns its name. Raises DirectrixError: too many, or an upload that holds no prompts."""
        with self._lock:
            there = self.names()
            if len(there) >= MOST:
                raise DirectrixError(f"There are {len(there)} audits.", f"at most {MOST}.", "delete one of them.")
            title = file_stem(plan.benchmark or (upload.stem if upload else "prompts"))[:40]
            name = stem = f"{time.strftime('%Y-%m-%d %H.%M.%S')} {title}"
            while (self._folder / name).exists():
                name = f"{stem} {sum(each.startswith(stem) for each in there) + 1}"
                there.append(name)
            folder = self._folder / name
            if upload is not None:
                content = _checked(upload)
                folder.mkdir(parents=True)
                write_atomically(folder / plan.file, content)
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(folder / PLAN, json.dumps(asdict(plan), ensure_ascii=False).encode())
        return name

    def plan(self, name: str | None) -> Plan:
        """What an audit measures. Raises DirectrixError where there is none of that name."""
        content = json_text.read(Source(self._place(name) / PLAN, name="The audit's plan"))
        return validated(Plan, content, "The audit's plan")

    def benchmark(self, name: str, judge: str) -> Benchmark:
        """The prompts of an audit, and what is measured on them. judge: the one to use for uploaded prompts."""
        from directrix.concept import ATTRIBUTE_SETS
        from directrix.measurement.benchmarks.own_prompts import own_prompts

        plan, path = self.plan(name), self.uploaded(name)
        if path is None:
            one_of("benchmark", plan.benchmark, [each.name for each in offered()], error=BenchmarkError)
            return load(plan.benchmark).part(limit=plan.prompts)
        attributes = [each for key, each in ATTRIBUTE_SETS.items() if key in plan.balanced]
        return own_prompts(path, attributes, judge).part(limit=plan.prompts)

    def uploaded(self, name: str | None) -> Path | None:
        """The uploaded prompts of an audit; None where it has a benchmark. Raises DirectrixError: no such audit, or a
        plan that names a file elsewhere."""
        plan = self.plan(name)
        if plan.benchmark:
            return None
        path = inside(self._place(name), plan.file)
        if path is None:
            happened = f"The audit's plan names the file '{plan.file}', which is not in its folder."
            raise BenchmarkError(happened, "the prompts that were uploaded.", "delete it, and begin another one.")
        return path

    def run(self, name: str) -> Path:
        """The folder of its run. Raises DirectrixError where there is no audit of that name."""
        return self._place(name) / RUN

    def delete(self, name: str) -> None:
        """Deletes an audit with its images. Raises DirectrixError where there is none of that name."""
        from shutil import rmtree

        rmtree(self._place(name))

    def _place(self, name: str | None) -> Path:
        # A name of the list, and nothing else, becomes a path.
        if name is None or name not in self.names():
            raise DirectrixError("There is no such audit.", "one of the list.", "reload the page.")
        return self._folder / name


def offered() -> list[Benchmark]:
    """The benchmarks of the package that hold their prompts, and that an embedded judge can measure."""
    return [each for each in shipped() if each.rows and each.judge.startswith("emoji")]


def without_paths(error: DirectrixError, places: Mapping[Path, str]) -> DirectrixError:
    """The error with names in place of paths of the server."""
    texts: list[Any] = [error.happened, error.expected, error.remedy]
    for path, name in places.items():
        texts = [text.replace(str(path), name) for text in texts]
    return type(error)(*texts)


def _checked(upload: Path) -> bytes:
    """The content of an uploaded file of prompts. Raises BenchmarkError where it holds none, or too many."""
    from directrix.measurement.benchmarks.own_prompts import ENDINGS
    from directrix.measurement.benchmarks.prompts import listed

    shown = upload.name
    if upload.suffix.lower() not in ENDINGS:
        raise BenchmarkError(
            f"'{shown}' is no file of prompts.", "a text file, one a line, or a CSV file.", "prompts.txt."
        )
    try:
        content = Source(upload, BenchmarkError, most=LARGEST).content()
        rows = listed(upload)
    except DirectrixError as error:
        raise without_paths(error, {upload: shown}) from error
    longest = max(len(row.prompt) for row in rows)
    if longest > MOST_WORDS:
        raise BenchmarkError(
            f"A prompt of '{shown}' has {longest} characters.", f"at most {MOST_WORDS}.", "fewer words."
        )
    return content
