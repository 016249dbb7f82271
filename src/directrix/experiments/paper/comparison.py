"""A run beside the paper: our figures in the columns of the published ones, and what the run does otherwise."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from directrix.directions.direction import Direction
from directrix.experiments.paper import protocol
from directrix.experiments.paper.protocol import Column, Experiment, Paper
from directrix.measurement.benchmarks import Benchmark
from directrix.measurement.metrics import Summary, bootstrap

Figure = Mapping[str, Any]
# The method that steers nothing.
NONE = "none"
# The method of directions from the authors' files.
PUBLISHED = "published"
_WORDS = {
    "images": "pictures to learn from",
    "steps": "steps of the optimiser",
    "batch_size": "pictures a step",
    "learning_rate": "learning rate",
    "num_inference_steps": "denoising steps",
    "guidance_scale": "guidance scale",
    "method": "method",
    "padding": "padding of the neutral prompts",
}


def rows(experiment: Experiment, benchmark: Benchmark, summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Published rows first, then ours: unsteered, steered as the paper does, and with what goes beyond it."""
    found: list[dict[str, Any]] = []
    for row in protocol.published(experiment.name):
        figures = {column: {"value": value} for column, value in row["figures"].items()}
        found.append({"name": row["name"], "source": row["source"], "ours": False, "figures": figures})
    images = summary["images_per_prompt"]
    pictures = f"{images} picture{'s' * (images > 1)}"
    source = f"this run: {summary['provenance']['model']['name']}, {summary['prompts']:,} prompts x {pictures}"
    # By a column's method, the one to take its figure from in its place.
    ours: dict[str, Mapping[str, str]] = {
        "ours, unsteered": dict.fromkeys(experiment.methods, NONE),
        experiment.ours: {},
        **({experiment.ours_beyond: experiment.beyond} if experiment.beyond else {}),
    }
    for name, instead in ours.items():
        figures = {}
        for title, column in {**experiment.columns, **experiment.details}.items():
            metric = summary["methods"][instead.get(column.method, column.method)].get(column.metric)
            if (figure := _figure(metric, benchmark, column)) is not None:
                figures[title] = figure
        found.append({"name": name, "source": source, "ours": True, "figures": figures})
    return found


def _figure(metric: Mapping[str, Any] | None, benchmark: Benchmark, column: Column) -> Figure | None:
    """{"value", "low", "high", "n"}; None where it was not measured."""
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


def differences(
    experiment: Experiment, paper: Paper, summary: Mapping[str, Any], directions: Mapping[str, Direction]
) -> list[str]:
    """All differences of a finished run, in plain sentences; none where nothing that is known differs.

    Args:
        summary: as `evaluate` returns it.
        directions: those that were used, by name.
    """
    made = summary["provenance"]
    drawing = made["drawing"]
    found = _unlike("the model is", made["model"]["name"], paper.model)
    for key, wanted in (("scheduler", paper.scheduler), ("dtype", paper.dtype)):
        found += _unlike(key, drawing[key], wanted)
    for key, wanted in paper.drawing.items():
        found += _unlike(f"{_WORDS[key]} of the pictures", drawing[key], wanted)
    found += _of_directions(paper, directions)
    if summary["prompts"] != experiment.prompts:
        found.append(f"{summary['prompts']:,} prompts; the paper: {experiment.prompts:,}")
    found += _of_judges(experiment, made["judges"])
    if experiment.real_pictures and (made["reference"] or {}).get("source", "").startswith("the unsteered model"):
        found.append(
            "FID is measured against the unsteered model with other seeds; the paper: real pictures (--reference)"
        )
    return [*found, *experiment.differs]


def _of_directions(paper: Paper, directions: Mapping[str, Direction]) -> Iterator[str]:
    known = {name: each.recipe for name, each in directions.items() if "method" in each.recipe}
    silent = [name for name in directions if name not in known]
    # The authors' own are the paper's, whatever is known of how they were found.
    known = {name: recipe for name, recipe in known.items() if recipe["method"] != PUBLISHED}
    if silent:
        yield f"how these directions were found is not known: {', '.join(silent)}"
    # Where a recipe does not say it, prompts are as long as the model's.
    known = {name: {"padding": "model", **recipe} for name, recipe in known.items()}
    for key, wanted in paper.discovery.items():
        others = {name: recipe.get(key) for name, recipe in known.items() if recipe.get(key) != wanted}
        if others:
            which = "" if len(others) == len(directions) else f" of {', '.join(others)}"
            yield f"{_WORDS[key]} of the discovery{which}: {_range(others.values())}; the paper: {wanted}"
    for name, each in directions.items():
        yield from _unlike(f"strength of {name}:", each.strengths.default, 1)


def _of_judges(experiment: Experiment, judges: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    configs = {each.get("judge", each["name"]): each for each in judges}
    for wanted in experiment.judged_by:
        name = wanted["judge"]
        config = configs.pop(name, None)
        if config is None:
            yield f"not judged by {name}, so the figures that it is part of are not comparable with the paper's"
            continue
        for key, value in wanted.items():
            yield from _unlike(f"{name}, {key}", config.get(key), value)
    if experiment.judged_by:
        yield from (f"judged by {name} as well" for name in configs)


def _unlike(what: str, ours: Any, theirs: Any) -> list[str]:
    """The sentence that says so; a model's name may be without its owner or folder: a copy is the same model."""
    one, other = (each.rstrip("/").rpartition("/")[2] if isinstance(each, str) else each for each in (ours, theirs))
    return [] if one == other else [f"{what} {_shown(ours)}; the paper: {_shown(theirs)}"]


def _range(values: Iterable[Any]) -> str:
    """One value, or the least and the greatest of several numbers, or all of them."""
    found = list(dict.fromkeys(values))
    if len(found) > 2 and all(isinstance(each, int | float) for each in found):
        return f"{min(found):.4g} to {max(found):.4g}"
    return ", ".join(f"{each:.4g}" if isinstance(each, float) else f"{each}" for each in found)


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
