"""Fitting a probe: what tells, of an image that is being drawn, which category it is going to show.

Images are drawn as each category, as they will be. The activations of the unconditional branch are stored for each
step, and a judge says what came out. Ridge regression from the one to the other is the linear probe. In further rounds
the probe of the rounds before steers the images (feedback): what it has to tell apart is then what it will meet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import psutil

from directrix.checks import one_of, whole_number
from directrix.directions.target_label import TargetLabel
from directrix.errors import DirectrixError
from directrix.generation.generate import generate
from directrix.interventions.feedback_control import FeedbackSteering
from directrix.interventions.probe import Probe
from directrix.interventions.project_and_set import ProjectAndSet
from directrix.interventions.protocol import Intervention, select
from directrix.interventions.step_window import StepWindow
from directrix.measurement.calibration.ridge import ridge_regression
from directrix.measurement.calibration.target import calibration_prompts, concept_of
from directrix.models import activations
from directrix.models.denoiser_calls import Scope
from directrix.models.steerable import SteerableModel
from directrix.progress import Progress, silent

if TYPE_CHECKING:
    from torch import Tensor

    from directrix.directions.direction import Direction
    from directrix.measurement.judges.base import Judge
    from directrix.models.identity import Site

# Of the steps, those before this tell nothing yet: the image is noise.
BEGIN = 0.15
# Steps are left out at which images that the fit has not seen read less than this above others' in their category.
LEAST = 0.1
# Activations below this are stored in half precision.
HALF = 3e4


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
    progress: Progress = silent,
) -> Probe:
    """Fit a probe of an attribute to its directions.

    Args:
        pipeline: a diffusers pipeline or a SteerableModel.
        attribute: its name, as policies have it.
        directions: one a category, calibrated, all at one site, each with what the judge sees where it acts.
        judge: knows the attribute of these target labels.
        prompts: that images are drawn of; None for `calibration_prompts`. A probe reads subjects well that it has
            seen: give those that will be drawn.
        images_per_prompt: of each prompt, category and round.
        rounds: 1 or more; the second and later ones are drawn with feedback.
        num_inference_steps: 2 or more; None for the model's own.
        height, width: in pixels; None for the model's own.

    Raises:
        DirectrixError: fewer than two directions, numbers below 1, target labels of several attributes or of one that
            the judge does not know, a category that never came out or cannot be told apart, a model without both
            branches of guidance in one batch, or too little memory for the activations.
    """
    if len(directions) < 2:
        raise DirectrixError(
            f"{len(directions)} directions were given.",
            "two directions or more.",
            "the directions of all the attribute's categories.",
        )
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
    data = _Labelled()
    target_labels = list(directions.values())
    # Images that are still to be drawn.
    ahead = rounds * len(names) * len(listed) * images_per_prompt
    found: Probe | None = None
    with progress(rounds * len(names), "Fitting a probe") as bar:
        for turn in range(rounds):
            for name in names:
                assigned = [{attribute: name}] * (len(listed) * images_per_prompt)
                drawn: Intervention = (
                    ProjectAndSet({attribute: effects}, assigned)
                    if found is None
                    else FeedbackSteering({attribute: effects}, assigned, probes={attribute: found})
                )
                seen = _Seen(ahead)
                records = generate(
                    model,
                    listed,
                    images_per_prompt,
                    seed=seed + turn,
                    interventions=_Recorded(drawn, next(iter(directions)).site, seen),
                    num_inference_steps=num_inference_steps,
                    height=height,
                    width=width,
                    batch_size=batch_size,
                )
                ahead -= len(assigned)
                verdicts = judge.label([record.image for record in records])
                for place, verdict in enumerate(verdicts):
                    one_of("attribute", target_labels[0].attribute, verdict)
                    shows = [at for at, target_label in enumerate(target_labels) if target_label.shown(verdict)]
                    # What shows none of them, or several, tells nothing.
                    if len(shows) == 1:
                        data.states.append(seen.states[place])
                        data.shown.append(shows[0])
                        data.noises.append(turn * len(assigned) + place)
                bar.advance(1)
            found = _fitted(model, attribute, list(directions), seen, data)
    assert found is not None  # there is a round
    provenance = {
        **found.provenance,
        "judge": judge.name,
        "target_labels": [asdict(target_label) for target_label in directions.values()],
        "directions": {each.name: each.digest() for each in directions},
        "prompts": listed,
        "images_per_prompt": images_per_prompt,
        "rounds": rounds,
        "seed": seed,
        "pictures": len(data.states),
    }
    return replace(found, provenance=provenance)


@dataclass
class _Labelled:
    """By image, its activations (T, D), the category that it shows, and the noise that it was drawn from: a place of a
    round, which every category has one of.
    """

    states: list[Tensor] = field(default_factory=list)
    shown: list[int] = field(default_factory=list)
    noises: list[int] = field(default_factory=list)


def _fitted(
    model: SteerableModel, attribute: str, directions: Sequence[Direction], seen: _Seen, data: _Labelled
) -> Probe:
    import torch

    names = tuple(each.name for each in directions)
    lacking = [name for at, name in enumerate(names) if at not in data.shown]
    if lacking:
        raise DirectrixError(
            f"No image showed {', '.join(lacking)}.",
            "images of every category, to tell them apart.",
            "calibrate these directions, or more images of each prompt.",
        )
    labels, groups, times = torch.tensor(data.shown), torch.tensor(data.noises), seen.timesteps
    fitted = [
        _step(torch.stack([state[place] for state in data.states]).float(), labels, groups, len(names))
        for place in range(len(times))
    ]
    useful = [place for place, step in enumerate(fitted) if step.gap >= LEAST]
    if not useful:
        raise DirectrixError(
            f"At no step can {', '.join(names)} be told apart.",
            "activations that tell what an image is going to show.",
            "more images of each prompt, or another site.",
        )
    return Probe(
        attribute,
        names,
        directions[0].site,
        model.identity,
        seen.shape,
        torch.tensor([times[place] for place in useful]),
        torch.stack([fitted[place].centre for place in useful]),
        torch.stack([fitted[place].weights for place in useful]),
        torch.stack([fitted[place].class_means for place in useful]),
        {"gaps": {str(time): round(step.gap, 4) for time, step in zip(times, fitted, strict=True)}},
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
    import torch

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


@dataclass
class _Seen:
    """The unconditional branch's activations, of all images of a run; ahead: how many are still to come, of all runs.

    states: by image, (T, D). shape: of one image's activations.
    """

    ahead: int
    states: dict[int, Tensor] = field(default_factory=dict)
    timesteps: list[float] = field(default_factory=list)
    shape: tuple[int, ...] = ()

    def add(self, images: Sequence[int], steps: Mapping[float, Tensor]) -> None:
        """Store a batch's steps; DirectrixError where there are none, or no room for as many as will come."""
        import torch

        if not steps:
            raise DirectrixError("No step could be read.", "an image of two steps or more.", "more steps.")
        rows = torch.stack(list(steps.values()), 1)
        self.timesteps, self.shape = list(steps), tuple(rows.shape[2:])
        rows = rows.flatten(2)
        needed = rows[0].numel() * rows.element_size() * self.ahead
        free = psutil.virtual_memory().available
        if not self.states and needed > free:
            raise DirectrixError(
                f"The activations of {self.ahead:,} images take {needed:,} bytes, and {free:,} are free.",
                "room for them.",
                "fewer images of each prompt, fewer prompts or steps, or another site.",
            )
        self.states.update(zip(images, rows, strict=True))


class _Recorded:
    """An intervention whose images leave what the unconditional branch was at each step."""

    name = "recorded"
    config: Mapping[str, Any] = MappingProxyType({})

    def __init__(self, inner: Intervention, site: Site, seen: _Seen, images: Sequence[int] = ()) -> None:
        self._inner = inner
        self._site = site
        self._seen = seen
        self._images = images

    def select(self, images: Sequence[int], total: int) -> _Recorded:
        return _Recorded(select(self._inner, images, total), self._site, self._seen, images)

    @contextmanager
    def applied(self, pipeline: Any) -> Iterator[Any]:
        scope = Scope(SteerableModel.of(pipeline))
        window = StepWindow(scope, BEGIN, 1.0)
        steps: dict[float, Tensor] = {}

        def see(h: Tensor) -> None:
            call = scope.now()
            if call is None or not window.open(call):
                return
            guided, layout = call.layout
            if guided and layout == "conditional":
                # A further call of the step, about the other branch alone.
                return
            if not (guided and "-" in layout):
                raise DirectrixError(
                    "There is no unconditional branch in the batch, so nothing can be read.",
                    "a pipeline with both branches in one batch, and a guidance scale above 1.",
                )
            half = h.chunk(2)[0 if layout == "unconditional-conditional" else 1].detach()
            # A solver that asks twice within a step is read the first time.
            steps.setdefault(float(call.step.timestep), half.half().cpu() if half.abs().max() < HALF else half.cpu())

        with ExitStack() as stack:
            stack.enter_context(scope.opened())
            stack.enter_context(activations.read(scope.model, self._site, see, scope))
            stack.enter_context(self._inner.applied(pipeline))
            yield pipeline
        self._seen.add(self._images, steps)
