"""Our figures in the columns of the published ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from directrix.experiments.paper.protocol import Column
from directrix.measurement.benchmarks import Benchmark
from directrix.measurement.metrics import Summary, bootstrap

Figure = Mapping[str, Any]


def figures(
    summary: Mapping[str, Any], benchmark: Benchmark, columns: Mapping[str, Column], instead: Mapping[str, str]
) -> dict[str, Figure]:
    """{"value", "low", "high", "n"} by column; columns that were not measured are left out.

    Args:
        instead: by a column's method, the one to take its figure from in its place.
    """
    found = {
        title: _figure(
            summary["methods"][instead.get(column.method, column.method)].get(column.metric), benchmark, column
        )
        for title, column in columns.items()
    }
    return {title: each for title, each in found.items() if each is not None}


def _figure(metric: Mapping[str, Any] | None, benchmark: Benchmark, column: Column) -> Figure | None:
    if metric is None or "value" in metric:
        return metric
    if column.mean_over:
        return mean_of_groups(metric.get("by_prompt", {}), benchmark, column.mean_over)
    if column.group:
        return metric.get("by_group", {}).get(column.group)
    # Of prompts that are all of one kind, the whole is that kind.
    if column.kind and list(benchmark.kinds) != [column.kind]:
        return metric.get("by_kind", {}).get(column.kind, {}).get("mean")
    return metric["mean"]


def mean_of_groups(by_prompt: Mapping[str, Figure], benchmark: Benchmark, groups: Sequence[str]) -> Figure | None:
    """The mean over groups of the share of images, each group counting the same; None without an image in one.

    Groups overlap, so the interval draws prompts again, each with all the groups it is in.
    """
    members = {row.id: [name in row.groups for name in groups] for row in benchmark.rows if row.id in by_prompt}
    members = {prompt: flags for prompt, flags in members.items() if any(flags)}
    if not members:
        return None

    def of_prompt(cluster: Sequence[str]) -> list[float]:
        (prompt,) = cluster
        share, n = by_prompt[prompt]["value"], by_prompt[prompt]["n"]
        hits = round(share * n)
        return [hits * flag for flag in members[prompt]] + [n * flag for flag in members[prompt]]

    def of_draws(draws: NDArray[np.float64]) -> NDArray[np.float64]:
        hits, pictures = np.split(draws.sum(axis=1), 2, axis=1)
        # A group that no drawn prompt is in has no share.
        shares = np.divide(hits, pictures, out=np.zeros_like(hits), where=pictures > 0)
        return shares.sum(axis=1) / (pictures > 0).sum(axis=1)

    whole = bootstrap({prompt: [prompt] for prompt in members}, Summary(of_prompt, of_draws))
    return whole._replace(n=sum(by_prompt[prompt]["n"] for prompt in members)).as_dict()
