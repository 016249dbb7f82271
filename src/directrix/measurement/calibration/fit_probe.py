"""Fitting a probe: what tells, of an image that is being drawn, which category it is going to show.

Images are drawn as each category, as they will be. The activations of the unconditional branch are stored for each
step, and a judge says what came out. Ridge regression from the one to the other is the linear probe. In further rounds
the probe of the rounds before steers the images (feedback): what it has to tell apart is then what it will meet.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from directrix.checks import one_of, whole_number
from directrix.directions.direction import Direction
from directrix.directions.target_label import TargetLabel
from directrix.discovery.checkpoint import Checkpoint
from directrix.errors import DirectrixError
from directrix.generation.generate import generate
from directrix.interventions.comparable import compared_at
from directrix.interventions.feedback_control import FeedbackSteering
from directrix.interventions.probe import Probe
from directrix.interventions.project_and_set import ProjectAndSet
from directrix.interventions.protocol import Intervention
from directrix.measurement.calibration.judged import asked_of, name_of
from directrix.measurement.calibration.recorded import Recorded
from directrix.measurement.calibration.ridge import ridge_regression
from directrix.measurement.calibration.target import calibration_prompts, concept_of
from directrix.measurement.judges.base import Judge, Verdicts, for_fitting
from directrix.models.steerable import SteerableModel
from directrix.progress import Progress, silent

# Steps are left out at which images that the fit has not seen read less than this above others' in their category.
LEAST = 0.1


def check_several(directions: Collection[Direction]) -> None:
    """Raises DirectrixError for fewer directions than a probe could tell apart."""
    if len(directions) < 2:
        raise DirectrixError(
            f"{len(directions)} directions were given.",
            "two directions or more.",
            "the directions of all the attribute's categories.",
        )


def fit_probe(
    pipeline: Any,
    attribute: str,
    directions: Mapping[Direction, TargetLabel],
    judge: Judge,
    prompts: Sequence[str] | None = None,
    *,
    images_per_prompt: int = 12,
    rounds: int = 2,
    num_inference_steps: int | None = None,
    height: int | None = None,
    width: int | None = None,
    seed: int = 5000,
    batch_size: int = 16,
    checkpoint: Path | str | None = None,
    progress: Progress = silent,
) -> Probe:
    """Fit a probe of an attribute to its directions.

    Args:
        attribute: its name, as policies have it.
        directions: one a category, calibrated, all at one site, each with what the judge sees where it acts.
        judge: knows the attribute of these target labels.
        prompts: that images are drawn of; None for `calibration_prompts`. A probe reads subjects well that it has
            seen: give those that will be drawn.
        images_per_prompt: of each prompt, category and round.
        rounds: 1 or more; the second and later ones are drawn with feedback.
        num_inference_steps: 2 or more; None for the model's own, like height and width, in pixels.
        checkpoint: a folder for what was recorded; the same call goes on from it, with the same result.

    DirectrixError for fewer than two directions, numbers below 1, target labels of several attributes or of one that
    the judge does not know, a held-out judge, a category that never came out or cannot be told apart, a model without
    both branches of guidance in one batch, or too little memory for the activations.
    """
    check_several(directions)
    for_fitting(judge)
    whole_number("images_per_prompt", images_per_prompt)
    whole_number("rounds", rounds)
    if num_inference_steps is not None:
        whole_number("num_inference_steps", num_inference_steps, 2, remedy="more steps: of one nothing can be read.")
    if len({target_label.attribute for target_label in directions.values()}) > 1:
        raise DirectrixError("The directions were calibrated on several attributes.", "directions of one attribute.")
    model = SteerableModel.of(pipeline)
    names = [each.name for each in directions]
    listed = list(prompts or calibration_prompts(model, concept_of(next(iter(directions)))))
    effects = {each.name: {each: each.strengths.default} for each in directions}
    target_labels = list(directions.values())
    assigned_each = len(listed) * images_per_prompt
    # Images that are still to be drawn.
    ahead = rounds * len(names) * assigned_each
    data: list[_Labelled] = []
    times: list[float] = []
    found: Probe | None = None
    stored = Checkpoint(checkpoint)
    sampling: dict[str, Any] = {
        "seed": seed,
        "num_inference_steps": num_inference_steps,
        "height": height,
        "width": width,
        "batch_size": batch_size,
    }
    with stored.locked(), progress(rounds * len(names), "Fitting a probe") as bar:
        for turn in range(rounds):
            for name in names:
                assigned = [{attribute: name}] * assigned_each
                drawn: Intervention = (
                    ProjectAndSet({attribute: effects}, assigned)
                    if found is None
                    else FeedbackSteering({attribute: effects}, assigned, probes={attribute: found})
                )
                how: dict[str, Any] = {**sampling, "seed": seed + turn}
                asked = asked_of(listed, images_per_prompt, drawn, **how, labels=list(map(str, target_labels)))
                place = name_of("recorded", model, judge, asked)
                saved = None if place is None else stored.load(place)
                if saved is None:
                    recorded = Recorded(drawn, compared_at(next(iter(directions))), ahead)
                    records = generate(model, listed, images_per_prompt, interventions=recorded, **how)
                    saved = _labelled(recorded, judge.label([record.image for record in records]), target_labels)
                    if place is not None:
                        stored.save(place, saved[0], **saved[1])
                states, facts = saved
                ahead, times = ahead - assigned_each, facts["times"]
                data += [
                    _Labelled(state, shown, turn * assigned_each + noise)
                    for state, shown, noise in zip(states["states"], facts["shown"], facts["places"], strict=True)
                ]
                bar.advance(1)
            found = _fitted(model, attribute, list(directions), times, data)
    assert found is not None  # there is a round
    provenance = {
        **found.provenance,
        "judge": judge.name,
        "target_labels": [asdict(target_label) for target_label in target_labels],
        "directions": {each.name: each.digest() for each in directions},
        "prompts": listed,
        "images_per_prompt": images_per_prompt,
        "rounds": rounds,
        "seed": seed,
        "pictures": len(data),
    }
    return replace(found, provenance=provenance)


def _labelled(
    recorded: Recorded, verdicts: Verdicts, target_labels: Sequence[TargetLabel]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The states of the images that show one category, which one each shows, and their places."""
    places, shown = [], []
    for place, verdict in enumerate(verdicts):
        one_of("attribute", target_labels[0].attribute, verdict)
        shows = [at for at, target_label in enumerate(target_labels) if target_label.shown(verdict)]
        # What shows none of them, or several, tells nothing.
        if len(shows) == 1:
            places.append(place)
            shown.append(shows[0])
    states = torch.stack([recorded.states[place] for place in places]) if places else torch.zeros(0)
    return {"states": states}, {"places": places, "shown": shown, "times": recorded.times}


class _Labelled(NamedTuple):
    """An image: its activations (T, ...), the category that it shows, and its noise: a place of a round, which every
    category has one of.
    """

    states: Tensor
    shown: int
    noise: int


def _fitted(
    model: SteerableModel,
    attribute: str,
    directions: Sequence[Direction],
    times: Sequence[float],
    data: Sequence[_Labelled],
) -> Probe:
    names = tuple(each.name for each in directions)
    lacking = [name for at, name in enumerate(names) if at not in {each.shown for each in data}]
    if lacking:
        raise DirectrixError(
            f"No image showed {', '.join(lacking)}.",
            "images of every category, to tell them apart.",
            "calibrate these directions, or more images of each prompt.",
        )
    labels, groups = torch.tensor([each.shown for each in data]), torch.tensor([each.noise for each in data])
    fitted = {
        time: _step(torch.stack([each.states[at] for each in data]).flatten(1).float(), labels, groups, len(names))
        for at, time in enumerate(times)
    }
    useful = {time: step for time, step in fitted.items() if step.gap >= LEAST}
    if not useful:
        raise DirectrixError(
            f"At no step can {', '.join(names)} be told apart.",
            "activations that tell what an image is going to show.",
            "more images of each prompt, or another site.",
        )
    return Probe(
        attribute,
        names,
        compared_at(directions[0]),
        model.identity,
        tuple(data[0].states.shape[1:]),
        torch.tensor(list(useful)),
        torch.stack([step.centre for step in useful.values()]),
        torch.stack([step.weights for step in useful.values()]),
        torch.stack([step.class_means for step in useful.values()]),
        {"gaps": {str(time): round(step.gap, 4) for time, step in fitted.items()}},
    )


class _Step(NamedTuple):
    """centre: (D,). weights: (K, D). class_means: (K, K), means by category. gap: how far a category's own images read
    above the others', before weights and class_means were divided by it.
    """

    centre: Tensor
    weights: Tensor
    class_means: Tensor
    gap: float


def _step(states: Tensor, labels: Tensor, groups: Tensor, kinds: int) -> _Step:
    """Fit one step. Class means are those of images that the fit has not seen: of each, by all of other noise.

    With more activations than images a fit knows its own by heart, and what they read says nothing of new ones. Those
    of one noise (`groups`) look much alike whatever they show, and would speak against each other.
    """
    centre = states.mean(0)
    centred = states - centre
    wanted = torch.nn.functional.one_hot(labels, kinds).float()
    wanted = wanted - wanted.mean(0)
    weights, left = ridge_regression(centred, wanted, groups)
    read = wanted - left
    class_means = torch.stack([read[labels == kind].mean(0) for kind in range(kinds)])
    others = (class_means.sum(0) - class_means.diagonal()) / (kinds - 1)
    gap = float((class_means.diagonal() - others).mean())
    unit = max(gap, LEAST)
    return _Step(centre, weights / unit, class_means / unit, gap)
