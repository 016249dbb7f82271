"""What a run does otherwise than the paper, in plain sentences; an empty list where nothing that is known differs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from directrix.directions.direction import Direction
from directrix.experiments.paper.protocol import Experiment, Paper

_WORDS = {
    "images": "pictures to learn from",
    "steps": "steps of the optimiser",
    "batch_size": "pictures a step",
    "learning_rate": "learning rate",
    "num_inference_steps": "denoising steps",
    "guidance_scale": "guidance scale",
    "method": "method",
}


def differences(
    experiment: Experiment, paper: Paper, summary: Mapping[str, Any], directions: Mapping[str, Direction]
) -> list[str]:
    """All differences of a finished run.

    Args:
        summary: as `evaluate` returns it.
        directions: those that were used, by name.
    """
    made = summary["provenance"]
    found = [*_of_model(paper, made), *_of_directions(paper, directions)]
    if summary["prompts"] != experiment.prompts:
        found.append(f"{summary['prompts']:,} prompts; the paper: {experiment.prompts:,}")
    found += _of_judges(experiment, made["judges"])
    reference = made["reference"] or {}
    if experiment.real_pictures and reference.get("source", "").startswith("the unsteered model"):
        found.append(
            "FID is measured against the unsteered model with other seeds; the paper: real pictures (--reference)"
        )
    return [*found, *experiment.differs]


def _of_model(paper: Paper, made: Mapping[str, Any]) -> Iterable[str]:
    drawing = made["drawing"]
    if _last(made["model"]["name"]) != _last(paper.model):
        yield f"the model is {made['model']['name']}; the paper: {paper.model}"
    for key, value in (("scheduler", paper.scheduler), ("dtype", paper.dtype)):
        if drawing[key] != value:
            yield f"{key} {drawing[key]}; the paper: {value}"
    for key, wanted in paper.drawing.items():
        if drawing[key] != wanted:
            yield f"{_WORDS[key]} of the pictures {drawing[key]:g}; the paper: {wanted:g}"


def _of_directions(paper: Paper, directions: Mapping[str, Direction]) -> Iterable[str]:
    silent = [name for name, each in directions.items() if "method" not in each.recipe]
    if silent:
        yield f"how these directions were found is not known: {', '.join(silent)}"
    for key, wanted in paper.discovery.items():
        others = {
            name: each.recipe.get(key)
            for name, each in directions.items()
            if name not in silent and each.recipe.get(key) != wanted
        }
        if others:
            which = "" if len(others) == len(directions) else f" of {', '.join(others)}"
            yield f"{_WORDS[key]} of the discovery{which}: {_range(others.values())}; the paper: {wanted}"
    for name, each in directions.items():
        if each.strengths.default != 1:
            yield f"strength of {name}: {each.strengths.default:g}; the paper: 1"


def _of_judges(experiment: Experiment, judges: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    configs = {each.get("judge", each["name"]): each for each in judges}
    for wanted in experiment.judged_by:
        name = wanted["judge"]
        config = configs.pop(name, None)
        if config is None:
            yield f"not judged by {name}, so the figures that it is part of are not comparable with the paper's"
            continue
        for key, value in wanted.items():
            if _last(config.get(key)) != _last(value):
                yield f"{name}, {key} {_shown(config.get(key))}; the paper: {_shown(value)}"
    if experiment.judged_by:
        yield from (f"judged by {name} as well" for name in configs)


def _range(values: Iterable[Any]) -> str:
    """One value, or the least and the greatest of several numbers, or all of them."""
    found = list(dict.fromkeys(values))
    if len(found) > 2 and all(isinstance(each, int | float) for each in found):
        return f"{min(found):.4g} to {max(found):.4g}"
    return ", ".join(f"{each:.4g}" if isinstance(each, float) else f"{each}" for each in found)


def _last(value: Any) -> Any:
    """A model's name without its owner or folder: a copy is the same model."""
    return value.rstrip("/").rpartition("/")[2] if isinstance(value, str) else value


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
