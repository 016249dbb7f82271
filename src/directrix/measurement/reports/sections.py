"""What the page of an evaluation shows: its summary (see `directrix.evaluate`) as rows, charts and shares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from markupsafe import Markup

from directrix.measurement.evaluation.estimates import HELD_OUT
from directrix.measurement.reports.charts import SERIES as COLOURS
from directrix.measurement.reports.charts import Group, grouped_bars

Figure = Mapping[str, Any]

CHARTED = ("deviation_ratio_", "inappropriate_", "obeyed")
# More bars than this say no more.
MOST = 24
SERIES = len(COLOURS)
CHARTS = 40
# Colours of labels in page.css.
LABELS = 9
UNSCORED = "unscored"
# Metrics that are made for each attribute or category, whose name follows.
STARTS = ("deviation_ratio", "target_distance", "l2_distance", "entropy", "inappropriate", "reduction", "obeys")


def tables(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The sections that have figures, each with its rows and those that are folded away."""
    given = yaml.safe_load(Path(__file__).with_name("sections.yaml").read_text(encoding="utf-8"))
    parts = {"rows": "metrics", "more": "folded"}
    found = [{**each, **{part: _rows(summary, each[key]) for part, key in parts.items()}} for each in given]
    return [section for section in found if section["rows"]]


def _metrics(summary: Mapping[str, Any], starts: Sequence[str]) -> list[str]:
    """The metrics whose names begin so; a "$" is the end of a name."""
    methods = summary["methods"].values()
    return list(dict.fromkeys(name for each in methods for name in each if f"{name}$".startswith(tuple(starts))))


def _rows(summary: Mapping[str, Any], starts: Sequence[str]) -> list[dict[str, Any]]:
    """A row for each metric and judge, below it one for each kind of prompts, and its worst group."""
    rows = []
    for metric in (name for each in _metrics(summary, starts) for name in (each, HELD_OUT + each)):
        if not any(metric in each for each in summary["methods"].values()):
            continue
        figures = [each.get(metric) or {} for each in summary["methods"].values()]
        paired = [summary["paired"].get(method, {}).get(metric) or {} for method in summary["methods"]]
        pairs = list(zip(figures, paired, strict=True))
        rows.append({"title": named(metric), "kind": "", "cells": [(_mean(one), _mean(other)) for one, other in pairs]})
        for kind in dict.fromkeys(kind for one in figures for kind in one.get("by_kind", {})):
            of_kind = [[side.get("by_kind", {}).get(kind) for side in pair] for pair in pairs]
            rows.append({"title": kind, "kind": "kind", "cells": [(_mean(one), other) for one, other in of_kind]})
        if any(one.get("worst") and one.get("by_group") for one in figures):
            worst = [(one.get("worst"), None) for one in figures]
            rows.append({"title": "worst group", "kind": "kind", "cells": worst})
    return rows


def _mean(figure: Figure | None) -> Figure | None:
    """Of a metric its mean; a single figure is itself."""
    if not figure or "value" in figure:
        return figure or None
    mean = figure.get("mean")
    return None if mean is None else {**mean, "unscored": figure.get("unscored", 0)}


def named(metric: str) -> str:
    """Return a metric's name in words: "Deviation ratio, gender" for deviation_ratio_gender."""
    if metric.startswith(HELD_OUT):
        return f"{named(metric.removeprefix(HELD_OUT))} (held-out judge)"
    for start in STARTS:
        if metric.startswith(f"{start}_"):
            title = "L2 distance" if start == "l2_distance" else start.replace("_", " ").capitalize()
            return f"{title}, {_words(metric.removeprefix(f'{start}_'))}"
    if metric.startswith("kid."):
        _, judge, category = metric.split(".")
        return f"{category.capitalize()}, {judge}"
    plain = {"fid": "FID", "kid": "KID", "clip_score": "CLIP score", "psnr": "PSNR, dB"}
    return plain.get(metric) or metric.replace("_", " ").capitalize()


def _words(name: str) -> str:
    return name.replace("_x_", " × ").replace("_", " ")


def charts(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A chart of each metric that is charted and has two groups or more."""
    methods = list(summary["methods"])[:SERIES]
    found = []
    for metric in _metrics(summary, CHARTED)[:CHARTS]:
        figures = [summary["methods"][method].get(metric) or {} for method in methods]
        where = "by_group" if any(one.get("by_group") for one in figures) else "by_prompt"
        groups = list(dict.fromkeys(name for one in figures for name in one.get(where, {})))
        if len(groups) < 2:
            continue
        parts = [one.get(where, {}) for one in figures]
        # Where there are too many, those with the greatest differences between methods.
        shown = sorted(groups, key=lambda name: _spread(part.get(name) for part in parts), reverse=True)[:MOST]
        rows = [Group(name, [_clipped(part.get(name)) for part in parts]) for name in groups if name in shown]
        rows.append(Group("mean, with 95 % interval", [_clipped(one.get("mean")) for one in figures], strong=True))
        some = f" ({len(shown)} of {len(groups)} with the greatest differences)" if len(shown) < len(groups) else ""
        title = f"{named(metric)}, by {where.removeprefix('by_')}{some}"
        found.append({"title": title, "svg": Markup(grouped_bars(title, rows, methods))})
    return found


def _spread(figures: Iterable[Figure | None]) -> float:
    values = [figure["value"] for figure in figures if figure]
    return max(values) - min(values)


def _clipped(figure: Figure | None) -> Figure | None:
    return {key: min(max(figure[key], 0), 1) for key in ("value", "low", "high")} if figure else None


def distributions(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """For each attribute the shares of its labels: what was wanted, by method, and by group and method."""
    counts = summary.get("counts") or {}
    targets = {name.replace(" ", "_"): shares for name, shares in summary["provenance"].get("targets", {}).items()}
    found = []
    for name in dict.fromkeys(name for each in counts.values() for name in each):
        parts = {
            method: [each for kind in of[name].values() for each in kind.items()]
            for method, of in counts.items()
            if name in of
        }
        labels = next(iter(parts.values()))[0][1]
        # One pass over all rows: there may be as many groups as prompts.
        everything, groups = _none(parts), dict[str, dict[str, Counter[str]]]()
        for method, part in parts.items():
            for group, row in part:
                everything[method].update(row)
                groups.setdefault(group, _none(parts))[method].update(row)
        wanted = [("wanted", targets[name])] if name in targets else []
        found.append(
            {
                "title": _words(name).capitalize(),
                "colours": {each: "none" if each == UNSCORED else f"k{i % LABELS}" for i, each in enumerate(labels)},
                "rows": [*wanted, *everything.items()],
                "groups": [(group, list(each.items())) for group, each in groups.items()],
            }
        )
    return found


def _none(methods: Iterable[str]) -> dict[str, Counter[str]]:
    return {method: Counter[str]() for method in methods}
