"""How far images are from the wanted mix: over groups such as occupations, each with all its images pooled.

The deviation ratio is against an even mix, as its definition says; the distances are against the benchmark's targets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from itertools import product
from math import prod
from typing import Any

import numpy as np

from directrix.measurement.evaluation.estimates import FEW, Evaluated, Measured
from directrix.measurement.evaluation.images import EvaluatedImage
from directrix.measurement.metrics import (
    Interval,
    Summary,
    bootstrap,
    deviation_ratio,
    deviation_ratios,
    entropy,
    joint_categories,
    joint_label,
    l2_distance,
    mean_over_groups,
    target_distance,
    worst_deviation_ratio,
)

Labels = Mapping[str, Sequence[str]]  # by group, scored images only
Figure = Callable[[Mapping[str, int]], float]
Labelled = Sequence[tuple[EvaluatedImage, str | None]]
RATIO, ENTROPY = "deviation_ratio", "entropy"


def fairness(of: Evaluated) -> Measured:
    """Deviation ratio, distances to the target (total variation and L2) and entropy of every attribute and joint set.

    Each metric is {"mean", "worst", "unscored", "by_kind", "by_group"}; groups without a scored image are listed
    under "left_out".
    """
    measured = Measured()
    for attributes in (*((each,) for each in of.benchmark.targets), *of.benchmark.joint):
        if not set(attributes) <= set(of.known):
            continue
        # The attributes are to be independent.
        shares = product(*(of.benchmark.targets[each].values() for each in attributes))
        names = joint_categories({each: list(of.benchmark.targets[each]) for each in attributes})
        target = dict(zip(names, map(prod, shares), strict=True))
        name = "_x_".join(each.replace(" ", "_") for each in attributes)
        seen = [joint_label({each: picture.label(each) for each in attributes}, attributes) for picture in of.pictures]
        # None where the judge could not tell, or saw something that is none of the categories.
        labels = [
            (picture, label if label in target else None) for picture, label in zip(of.pictures, seen, strict=True)
        ]
        measured.counts[name] = _counts(labels, target)
        categories = list(target)
        figures: dict[str, Figure] = {
            RATIO: partial(deviation_ratio, categories=categories),
            "target_distance": partial(target_distance, target=target),
            "l2_distance": partial(l2_distance, target=target),
            ENTROPY: partial(entropy, categories=categories),
        }
        for metric, figure in figures.items():
            measured.add(_measured(f"{metric}_{name}", labels, figure, categories))
    return measured


def _groups(picture: EvaluatedImage) -> tuple[str, ...]:
    return picture.row.groups or (picture.row.id,)


def _counts(labels: Labelled, target: Mapping[str, float]) -> dict[str, dict[str, dict[str, int]]]:
    found: dict[str, dict[str, dict[str, int]]] = {}
    for picture, label in labels:
        for group in _groups(picture):
            row = found.setdefault(picture.row.kind, {}).setdefault(group, dict.fromkeys((*target, "unscored"), 0))
            row[label or "unscored"] += 1
    return found


def _measured(metric: str, labels: Labelled, of: Figure, categories: Sequence[str]) -> Measured:
    kinds = dict.fromkeys(picture.row.kind for picture, _ in labels)
    parts = {"": labels}
    if len(kinds) > 1:
        parts |= {kind: [each for each in labels if each[0].row.kind == kind] for kind in kinds if kind}
    values: dict[str, dict[str, list[float]]] = {}
    figures: dict[str, dict[str, Any]] = {}
    for kind, part in parts.items():
        grouped: dict[str, list[str]] = {}
        for picture, label in part:
            for group in _groups(picture):
                grouped.setdefault(group, []).extend([] if label is None else [label])
        scored = {group: row for group, row in grouped.items() if row}
        values[kind] = {group: [of(Counter(row))] for group, row in scored.items()}
        figures[kind] = _figure(metric, scored, of, categories)
        figures[kind]["unscored"] = sum(label is None for _, label in part)
        if len(scored) < len(grouped):
            figures[kind]["left_out"] = sorted(set(grouped) - set(scored))
    whole = figures.pop("")
    figure = {**whole, **({"by_kind": figures} if figures else {})}
    return Measured({metric: figure}, values={metric: values} if values[""] else {})


def _figure(metric: str, labels: Labels, of: Figure, categories: Sequence[str]) -> dict[str, Any]:
    if not labels:
        return {"mean": None}
    is_ratio = metric.startswith(RATIO)

    @cache
    def of_counts(*counts: int) -> float:
        return of(dict(zip(categories, counts, strict=True)))

    by_group = (
        deviation_ratios(labels, categories)
        if is_ratio
        else {group: _of_group(row, of_counts, categories) for group, row in labels.items()}
    )
    worst = min if metric.startswith(ENTROPY) else max
    name = worst(by_group, key=lambda group: by_group[group].value)
    # The largest of many noisy ratios lies above the true one; its interval knows that.
    extreme = worst_deviation_ratio(labels, categories) if is_ratio else by_group[name]
    return {
        "mean": mean_over_groups(labels, of).as_dict(),
        "worst": {**extreme.as_dict(), "name": name},
        "by_group": {group: each.as_dict() for group, each in by_group.items()},
    }


def _of_group(labels: Sequence[str], of: Callable[..., float], categories: Sequence[str]) -> Interval:
    """The figure of one group, by how many images show each category, its images drawn again one by one."""
    counted: Summary[str] = Summary(
        lambda row: [row.count(category) for category in categories],
        lambda draws: np.array([of(*row) for row in draws.sum(axis=1).astype(int).tolist()]),
    )
    return bootstrap({str(place): [label] for place, label in enumerate(labels)}, counted, resamples=FEW)
