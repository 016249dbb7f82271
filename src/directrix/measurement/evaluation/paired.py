"""Methods side by side: the difference to the first one, over the same prompts and seeds."""

from __future__ import annotations

from typing import Any

from directrix.measurement.evaluation.estimates import Measured
from directrix.measurement.metrics import paired_difference


def paired(first: Measured, other: Measured) -> dict[str, Any]:
    """By metric, {"mean", "by_kind"}: the other's figure minus the first one's, over the prompts that both have."""
    found: dict[str, Any] = {}
    for metric, kinds in other.values.items():
        if metric not in first.values:
            continue
        figures = {}
        for kind, rows in kinds.items():
            before = first.values[metric].get(kind, {})
            both = [name for name in rows if name in before]
            if both:
                old, new = ({name: side[name] for name in both} for side in (before, rows))
                figures[kind] = paired_difference(old, new).as_dict()
        if "" in figures:
            found[metric] = {"mean": figures.pop("")}
            if len(figures) > 1:
                found[metric]["by_kind"] = figures
    return found
