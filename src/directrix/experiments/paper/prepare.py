"""From the name of an experiment and some settings to a reproduction that can run, with all that is wrong refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from directrix.checks import whole_number
from directrix.directions.collection import find
from directrix.discovery.registry import METHODS
from directrix.errors import ConceptError, DirectrixError
from directrix.experiments.paper import protocol
from directrix.experiments.paper.directions import Discovery, given
from directrix.experiments.paper.protocol import Experiment
from directrix.experiments.paper.reproduction import Reproduction
from directrix.measurement import benchmarks
from directrix.measurement.evaluation import named_judges, ready
from directrix.progress import Progress, silent

if TYPE_CHECKING:
    from directrix.concept import Concept
    from directrix.measurement.judges import Judge


def reproduce(
    pipeline: Any, experiment: str, folder: str | Path, *, progress: Progress = silent, **settings: Any
) -> dict[str, Any]:
    """Runs one of the paper's experiments end to end with its settings; see `prepare` and `Reproduction.run`.

    settings: as `prepare` takes them.

    Raises:
        DirectrixError: as for both.
    """
    return prepare(experiment, folder, **settings).run(pipeline, progress)


def prepare(
    experiment: str,
    folder: str | Path,
    *,
    data: str | Path | None = None,
    limit: int | None = None,
    images: int | None = None,
    judges: Sequence[str | Judge] | None = None,
    q16: str | Path | None = None,
    reference: str | Path | None = None,
    directions: str | Path | None = None,
    categories: Sequence[str] | None = None,
    method: str | None = None,
    images_of_discovery: int | None = None,
    steps_of_discovery: int | None = None,
    learning_rate: float | None = None,
    seed: int = 0,
    num_inference_steps: int | None = None,
    guidance_scale: float | None = None,
    batch_size: int = 8,
) -> Reproduction:
    """Checks the settings of a reproduction, makes its folder and loads its judges; nothing long.

    Args:
        experiment: "winobias", "i2p", "enhance" or "coco".
        folder: for directions, checkpoints, images and results.
        data: the table of prompts of an experiment that ships none (i2p, coco); see `measurement.benchmarks.load`.
        limit: at most so many prompts, at even distances.
        images: images of each prompt; None for the protocol's.
        judges: names as for `directrix.measurement.judges.load`, or judges; None for the protocol's.
        q16: a file of Q16's embeddings, to judge by Q16 as well (i2p, enhance).
        reference: a folder of real images for FID (coco).
        directions: a folder of directions to use in place of discovered ones.
        categories: what is kept out (i2p), of the protocol's anti-concepts; None for sexual content and violence.
        method: of discovery; None for the paper's.
        images_of_discovery, steps_of_discovery, learning_rate: None for the method's own, which for the paper's
            method are the paper's, with the rate on the model's card.
        seed: of discovery and drawing.
        num_inference_steps, guidance_scale: of all images, those that are learned from too; None for the paper's,
            which draws those with fewer steps than those that it judges.
        batch_size: images in one call of the pipeline.

    Raises:
        DirectrixError: an unknown experiment, method, judge or category; a setting that is not for this experiment;
            a number that makes no sense; data or directions that are missing.
        OutputError: the folder cannot be written.
    """
    chosen = protocol.experiment(experiment)
    _refuse(categories is not None and not chosen.categories, chosen, "categories", "i2p")
    _refuse(reference is not None and not chosen.real_pictures, chosen, "reference pictures", "coco")
    by_q16 = any(each["judge"] == "Q16" for each in chosen.judged_by)
    _refuse(q16 is not None and not by_q16, chosen, "Q16", "i2p or enhance")
    counts = {
        **{"images": images, "batch_size": batch_size, "limit": limit, "num_inference_steps": num_inference_steps},
        **{"images_of_discovery": images_of_discovery, "steps_of_discovery": steps_of_discovery},
    }
    for name, value in counts.items():
        if value is not None:
            whole_number(name, value)
    published = protocol.paper()
    paper = published.discovery
    names = list(chosen.concepts)
    if categories is not None:
        names = list(dict.fromkeys(find(each, chosen.categories, "category") for each in categories))
    concepts = [protocol.concept(name) for name in names]
    discovery = Discovery(
        method or paper["method"],
        images_of_discovery,
        steps_of_discovery,
        learning_rate,
        num_inference_steps or paper["num_inference_steps"],
        float(paper["guidance_scale"] if guidance_scale is None else guidance_scale),
        seed,
    )
    if directions is None:
        _check(discovery, concepts)
    elif any(each is not None for each in (method, images_of_discovery, steps_of_discovery, learning_rate)):
        raise DirectrixError(
            "The directions are given, so none is discovered.",
            "settings of a discovery, or a folder of directions.",
            "leave one of the two out.",
        )
    benchmark = benchmarks.load(chosen.name, data).part(limit=limit)
    mine = None if directions is None else given(names, Path(directions).expanduser())
    folder = Path(folder)
    wanted = [*(chosen.judges if judges is None else judges), *([] if q16 is None else [f"q16:{q16}"])]
    loaded = [each for one in wanted for each in (named_judges([one], benchmark) if isinstance(one, str) else [one])]
    ready(benchmark, loaded, folder, reference)
    return Reproduction(
        chosen,
        folder,
        benchmark,
        loaded,
        concepts,
        mine,
        discovery,
        images or chosen.images,
        reference,
        num_inference_steps or published.drawing["num_inference_steps"],
        batch_size,
    )


def _check(discovery: Discovery, concepts: Sequence[Concept]) -> None:
    if METHODS.get(discovery.method).defaults.steps == 0 and discovery.steps:
        raise DirectrixError(
            f"The method {discovery.method} was given {discovery.steps} steps.",
            "no steps: it is a closed form.",
            "leave them out.",
        )
    if any(concept.anti for concept in concepts) and not discovery.guidance_scale > 1:
        raise ConceptError(
            f"A negative prompt does nothing at guidance scale {discovery.guidance_scale:g}.",
            "a guidance scale above 1, since this experiment keeps things out.",
            "7.5, the paper's.",
        )


def _refuse(wrong: bool, experiment: Experiment, what: str, where: str) -> None:
    if wrong:
        raise DirectrixError(
            f"The experiment '{experiment.name}' has no use for {what}.", f"{what} with {where} only.", "leave it out."
        )
