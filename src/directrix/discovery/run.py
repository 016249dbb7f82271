"""One discovery from end to end: collect the data, measure the site, fit, and write down how."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import diffusers
import torch

from directrix import __version__
from directrix.directions.direction import Direction
from directrix.discovery.checkpoint import Checkpoint
from directrix.discovery.embedding import Embedding
from directrix.discovery.environment import frozen
from directrix.discovery.first_step import FirstStep
from directrix.discovery.frozen_denoiser import FrozenDenoiser, check_size
from directrix.discovery.leakage import Values, corrected
from directrix.discovery.noise_schedule import FLOW, Schedule
from directrix.discovery.opposed import opposed
from directrix.discovery.orthogonalize import orthogonalized
from directrix.discovery.pipeline_calls import PipelineCall
from directrix.discovery.problem import Problem
from directrix.discovery.samples import Samples, draw_samples
from directrix.discovery.trajectories import Trajectories, record_trajectories
from directrix.discovery.word_reach import completed
from directrix.discovery.word_tokens import with_words, words_of
from directrix.errors import DirectionFileError, DirectrixError, InterruptedRun, OutputError

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from directrix.concept import Concept
    from directrix.directions.part import Part
    from directrix.discovery.problem import Method
    from directrix.progress import Progress

# Points of the loss curve that the recipe has.
LOSS_POINTS = 20
# What the recipe says of a direction that is as its method finds it.
_NOTHING: dict[str, Any] = {"pooled_factor": 1.0, "word_tokens": 0, "leakage_taken_out": {}, "opposed": {}}


@dataclass(frozen=True)
class Run:
    """A discovery with every setting filled in.

    concepts: those that are looked for, then those that are only preserved.
    attributes: those of the latter that are values of one attribute, attribute by attribute.
    settings: numbers, by the names that the recipe has for them.
    form: what `orthogonalize.orthogonalized` takes beside names.
    retain: prompts under which nothing must change.
    site: name of one; None for the model's own.
    """

    call: PipelineCall
    concepts: tuple[Concept, ...]
    attributes: Sequence[Sequence[Concept]]
    method: Method
    settings: Mapping[str, Any]
    form: Mapping[str, Any]
    retain: Sequence[str]
    site: str | None
    seed: int

    def directions(self, folder: Path | str | None, checkpoint_every: int, progress: Progress) -> list[Direction]:
        """The directions that are looked for, from the checkpoint in the folder if there is one; see `discover`."""
        checkpoint = Checkpoint(folder, self._asked())
        with checkpoint.locked():
            try:
                with checkpoint.interruptible(lambda: "preparing"), frozen(self.call.model):
                    return self._found(checkpoint, checkpoint_every, progress)
            except (InterruptedRun, OutputError, DirectionFileError):
                raise
            except DirectrixError:
                # Settings that cannot work would stand in the way of those that can.
                checkpoint.remove()
                raise

    def _found(self, checkpoint: Checkpoint, checkpoint_every: int, progress: Progress) -> list[Direction]:
        model, settings, how, form = self.call.model, self.settings, self.method, dict(self.form)
        facts = model.facts
        if isinstance(how, Embedding):
            return self._embedded(how, progress)
        site = model.find_site(self.site or facts.site)
        if site.layout == "channels-last":
            # Tokens of the image are steered alike, so a map has no meaning there.
            form["shape"] = "channel"
        denoiser = FrozenDenoiser(model, site, self.call)
        data = self._data(denoiser, checkpoint, progress)
        (channels, *place), size = data.site_output(denoiser, self.seed)
        check_size(size)
        height, width = (1, 1) if form["shape"] == "channel" else place
        rate = settings["learning_rate"]
        if rate is None:
            own, card = how.defaults, facts.learning_rate
            rate = own.relative_learning_rate * size if card is None else own.learning_rate * card
        names = [concept.name for concept in self.concepts]
        fit = how.fit(
            Problem(
                denoiser,
                data,
                (len(names), channels, height, width),
                settings["guidance_scale"],
                rate,
                settings["steps"] * len(names),
                settings["batch_size"],
                self.seed,
                checkpoint,
                checkpoint_every,
                progress,
                form["preserved"],
                partial(orthogonalized, **form, names=names),
            )
        )
        recipe = {
            **self._described(form),
            "learning_rate": rate,
            "prediction_type": facts.prediction_type,
            "optimizer": "Adam, constant rate" if settings["steps"] else None,
            "site_rms": size,
            "learned_together": names,
            "seconds": {"collecting": round(data.seconds, 2), "fitting": round(fit.seconds, 2)},
            "denoiser_evaluations": {
                "collecting": data.evaluations,
                "forward": fit.forward,
                "forward_backward": fit.forward_backward,
            },
            "loss": _summary(fit.losses),
        }
        provenance = _provenance(denoiser)
        wanted = self.concepts[: len(names) - form["preserved"]]
        return [
            Direction(
                name=concept.name,
                tensor=vector.flatten() if form["shape"] == "channel" else vector,
                site=site,
                model=model.identity,
                recipe={**recipe, "concept": asdict(concept)},
                provenance=provenance,
            )
            for concept, vector in zip(wanted, fit.vectors[: len(wanted)], strict=True)
        ]

    def _embedded(self, how: Embedding, progress: Progress) -> list[Direction]:
        """The directions at the denoiser's inputs about the prompt; see `embedding`."""
        started, model = time.perf_counter(), self.call.model
        denoiser = FrozenDenoiser(model, model.find_site(), self.call)
        names = [concept.name for concept in self.concepts]
        # A vector for each token has no place to pool over, and no height that a rank would be of.
        form = {**self.form, "shape": "map", "rank": None}
        apart = partial(orthogonalized, **form, names=names)
        scale = self.settings["guidance_scale"]
        parts, more = how.parts(denoiser, self.concepts, scale, apart, form["preserved"], progress)
        wanted = self.concepts[: len(names) - form["preserved"]]
        # Contrast leaves what a value adds to the mean of all; strength 1 leads all the way from that of the others.
        size = len(wanted) / (len(wanted) - 1) if form["contrast"] else 1.0
        first, of = FirstStep(denoiser, scale), dict(zip(self.concepts, parts, strict=True))
        preserved = [{concept: of[concept] for concept in each} for each in self.attributes]
        values = {concept: [part.with_tensor(part.tensor * size) for part in of[concept]] for concept in wanted}
        # Of a preserved concept that is no value of an attribute, nobody measures what words lead to.
        said = form["contrast"] and sum(len(each) for each in preserved if len(each) > 1) == form["preserved"]
        made = _adjusted(first, values, preserved, form["contrast"], said)
        recipe = {
            **self._described(form),
            **more,
            "learned_together": names,
            "seconds": {"collecting": 0.0, "fitting": round(time.perf_counter() - started, 2)},
            "denoiser_evaluations": {"collecting": 0, "forward": denoiser.forward, "forward_backward": 0},
            "loss": _summary(None),
        }
        provenance = _provenance(denoiser)
        return [
            Direction(
                concept.name,
                parts=each,
                model=model.identity,
                recipe={**recipe, **own, "concept": asdict(concept)},
                provenance=provenance,
            )
            for concept, (each, own) in zip(wanted, made, strict=True)
        ]

    def _data(self, denoiser: FrozenDenoiser, checkpoint: Checkpoint, bars: Progress) -> Samples | Trajectories:
        call, how, images = self.call, self.method, self.settings["images"]
        common: Any = {"seed": self.seed, "batch_size": self.settings["collection_batch_size"]}
        common |= {"checkpoint": checkpoint, "progress": bars}
        if how.learns_from == "samples":
            schedule, share = self._schedule(denoiser), how.neutral_fraction
            return draw_samples(call, self.concepts, images, schedule, neutral_fraction=share, **common)
        return record_trajectories(call, [denoiser.site], self.concepts, images, retain=self.retain, **common)[0]

    def _schedule(self, denoiser: FrozenDenoiser) -> Schedule:
        model = self.call.model
        prediction_type = model.facts.prediction_type
        if prediction_type != FLOW or not hasattr(model.pipeline, "transformer"):
            return Schedule.of(model.scheduler, prediction_type)
        first_time = denoiser.first_inputs["timestep"]
        return Schedule.of_flow(model.scheduler, first_time, model.reversed_clock)

    def _described(self, form: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "method": self.method.name,
            **self.method.describe(),
            **self.settings,
            **form,
            "retained_prompts": list(self.retain),
            "seed": self.seed,
            **({"call": dict(self.call.arguments)} if self.call.arguments else {}),
        }

    def _asked(self) -> dict[str, Any]:
        """All that decides the directions, as JSON values."""
        model = self.call.model
        return {
            **self._described(self.form),
            "site": self.site,
            "model": model.identity.fingerprint,
            "scheduler": f"{type(model.scheduler).__name__} {sorted(dict(model.scheduler.config).items())}",
            "dtype": str(next(model.denoiser.parameters()).dtype),
            "concepts": [asdict(concept) for concept in self.concepts],
        }


def _adjusted(
    first: FirstStep, values: Values, preserved: Sequence[Values], contrast: bool, words: bool
) -> list[tuple[Sequence[Part], dict[str, Any]]]:
    """Of each value the parts after what the first step says of them, and that for the recipe.

    contrast: whether the values are contrasted with one another; words: whether they may say their words.
    """
    try:
        return _measured(first, values, preserved, contrast, words)
    except (DirectrixError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        # Some denoisers take their pipeline's arguments only as whole batches: their directions are as they were found.
        return [(parts, {**deepcopy(_NOTHING), "first_step": f"not predicted: {error}"}) for parts in values.values()]


def _measured(
    first: FirstStep, values: Values, preserved: Sequence[Values], contrast: bool, words: bool
) -> list[tuple[Sequence[Part], dict[str, Any]]]:
    found, said = dict(values), {each: deepcopy(_NOTHING) for each in values}
    own = words_of(first.denoiser, values) if words else {}
    for concept in values:
        if contrast:
            others = [each for each in values if each is not concept]
            found[concept], factor = completed(first, concept, others, found[concept])
            said[concept]["pooled_factor"] = round(factor, 3)
            if concept in own:
                found[concept], count = with_words(first, concept, others, found[concept], own[concept])
                said[concept]["word_tokens"] = count
        for each in preserved:
            found[concept], taken = corrected(first, found[concept], each)
            said[concept]["leakage_taken_out"] |= taken
    for concept, (more, of) in (opposed(first, found) if contrast else {}).items():
        found[concept] = [*found[concept], *more]
        said[concept]["opposed"] = of
    return [(found[each], said[each]) for each in values]


def _provenance(denoiser: FrozenDenoiser) -> dict[str, Any]:
    return {
        "directrix": __version__,
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": denoiser.device.type,
        "dtype": str(denoiser.dtype).removeprefix("torch."),
    }


def _summary(losses: Tensor | None) -> dict[str, Any]:
    """First and last of the loss curve, and the curve itself as means over equal stretches; empty in closed form."""
    if losses is None or not len(losses):
        return {"first": None, "last": None, "curve": []}
    curve = [round(float(part.mean()), 6) for part in losses.tensor_split(LOSS_POINTS) if len(part)]
    return {"first": curve[0], "last": curve[-1], "curve": curve}
