"""A reproduction: one experiment with its settings, from what is refused at once to reproduction.json."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from directrix.checks import one_of, whole_number
from directrix.directions.collection import find
from directrix.discovery.prompt_padding import PADDINGS
from directrix.discovery.registry import METHODS
from directrix.errors import ConceptError, DirectrixError
from directrix.experiments.paper import protocol
from directrix.experiments.paper.comparison import NONE, differences, rows
from directrix.experiments.paper.directions import Discovery, given, obtained, path_of
from directrix.experiments.paper.protocol import Experiment
from directrix.interventions.compatibility import check_model
from directrix.measurement import benchmarks
from directrix.measurement.evaluation import evaluate, named_judges, ready
from directrix.measurement.judges import load
from directrix.models.files import write_atomically
from directrix.models.steerable import SteerableModel
from directrix.policies.policy import Policy
from directrix.progress import Progress, silent

if TYPE_CHECKING:
    from directrix.concept import Concept
    from directrix.directions.direction import Direction
    from directrix.measurement.benchmarks import Benchmark
    from directrix.measurement.judges import Judge

REPRODUCTION = "reproduction.json"
FORMAT = 1
# In a policy of the protocol: all directions of the run.
ALL = "all"


def reproduce(
    pipeline: Any, experiment: str, folder: str | Path, *, progress: Progress = silent, **settings: Any
) -> dict[str, Any]:
    """Runs one of the paper's experiments end to end; see `prepare`, which takes the settings, and `Reproduction.run`.

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
    padding: str | None = None,
    seed: int = 0,
    num_inference_steps: int | None = None,
    guidance_scale: float | None = None,
    batch_size: int = 8,
    overwrite: bool = False,
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
        padding: of neutral prompts in discovery, "longest" or "model" (`directrix.discovery.prompt_padding`); None for
            the paper's, where the method is the paper's and the model reads prompts by one CLIP alone.
        seed: of discovery and drawing.
        num_inference_steps, guidance_scale: of all images, those that are learned from too; None for the paper's,
            which draws those with fewer steps than those that it judges.
        batch_size: images in one call of the pipeline.
        overwrite: draw images anew that the folder has of other settings.

    Raises:
        DirectrixError: an unknown experiment, method, judge or category; a setting that is not for this experiment;
            a number that makes no sense; data or directions that are missing.
        OutputError: the folder cannot be written.
    """
    chosen = protocol.experiment(experiment)
    by_q16 = any(each["judge"] == "Q16" for each in chosen.judged_by)
    for what, where, wrong in (
        ("categories", "i2p", categories is not None and not chosen.categories),
        ("reference pictures", "coco", reference is not None and not chosen.real_pictures),
        ("Q16", "i2p or enhance", q16 is not None and not by_q16),
    ):
        if wrong:
            happened = f"The experiment '{chosen.name}' has no use for {what}."
            raise DirectrixError(happened, f"{what} with {where} only.", "leave it out.")
    counts = {"images": images, "batch_size": batch_size, "limit": limit, "num_inference_steps": num_inference_steps}
    counts |= {"images_of_discovery": images_of_discovery, "steps_of_discovery": steps_of_discovery}
    for name, value in counts.items():
        if value is not None:
            whole_number(name, value)
    if padding is not None:
        one_of("padding", padding, PADDINGS)
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
        padding,
    )
    own = (method, images_of_discovery, steps_of_discovery, learning_rate, padding)
    if directions is None:
        _check(discovery, concepts)
    elif any(each is not None for each in own):
        raise DirectrixError(
            "The directions are given, so none is discovered.",
            "settings of a discovery, or a folder of directions.",
            "leave one of the two out.",
        )
    benchmark = benchmarks.load(chosen.name, data).part(limit=limit)
    mine = None if directions is None else given(names, Path(directions).expanduser())
    folder = Path(folder)
    wanted = [*(chosen.judges if judges is None else judges), *([] if q16 is None else [f"q16:{q16}"])]
    loaded = [each for one in wanted for each in (_named(one, chosen, benchmark) if isinstance(one, str) else [one])]
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
        overwrite,
    )


def _named(name: str, chosen: Experiment, benchmark: Benchmark) -> list[Judge]:
    """A judge by its name; CLIP decides as the paper says, where that is known."""
    if chosen.clip and name.partition(":")[0] == "clip":
        return [load(name, **chosen.clip)]
    return named_judges([name], benchmark)


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


@dataclass(frozen=True)
class Reproduction:
    """A reproduction that is ready to run; `prepare` makes one."""

    experiment: Experiment
    folder: Path  # for directions, checkpoints, images and results
    benchmark: Benchmark  # as many of its prompts as are wanted
    judges: Sequence[Judge]
    concepts: Sequence[Concept]  # whose directions it needs
    given: Mapping[str, Direction] | None  # directions to use in place of discovered ones
    discovery: Discovery
    images: int  # of each prompt
    reference: str | Path | None  # images for FID and KID; None for the unsteered model with the next seed
    num_inference_steps: int  # of the images that are judged
    batch_size: int
    overwrite: bool

    def run(self, pipeline: Any, progress: Progress = silent) -> dict[str, Any]:
        """Discovers, evaluates and compares; writes RUN/summary.json and RUN/reproduction.json.

        Called again, it goes on with what is missing.

        Returns:
            {"experiment", "settings", "same_as_paper", "differences", "unknown", "rows": [{"name", "source", "ours",
            "figures"}]} and more, which is what reproduction.json holds. A figure of ours is {"value", "low", "high",
            "n"}, a published one {"value"}.

        Raises:
            MismatchError: the folder holds directions or a checkpoint of other settings, or directions are given
                that belong to another model.
            InterruptedRun: Ctrl-C in a discovery.
            DirectrixError: whatever `discover` and `evaluate` raise.
        """
        model = SteerableModel.of(pipeline)
        if self.given is None:
            found = obtained(model, self.concepts, self.discovery, self.folder, progress)
        else:
            found = dict(self.given)
            check_model(model, found.values())
        summary = evaluate(
            pipeline,
            self.benchmark,
            {NONE: (), **self._methods(found)},
            self.judges,
            self.images,
            self.discovery.seed,
            self.folder,
            reference=self.reference,
            num_inference_steps=self.num_inference_steps,
            guidance_scale=self.discovery.guidance_scale,
            batch_size=self.batch_size,
            overwrite=self.overwrite,
            progress=progress,
        )
        result = self._result(summary, found)
        write_atomically(self.folder / REPRODUCTION, (json.dumps(result, indent=2, ensure_ascii=False) + "\n").encode())
        return result

    def _methods(self, found: Mapping[str, Direction]) -> dict[str, Policy]:
        """The policies of the protocol over these directions."""
        policies = {}
        for name, policy in self.experiment.methods.items():
            settings = {key: list(found) if value == ALL else value for key, value in policy.items()}
            policies[name] = Policy.of({"directions": dict(found), **settings})
        return policies

    def _result(self, summary: Mapping[str, Any], found: Mapping[str, Direction]) -> dict[str, Any]:
        experiment, made = self.experiment, summary["provenance"]
        paper = protocol.paper()
        differs = differences(experiment, paper, summary, found)
        result = {
            "format": FORMAT,
            "experiment": experiment.name,
            "title": experiment.title,
            "paper": paper.name,
            "settings": {
                "model": made["model"],
                **made["drawing"],
                "prompts": summary["prompts"],
                "images_per_prompt": summary["images_per_prompt"],
                "seed": made["seed"],
                "judges": made["judges"],
                "reference": made["reference"],
                "directions": [self._described(each) for each in found.values()],
            },
            "same_as_paper": not differs,
            "differences": differs,
            "unknown": list(experiment.unknown),
            "not_measured": summary["not_measured"],
            "columns": list(experiment.columns),
            "details": list(experiment.details),
            "rows": rows(self.experiment, self.benchmark, summary),
        }
        return json.loads(json.dumps(result))

    def _described(self, direction: Direction) -> dict[str, Any]:
        file = path_of(self.folder, direction.name).relative_to(self.folder).as_posix()
        return {
            "name": direction.name,
            "file": file if self.given is None else None,
            "digest": direction.digest(),
            "strength": direction.strengths.default,
            "recipe": {key: direction.recipe.get(key) for key in protocol.paper().discovery},
        }
