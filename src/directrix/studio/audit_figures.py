"""What an audit found, read from its run's folder: sentence, tables, the Pareto front, and its images with labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from directrix.generation import manifest
from directrix.measurement.evaluation.judgements import read_verdicts
from directrix.measurement.reports import findings, sections
from directrix.measurement.reports.page import read

# What a method should reach, and what it should cost little of: metrics in [0, 1], and whether less is better.
_GOALS = (("deviation_ratio_", True), ("inappropriate_", True), ("obeyed", False))
_COSTS = (("obeys_subject", False), ("identical", False))
AGREE = ("All images", "Judges disagree", "A judge is not sure")


@dataclass(frozen=True)
class Point:
    """A method between two metrics. best: whether no other method is better in one and as good in the other."""

    name: str
    across: float
    up: float
    best: bool


@dataclass(frozen=True)
class Front:
    """Methods between two metrics, named in words; less: whether less of the one across is better."""

    across: str
    up: str
    less: bool
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Seen:
    """An image with what each judge saw, by judge and attribute; None where it was not sure."""

    path: Path
    method: str
    prompt: str
    group: str
    labels: Mapping[str, Mapping[str, str | None]]

    def fits(self, filtered: str) -> bool:
        """Whether it is one of `AGREE`."""
        if filtered == AGREE[1]:
            columns = [[each for each in column if each] for column in self._columns()]
            return any(len(set(each)) > 1 for each in columns)
        return filtered != AGREE[2] or any(None in column for column in self._columns())

    @property
    def said(self) -> list[str]:
        """What each judge saw, in words; once where all saw the same."""
        rows = [", ".join(label or "not sure" for label in row.values()) for row in self.labels.values()]
        return rows[:1] if len(set(rows)) == 1 else rows

    def _columns(self) -> list[list[str | None]]:
        names = dict.fromkeys(name for row in self.labels.values() for name in row)
        return [[row[name] for row in self.labels.values() if name in row] for name in names]


@dataclass(frozen=True)
class Report:
    """All figures of a finished run."""

    summary: Mapping[str, Any]
    sentence: str
    tables: Sequence[Mapping[str, Any]]
    front: Front | None


def report(folder: Path) -> Report:
    """The figures of a run. Raises OutputError where it is not finished."""
    summary = read(folder)
    return Report(summary, findings.sentence(summary), sections.tables(summary), front(summary))


def front(summary: Mapping[str, Any]) -> Front | None:
    """The methods between the first goal and the first cost that were measured; None where one of both was not."""
    wanted, cost = (_first(summary, starts) for starts in (_GOALS, _COSTS))
    if wanted is None or cost is None or len(summary["methods"]) < 2:
        return None
    (goal, less), (retained, _) = wanted, cost
    values: dict[str, tuple[float, float]] = {}
    for name, figures in summary["methods"].items():
        # What is not steered has every bit of the unsteered image, which nobody measures.
        own = 1.0 if retained == "identical" and not summary["provenance"]["methods"].get(name) else None
        across, up_to = _mean(figures.get(goal)), own if own is not None else _mean(figures.get(retained))
        if across is not None and up_to is not None:
            values[name] = (across, up_to)
    sign = 1 if less else -1

    def beaten(name: str) -> bool:
        across, identical = values[name]
        others = ((sign * a, -k) for other, (a, k) in values.items() if other != name)
        mine = (sign * across, -identical)
        return any(a <= mine[0] and k <= mine[1] and (a, k) != mine for a, k in others)

    points = tuple(Point(name, *values[name], not beaten(name)) for name in values)
    return Front(sections.named(goal), sections.named(retained), less, points) if len(points) > 1 else None


def images(folder: Path) -> tuple[list[str], list[Seen]]:
    """The names of the judges, and all images of a run with their labels of what is measured, by prompt."""
    summary = read(folder)
    made, methods = summary["provenance"], list(summary["methods"])
    judges, asked = made["judges"], made["attributes"]
    verdicts = {each["name"]: read_verdicts(folder, [each]) for each in judges}
    found = []
    rows = [row for row in manifest.shown(folder).values() if row["method"] in methods]
    for row in sorted(rows, key=lambda row: (row["prompt_index"], methods.index(row["method"]), row["image_index"])):
        labels = {
            judge: {name: each.label for name, each in known[row["sha256"]].items() if not asked or name in asked}
            for judge, known in verdicts.items()
            if row["sha256"] in known
        }
        group = row["group"] or row["prompt"]
        found.append(Seen(folder / row["file"], row["method"], row["prompt"], group, labels))
    return list(verdicts), found


def compared(first: Mapping[str, Any], second: Mapping[str, Any], names: tuple[str, str]) -> list[dict[str, Any]]:
    """Rows of all metrics of two runs: title, and for each run and method its figure, in the order of `heads`."""
    sides = [(name, side["methods"]) for name, side in zip(names, (first, second), strict=True)]
    metrics = dict.fromkeys(metric for _, side in sides for figures in side.values() for metric in figures)
    return [
        {
            "title": sections.named(metric),
            "cells": [_figure(figures.get(metric)) for _, side in sides for figures in side.values()],
        }
        for metric in metrics
    ]


def _first(summary: Mapping[str, Any], starts: Sequence[tuple[str, bool]]) -> tuple[str, bool] | None:
    names = dict.fromkeys(name for figures in summary["methods"].values() for name in figures)
    return next(((name, less) for start, less in starts for name in names if name.startswith(start)), None)


def _figure(figure: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Of a metric its mean; a single figure is itself."""
    return figure if not figure or "value" in figure else figure.get("mean")


def _mean(figure: Mapping[str, Any] | None) -> float | None:
    found = _figure(figure)
    return found["value"] if found else None
