"""The directions of an experiment: cached from an earlier run, discovered now, or the user's own.

RUN/directions/<name>.safetensors   finished directions; each says in its recipe what it was asked for
RUN/discover/<name>/                the checkpoint of the one that is being discovered
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from directrix.directions.collection import Catalogue
from directrix.directions.direction import Direction
from directrix.discovery import Optimizer, Sampling, discover, prompt_padding
from directrix.discovery.checkpoint import Checkpoint
from directrix.discovery.registry import METHODS
from directrix.errors import MismatchError
from directrix.experiments.cache import store, stored
from directrix.experiments.paper import protocol
from directrix.models.steerable import SteerableModel
from directrix.progress import Progress, labelled
from directrix.reading.names import file_stem

if TYPE_CHECKING:
    from directrix.concept import Concept


@dataclass(frozen=True)
class Discovery:
    """Settings of every discovery of a run; None for the method's own, the model's for the learning rate, and for the
    padding the paper's where the method is and the model can."""

    method: str
    images: int | None
    steps: int | None
    learning_rate: float | None
    num_inference_steps: int
    guidance_scale: float
    seed: int
    padding: str | None = None

    def padded(self, model: SteerableModel) -> Discovery:
        """The same with a padding."""
        paper = protocol.paper().discovery
        as_there = self.method == paper["method"] and prompt_padding.goes_with(model)
        return replace(self, padding=self.padding or (paper["padding"] if as_there else prompt_padding.PADDINGS[0]))

    def asked(self, model: SteerableModel, concept: Concept) -> dict[str, Any]:
        """All that decides a direction, as JSON values, with the method's own settings filled in.

        Raises:
            DirectrixError: there is no such method.
        """
        defaults = METHODS.get(self.method).defaults
        own = {key: getattr(defaults, key) for key in ("images", "steps") if getattr(self, key) is None}
        asked = {
            **{"concept": asdict(concept), **asdict(self), **own, "batch_size": defaults.batch_size},
            "model": model.identity.fingerprint,
            "scheduler": type(model.scheduler).__name__,
            "dtype": str(next(model.denoiser.parameters()).dtype).removeprefix("torch."),
        }
        return json.loads(json.dumps(asked))


def path_of(folder: Path, name: str) -> Path:
    """The file of a direction in a run's folder."""
    return folder / "directions" / f"{_slug(name)}.safetensors"


def given(names: Sequence[str], folder: Path) -> dict[str, Direction]:
    """The user's own directions, by the names that the experiment has for them, or those of the authors' files.

    Raises:
        DirectionFileError: a folder or file without directions.
        PolicyError: one is missing; the error names the nearest.
    """
    catalogue = Catalogue(folder)
    authors = {_letters(each): each for each in catalogue.names}
    found = {}
    for name in names:
        there = [authors[each] for each in protocol.published_names(name) if each in authors]
        own = name if name in catalogue.names or not there else there[0]
        found[name] = catalogue.direction(own).with_(name=name)
    return found


def obtained(
    model: SteerableModel, concepts: Sequence[Concept], discovery: Discovery, folder: Path, progress: Progress
) -> dict[str, Direction]:
    """The directions of the concepts, by name: those that the folder holds are loaded, the others discovered.

    Raises:
        MismatchError: the folder holds one of other settings, or of another model.
        DirectrixError: whatever `discover` and `Direction.load` raise.
    """
    discovery = discovery.padded(model)
    # Other methods have no such option: theirs is the model's.
    options = {} if discovery.padding == prompt_padding.PADDINGS[0] else {"padding": discovery.padding}
    asked = {concept.name: discovery.asked(model, concept) for concept in concepts}
    # All of them before the first discovery: what is refused should be refused at once.
    found = {name: _cached(path, asked[name]) for name in asked if (path := path_of(folder, name)).exists()}
    steps, scale = discovery.num_inference_steps, discovery.guidance_scale
    sampling = Sampling(discovery.images, guidance_scale=scale, num_inference_steps=steps)
    optimizer = Optimizer(discovery.steps, learning_rate=discovery.learning_rate)
    for concept in concepts:
        if concept.name in found:
            continue
        checkpoint = folder / "discover" / _slug(concept.name)
        direction = discover(
            model,
            concept,
            discovery.method,
            sampling=sampling,
            optimizer=optimizer,
            seed=discovery.seed,
            checkpoint=checkpoint,
            progress=labelled(progress, f"{concept.name}: "),
            **options,
        )
        found[concept.name] = store(direction, path_of(folder, concept.name), asked[concept.name])
        Checkpoint(checkpoint).remove()
    return {concept.name: found[concept.name] for concept in concepts}


def _cached(path: Path, asked: Mapping[str, Any]) -> Direction:
    direction, before = stored(path)
    if before == asked:
        return direction
    differences = "it does not say which"
    if isinstance(before, Mapping):
        keys = [key for key in {**before, **asked} if before.get(key) != asked.get(key)]
        differences = "; ".join(f"{key}: {before.get(key)} there, {asked.get(key)} here" for key in keys)
    raise MismatchError(
        f"'{path}' was found with other settings ({differences}).",
        "the settings that the run was started with.",
        "those settings, another folder for this run, or `--directions` to use it as it is.",
    )


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name.lower()))


def _slug(name: str) -> str:
    return file_stem(name).lower().replace(" ", "-")
