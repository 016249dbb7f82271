"""The page of an evaluation: `directrix report RUN`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from directrix.errors import OutputError
from directrix.generation import manifest
from directrix.measurement.evaluation import SUMMARY
from directrix.measurement.evaluation.judgements import read_verdicts
from directrix.measurement.reports.evaluation_page import page
from directrix.measurement.reports.samples import choose
from directrix.models.files import write_atomically

PAGE = "index.html"


def evaluation(folder: Path | str, output: Path | str | None = None) -> Path:
    """Write the page of the run in ``folder`` (see directrix.evaluate) and return where it is.

    output: the page's file; None for index.html in the folder.

    Raises:
        OutputError: the folder holds no summary, or the page cannot be written.
    """
    folder = Path(folder)
    summary = read(folder)
    rows = manifest.read(folder)
    verdicts = read_verdicts(folder, summary["provenance"]["judges"])
    names = summary["provenance"]["attributes"]
    seen = {
        name: ", ".join(f"{each[attribute].label or 'not scored'}" for attribute in names if attribute in each)
        for name, each in verdicts.items()
    }
    samples = choose(folder, rows, list(summary["methods"]), seen)
    path = folder / PAGE if output is None else Path(output)
    write_atomically(path, page(summary, samples).encode())
    return path


def read(folder: Path) -> Mapping[str, Any]:
    """The summary of a run. Raises OutputError where there is none."""
    path = folder / SUMMARY
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
        complete = {"benchmark", "methods", "paired", "provenance"} <= set(summary)
    except (OSError, ValueError, TypeError) as error:
        raise OutputError(
            f"'{path}' cannot be read: {error}.",
            "the folder of a finished evaluation.",
            f"directrix evaluate BENCHMARK -o {folder}",
        ) from error
    if not complete:
        raise OutputError(
            f"'{path}' is no summary of an evaluation.", "what directrix evaluate writes.", "another folder."
        )
    return summary
