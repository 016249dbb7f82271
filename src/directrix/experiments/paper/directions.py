"""The directions of an experiment: kept from an earlier run, discovered now, or the user's own.

RUN/directions/<name>.safetensors   finished directions; each says in its recipe what it was asked for
RUN/discover/<name>/                the checkpoint of the one that is being discovered
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from directrix.directions.collection import Catalogue
from directrix.directions.direction import Direction
from directrix.discovery import Optimizer, Sampling, discover
from directrix.discovery.registry import METHODS
from directrix.errors import MismatchError
from directrix.interventions.compatibility import check_model
from directrix.models import SteerableModel, denoiser, identity
from directrix.progress import Progress, labelled

if TYPE_CHECKING:
    from directrix.concept import Concept
    from directrix.directions.direction import Direction

FOLDER = "directions"
CHECKPOINTS = "discover"
# Where a direction's recipe keeps what it was asked for.
ASKED = "asked"


@dataclass(frozen=True)
class Discovery:
    """Settings of every discovery of a run; None for the method's own, or the model's for the learning rate."""

    method: str
    images: int | None
    steps: int | None
    learning_rate: float | None
    num_inference_steps: int
    guidance_scale: float
    seed: int

    def asked(self, pipeline: Any, concept: Concept) -> dict[str, Any]:
        """All that decides a direction, as JSON values, with the method's own settings filled in.

        Raises:
            DirectrixError: there is no such method.
        """
        defaults = METHODS.get(self.method).defaults
        settings = asdict(self)
        for key in ("images", "steps"):
            settings[key] = getattr(defaults, key) if settings[key] is None else settings[key]
        settings["batch_size"] = defaults.batch_size
        network = denoiser(pipeline)
        return json.loads(
            json.dumps(
                {
                    "concept": asdict(concept),
                    **settings,
                    "model": identity(pipeline).fingerprint,
                    "scheduler": type(pipeline.scheduler).__name__,
                    "dtype": str(next(network.parameters()).dtype).removeprefix("torch."),
                }
            )
        )


def path_of(folder: Path, name: str) -> Path:
    """The file of a direction in a run's folder."""
    return folder / FOLDER / f"{_slug(name)}.safetensors"


def given(names: Sequence[str], folder: Path) -> dict[str, Direction]:
    """The user's own directions, by the names that the experiment has for them.

    Raises:
        DirectionFileError: a folder or file without directions.
        PolicyError: one is missing; the error names the nearest.
    """
    catalogue = Catalogue(folder)
    return {name: catalogue.direction(name).with_(name=name) for name in names}


def obtained(
    pipeline: Any, concepts: Sequence[Concept], discovery: Discovery, folder: Path, progress: Progress
) -> dict[str, Direction]:
    """The directions of the concepts, by name: those that the folder holds are kept, the others discovered.

    Raises:
        MismatchError: the folder holds one of other settings, or of another model.
        DirectrixError: whatever `discover` and `storage` raise.
    """
    asked = {concept.name: discovery.asked(pipeline, concept) for concept in concepts}
    retained = {
        name: _cached(path, asked[name]) for name in asked if (path := path_of(folder, name)).exists()
    }  # all of them before the first discovery: what is refused should be refused at once
    return {
        concept.name: retained.get(concept.name)
        or _discovered(pipeline, concept, discovery, asked[concept.name], folder, progress)
        for concept in concepts
    }


def fitting(pipeline: Any, directions: Mapping[str, Direction]) -> None:
    """Raises MismatchError where a direction belongs to another model than the pipeline's."""
    check_model(SteerableModel.of(pipeline), directions.values())


def _cached(path: Path, asked: Mapping[str, Any]) -> Direction:
    direction = Direction.load(path)
    before = direction.recipe.get(ASKED)
    if before != asked:
        raise MismatchError(
            f"'{path}' was found with other settings ({_differences(before, asked)}).",
            "the settings that the run was started with.",
            "those settings, another folder for this run, or `--directions` to use it as it is.",
        )
    return direction


def _discovered(
    pipeline: Any, concept: Concept, discovery: Discovery, asked: Mapping[str, Any], folder: Path, progress: Progress
) -> Direction:
    checkpoint = folder / CHECKPOINTS / _slug(concept.name)
    direction = discover(
        pipeline,
        concept,
        discovery.method,
        sampling=Sampling(
            discovery.images, guidance_scale=discovery.guidance_scale, num_inference_steps=discovery.num_inference_steps
        ),
        optimizer=Optimizer(discovery.steps, learning_rate=discovery.learning_rate),
        seed=discovery.seed,
        checkpoint=checkpoint,
        progress=labelled(progress, f"{concept.name}: "),
    )
    direction = direction.with_(recipe={**direction.recipe, ASKED: dict(asked)})
    direction.save(path_of(folder, concept.name))
    shutil.rmtree(checkpoint, ignore_errors=True)
    return direction


def _differences(before: Any, asked: Mapping[str, Any]) -> str:
    if not isinstance(before, Mapping):
        return "it does not say which"
    keys = [key for key in {**before, **asked} if before.get(key) != asked.get(key)]
    return "; ".join(f"{key}: {before.get(key)} there, {asked.get(key)} here" for key in keys)


def _slug(name: str) -> str:
    return name.lower().replace(" ", "-")
