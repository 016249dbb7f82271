"""Fitting a probe for a closed loop, without a judge: images that a direction steers are of its category.

    y = W (h - m),    h: what one site's activations say at one step, over a few parts of the image

Images are steered to each category by its direction until the step that is read, and nothing is drawn beyond it. What
is read is the conditional branch, which shows what the prompt makes of the image. There the direction itself shows too,
so that every site seems good. The site is therefore chosen by the unconditional branch, which knows the image alone: it
is the one where ridge regression tells images of other noise apart best. So the directions' own parts in that branch
are left out. All sites are read in the same pass.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from directrix.checks import whole_number
from directrix.directions.direction import Direction
from directrix.discovery.checkpoint import Checkpoint
from directrix.errors import DirectrixError
from directrix.generation.rows import image_generator
from directrix.interventions.comparable import compared
from directrix.interventions.half_way import READ_AT, branch_rows
from directrix.interventions.probe import Probe, pooled
from directrix.interventions.steering import Steering
from directrix.measurement.calibration.fit_probe import check_several
from directrix.measurement.calibration.ridge import ridge_regression
from directrix.measurement.calibration.target import calibration_prompts, concept_of
from directrix.models import activations, hooks
from directrix.models.denoiser_calls import Scope
from directrix.models.identity import Site
from directrix.models.steerable import SteerableModel
from directrix.progress import Progress, silent

# What is read are means over so many parts of an image's side.
GRID = 4
# Candidate sites; of more, as large transformers have, they are spread evenly.
SITES = 8
# Of guidance: what is read, and what the site is chosen by.
BRANCH, OTHER = "conditional", "unconditional"
FOLDS = 10
# Where the timestep is, beside what was read.
TIME = "time"
# A site at which unseen images are told apart less often, beyond chance, is of no use.
LEAST = 0.5


class _Stopped(Exception):
    """The step was read."""


def fit_early_probe(
    pipeline: Any,
    attribute: str,
    directions: Sequence[Direction],
    prompts: Sequence[str] | None = None,
    *,
    images_per_prompt: int = 4,
    num_inference_steps: int | None = None,
    height: int | None = None,
    width: int | None = None,
    seed: int = 5000,
    batch_size: int = 16,
    checkpoint: Path | str | None = None,
    progress: Progress = silent,
) -> Probe:
    """Fit what `ClosedLoop` reads an attribute by.

    Args:
        attribute: its name, as policies have it.
        directions: one a category; each acts at its default strength.
        prompts: that images are drawn of; None for `calibration_prompts`. A probe reads subjects best that it has seen.
        images_per_prompt: of each prompt and category.
        num_inference_steps: of the images that will be drawn, 4 or more; None for the model's own, like height and
            width, in pixels.
        checkpoint: a folder for what was read; the same call goes on from it, with the same result.

    DirectrixError for fewer than two directions, numbers below 1, or categories that no site tells apart.
    """
    check_several(directions)
    whole_number("images_per_prompt", images_per_prompt)
    model = SteerableModel.of(pipeline)
    steps = num_inference_steps or model.facts.num_inference_steps
    whole_number("num_inference_steps", steps, 4, remedy="more steps: of so few none is in between.")
    listed = list(prompts or calibration_prompts(model, concept_of(directions[0])))
    images = [(prompt, kind) for prompt in listed for kind in range(len(directions)) for _ in range(images_per_prompt)]
    sites = _candidates(model)
    call = {"num_inference_steps": steps, "guidance_scale": model.facts.guidance_scale, **model.facts.arguments}
    call |= {name: side for name, side in model.image_size(height, width).items() if side is not None}
    pushes = [each.with_(parts=compared(each)) for each in directions]
    effects = [[each.digest(), each.strengths.default] for each in pushes]
    asked: Any = [model.identity.fingerprint, effects, [each.name for each in sites], images, call, seed, batch_size]
    name = hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]
    stored = Checkpoint(checkpoint)
    parts: list[dict[str, Tensor]] = []
    with stored.locked(), progress(len(images), f"Fitting a probe of {attribute}") as bar:
        for first in range(0, len(images), batch_size):
            batch = images[first : first + batch_size]
            saved = stored.load(f"recorded-{name}_{first}")
            if saved is None:
                generators = [image_generator(seed, first + place, 0) for place in range(len(batch))]
                drawn = {"prompt": [prompt for prompt, _ in batch], "generator": generators, **call}
                saved = _read(model, sites, pushes, [kind for _, kind in batch], drawn), {}
                stored.save(f"recorded-{name}_{first}", saved[0])
            parts.append(saved[0])
            bar.advance(len(batch))
    read = {name: torch.cat([part[name] for part in parts]) for name in parts[0] if name != TIME}
    labels = torch.tensor([kind for _, kind in images])
    fits = {site: _fitted(read[f"{OTHER} {site.name}"].flatten(1), labels, len(directions)) for site in sites}
    site = max(fits, key=lambda each: (fits[each].agreement, -fits[each].spread))
    rows, chance = read[f"{BRANCH} {site.name}"], 1 / len(directions)
    best = _fitted(rows.flatten(1), labels, len(directions))
    if fits[site].agreement < chance + LEAST * (1 - chance):
        raise DirectrixError(
            f"No site tells {', '.join(each.name for each in directions)} apart half-way.",
            "directions that reach, and activations that show it.",
            "more images of each prompt, or other directions.",
        )
    provenance = {
        "labels": "directions",
        "directions": {each.name: each.digest() for each in directions},
        "prompts": listed,
        "images_per_prompt": images_per_prompt,
        "seed": seed,
        "pictures": len(images),
        "agreement": {each.name: round(fit.agreement, 4) for each, fit in fits.items()},
    }
    return Probe(
        attribute,
        tuple(each.name for each in directions),
        site,
        model.identity,
        tuple(rows.shape[1:]),
        parts[0][TIME],
        best.centre[None],
        best.weights[None],
        best.class_means[None],
        provenance,
        BRANCH,
        GRID,
        best.spread,
    )


class _Fit(NamedTuple):
    """agreement: the share of unseen images that read as their own category. The rest as `Probe` has it."""

    centre: Tensor
    weights: Tensor
    class_means: Tensor
    spread: float
    agreement: float


def _fitted(rows: Tensor, labels: Tensor, kinds: int) -> _Fit:
    """The probe of one site, from rows (N, D); class means and spread are of images that the fit has not seen."""
    centre = rows.mean(0)
    wanted = torch.nn.functional.one_hot(labels, kinds).float()
    mean = wanted.mean(0)
    # Images of one prompt follow one another: a tenth of all is left out at a time.
    groups = torch.arange(len(rows)) * FOLDS // len(rows) if len(rows) >= FOLDS else torch.arange(len(rows))
    weights, left = ridge_regression(rows - centre, wanted - mean, groups)
    read = wanted - mean - left
    class_means = torch.stack([read[labels == kind].mean(0) for kind in range(kinds)])
    distances = torch.cdist(read, class_means)
    agreement = float((distances.argmin(1) == labels).float().mean())
    spread = float((read - class_means[labels]).square().mean().sqrt().clamp_min(1e-3))
    return _Fit(centre, weights, class_means, spread, agreement)


def _candidates(model: SteerableModel) -> list[Site]:
    """The sites of the model that are read: at most `SITES` of them, evenly over its depth."""
    found = [each for each in model.sites() if ".heads" not in each.name]
    if len(found) > SITES:
        found = [found[round(place * (len(found) - 1) / (SITES - 1))] for place in range(SITES)]
    return found


def _read(
    model: SteerableModel,
    sites: Sequence[Site],
    directions: Sequence[Direction],
    kinds: Sequence[int],
    call: Mapping[str, Any],
) -> dict[str, Tensor]:
    """What the sites say, by name, of images that are steered to these directions, by their places; and the time."""
    strengths = {each: [each.strengths.default * (kind == at) for kind in kinds] for at, each in enumerate(directions)}
    scope, read = Scope(model), dict[str, Tensor]()

    def seeing(site: Site) -> Callable[[Tensor], None]:
        def see(h: Tensor) -> None:
            call = scope.now()
            if call is None or call.step.fraction < READ_AT:
                return
            for branch in (BRANCH, OTHER):
                rows = branch_rows(h, call, branch)
                if rows is not None:
                    read[TIME] = torch.tensor([float(call.step.timestep)])
                    read[f"{branch} {site.name}"] = pooled(rows, GRID).float().cpu()

        return see

    def stop(_answer: object) -> None:
        if len(read) > 2 * len(sites):
            raise _Stopped

    with ExitStack() as stack:
        stack.enter_context(scope.opened())
        for each in sites:
            stack.enter_context(activations.read(model, each, seeing(each), scope))
        for network in model.denoisers:
            stack.enter_context(hooks.after_call(network, stop))
        stack.enter_context(Steering(strengths).applied(model.pipeline))
        stack.enter_context(suppress(_Stopped))
        model.pipeline(**call)
    return read
