"""One discovery from end to end: collect the images, measure the site, fit, and write down how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import diffusers
import torch

from directrix._version import __version__
from directrix.directions.direction import Direction
from directrix.discovery.frozen_denoiser import FrozenDenoiser, as_maps
from directrix.discovery.noise_schedule import FLOW, FlowSchedule, Schedule
from directrix.discovery.optimize import draw_batch
from directrix.discovery.pipeline_calls import Drawing
from directrix.discovery.problem import Problem
from directrix.discovery.samples import collect
from directrix.discovery.trajectories import follow
from directrix.errors import SiteError
from directrix.models import facts, families, sites

if TYPE_CHECKING:
    from torch import Tensor

    from directrix.concept import Concept
    from directrix.discovery.checkpoint import Checkpoint
    from directrix.discovery.noise_schedule import Noising
    from directrix.discovery.orthogonalize import Separation
    from directrix.discovery.problem import Fit, Method
    from directrix.discovery.samples import Samples
    from directrix.models.identity import Site
    from directrix.progress import Progress

# How many images the size of the site's output is measured on.
SITE_IMAGES = 16

# Points of the loss curve that the recipe keeps.
LOSS_POINTS = 20


def run(
    pipeline: Any,
    concepts: tuple[Concept, ...],
    how: Method,
    settings: dict[str, Any],
    seed: int,
    site_name: str | None,
    separation: Separation,
    keep: Sequence[str],
    checkpoint: Checkpoint | None,
    checkpoint_every: int,
    progress: Progress | None,
    call: Mapping[str, Any],
) -> list[Direction]:
    """The directions of the concepts, within ``frozen(pipeline)``; see ``discover``."""
    model = facts(pipeline)
    site = sites.find(pipeline, site_name or model.site)
    if site.layout == "channels-last":
        # Tokens of the image are steered alike, so a map has nothing to hold.
        separation = replace(separation, shape="channel")
    how_to_draw = Drawing(pipeline, settings["guidance_scale"], settings["num_inference_steps"], call)
    denoiser = FrozenDenoiser(pipeline, site, how_to_draw)
    schedule: Noising | None = None
    drawing: dict[str, Any] = {
        "guidance_scale": settings["guidance_scale"],
        "num_inference_steps": settings["num_inference_steps"],
        "seed": seed,
        "batch_size": settings["collection_batch_size"],
        "checkpoint": checkpoint,
        "progress": progress,
        "call": call,
    }
    if how.source == "images":
        schedule = _schedule(pipeline, denoiser, model.prediction_type)
        fraction = how.neutral_fraction
        data = collect(pipeline, concepts, settings["images"], neutral_fraction=fraction, **drawing)
        shape, size = _site_output(denoiser, data, schedule, seed)
    else:
        data = follow(pipeline, denoiser, concepts, settings["images"], keep=keep, **drawing)
        channels, height, width = data.neutral.shape[-3:]
        shape, size = (channels, height, width), data.size
    check_size(size)
    if separation.shape == "channel":
        shape = (shape[0], 1, 1)
    rate = settings["learning_rate"]
    if rate is None:
        own = how.defaults
        card = model.learning_rate
        rate = own.relative_learning_rate * size if card is None else own.learning_rate * card
    fit = how.fit(
        Problem(
            denoiser,
            schedule,
            data,
            (len(concepts), shape[0], shape[1], shape[2]),
            settings["guidance_scale"],
            rate,
            settings["steps"] * len(concepts),
            settings["batch_size"],
            seed,
            checkpoint,
            checkpoint_every,
            progress,
            separation,
        )
    )
    recipe = {
        "method": how.name,
        **how.describe(),
        **settings,
        **separation.describe(),
        "kept_prompts": list(keep),
        "learning_rate": rate,
        "prediction_type": model.prediction_type,
        "optimizer": "Adam, constant rate" if settings["steps"] else None,
        "site_rms": size,
        "seed": seed,
        "learned_together": [concept.name for concept in concepts],
        **({"call": dict(call)} if call else {}),
        "seconds": {"collecting": round(data.seconds, 2), "fitting": round(fit.seconds, 2)},
        "denoiser_evaluations": {
            "collecting": data.evaluations,
            "forward": fit.forward,
            "forward_backward": fit.forward_backward,
        },
        "loss": _summary(fit),
    }
    asked = len(concepts) - separation.preserved
    vectors = list(fit.vectors[:asked])
    if separation.shape == "channel":
        vectors = [vector.flatten() for vector in vectors]
    return _directions(pipeline, concepts[:asked], vectors, recipe, site, denoiser)


def _directions(
    pipeline: Any,
    concepts: tuple[Concept, ...],
    vectors: Sequence[Tensor],
    recipe: dict[str, Any],
    site: Site,
    denoiser: FrozenDenoiser,
) -> list[Direction]:
    provenance = {
        "directrix": __version__,
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": denoiser.device.type,
        "dtype": str(denoiser.dtype).removeprefix("torch."),
    }
    return [
        Direction(
            name=concept.name,
            tensor=vector,
            site=site,
            model=facts(pipeline).identity,
            recipe={**recipe, "concept": asdict(concept)},
            provenance=provenance,
        )
        for concept, vector in zip(concepts, vectors, strict=True)
    ]


def _site_output(
    denoiser: FrozenDenoiser, samples: Samples, schedule: Noising, seed: int
) -> tuple[tuple[int, int, int], float]:
    """Shape (C, H, W) and root mean square of the site's output under the neutral prompts."""
    batch = draw_batch(samples, schedule, 0, min(SITE_IMAGES, len(samples)), seed)
    neutral = denoiser.encode([samples.pairs[i].neutral for i in batch.pair.tolist()])
    h = denoiser.raw_output(batch.x_t, batch.timesteps, neutral)
    _, channels, height, width = as_maps(h).shape
    return (channels, height, width), float(h.square().mean().sqrt())


def _schedule(pipeline: Any, denoiser: FrozenDenoiser, prediction_type: str) -> Noising:
    if prediction_type != FLOW or not hasattr(pipeline, "transformer"):
        return Schedule.of(pipeline.scheduler, prediction_type)
    told = denoiser.first_question["timestep"]
    return FlowSchedule.of(pipeline.scheduler, told, families.reversed_clock(pipeline))


def check_size(size: float) -> None:
    """Raises SiteError unless the root mean square of a site's output is finite and above 0."""
    if not 0 < size < float("inf"):
        raise SiteError(
            f"The site's output has a root mean square of {size}.",
            "a finite one above 0.",
            "load the model in float32 or bfloat16, or name another site.",
        )


def _summary(fit: Fit) -> dict[str, Any]:
    """First and last of the loss curve, and the curve itself as means over equal stretches; empty in closed form."""
    if not len(fit.losses):
        return {"first": None, "last": None, "curve": []}
    curve = [round(float(part.mean()), 6) for part in fit.losses.tensor_split(LOSS_POINTS) if len(part)]
    return {"first": curve[0], "last": curve[-1], "curve": curve}
