"""A reproduction: one experiment with its settings, from the directions to reproduction.json."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from directrix.experiments.paper import protocol
from directrix.experiments.paper.columns import figures
from directrix.experiments.paper.deviations import differences
from directrix.experiments.paper.directions import Discovery, obtained, path_of
from directrix.experiments.paper.protocol import Experiment
from directrix.interventions.compatibility import check_model
from directrix.measurement.evaluation import evaluate
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
NONE = "none"
# In a policy of the protocol: all directions of the run.
ALL = "all"


@dataclass(frozen=True)
class Reproduction:
    """A reproduction that is ready to run; `prepare` makes one.

    Args:
        experiment: what is reproduced.
        folder: RUN, for directions, images and results.
        benchmark: its prompts, as many as are wanted.
        judges: loaded.
        concepts: whose directions it needs.
        given: directions to use in place of discovered ones; None to discover.
        discovery: settings of the discoveries.
        images: images of each prompt.
        reference: a folder of images for FID and KID; None for the unsteered model with the next seed.
        num_inference_steps: of the images that are judged.
        batch_size: images in one call of the pipeline.
    """

    experiment: Experiment
    folder: Path
    benchmark: Benchmark
    judges: Sequence[Judge]
    concepts: Sequence[Concept]
    given: Mapping[str, Direction] | None
    discovery: Discovery
    images: int
    reference: str | Path | None
    num_inference_steps: int
    batch_size: int

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
            "rows": self._rows(summary),
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

    def _rows(self, summary: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Published rows first, then ours: unsteered, steered as the paper does, and with what goes beyond it."""
        published = [
            {
                "name": row.name,
                "source": row.source,
                "ours": False,
                "figures": {column: {"value": value} for column, value in row.figures.items()},
            }
            for row in protocol.published(self.experiment.name)
        ]
        model = summary["provenance"]["model"]["name"]
        images = summary["images_per_prompt"]
        pictures = f"{images} picture" + "s" * (images > 1)
        source = f"this run: {model}, {summary['prompts']:,} prompts x {pictures}"
        columns = {**self.experiment.columns, **self.experiment.details}
        rows: dict[str, Mapping[str, str]] = {
            "ours, unsteered": dict.fromkeys(self.experiment.methods, NONE),
            self.experiment.ours: {},
        }
        if self.experiment.beyond:
            rows[self.experiment.ours_beyond] = self.experiment.beyond
        ours = [
            {
                "name": name,
                "source": source,
                "ours": True,
                "figures": figures(summary, self.benchmark, columns, instead),
            }
            for name, instead in rows.items()
        ]
        return [*published, *ours]
