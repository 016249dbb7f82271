"""Which site a concept is best steered at, without a judge.

At each site the closed form (``difference``) gives a direction c. Steered by s c, the prediction under the neutral
prompt moves from f(0) to f(s), towards the target prompt's p, and what counts is how much of the way that is, for how
large a push::

    reach      = 1 - |p - f(s)|^2 / |p - f(0)|^2                     at the best s of a line search
    relative   = |s c| / rms(h)                                      sizes per channel, as root mean squares
    effect     = reach / relative

Under a negative prompt p is the prediction that its guidance would give the conditional half (see ``difference``).

A site of large effect does much with little, and a reach near 1 says that hardly anything but the site matters. Both
are measured on a few states of the model's own trajectories.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from directrix.errors import ConceptError, DirectrixError, SiteError
from directrix.models import sites
from directrix.progress import silent

if TYPE_CHECKING:
    from torch import Tensor

    from directrix.concept import Concept
    from directrix.discovery.conditioning import Conditioning
    from directrix.discovery.frozen_denoiser import FrozenDenoiser
    from directrix.discovery.problem import Problem
    from directrix.discovery.trajectories import Trajectories
    from directrix.models.identity import Site
    from directrix.progress import Progress

# Blocks to try where none are named, spread over the depth of the model.
TRIED = 8
# Prompts that change less of the predictions than this share change nothing.
ROUNDING = 1e-8


@dataclass(frozen=True)
class Ranked:
    """A site and what a concept's closed-form direction does there.

    reach: share of the way to the target's prediction, at most 1; below 0 where steering leads away from it.
    relative: root mean square of what is added, over that of the activations.
    effect: reach over relative; all are 0 where the prompts change nothing.
    """

    site: Site
    reach: float
    relative: float
    effect: float

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def search_sites(
    pipeline: Any,
    concept: Concept,
    candidates: Sequence[str] | None = None,
    *,
    images: int = 2,
    num_inference_steps: int | None = None,
    guidance_scale: float | None = None,
    seed: int = 0,
    call: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> list[Ranked]:
    """Ranks sites by what a concept's direction does there; the greatest effect comes first.

    Trajectories are drawn twice, once to find the directions of all sites and once to measure them.

    Args:
        candidates: names of sites; None for up to eight blocks spread over the model, the default site among them.
        images: trajectories to measure on, 1 or more.
        num_inference_steps: 1 or more; None for the model's own.
        guidance_scale: None for the model's own.
        call: further arguments of the pipeline's call (see `discover`).

    Raises:
        SiteError: no candidates, one that the model lacks, or whose activations cannot be steered.
        ConceptError: the concept changes nothing at any site, or has a negative prompt that nothing hears.
        DirectrixError: no images, or no steps.
    """
    from directrix.discovery import check_negatives
    from directrix.discovery.frozen_denoiser import FrozenDenoiser, frozen
    from directrix.discovery.pipeline_calls import Drawing
    from directrix.discovery.trajectories import follow_at
    from directrix.models import facts
    from directrix.models.families import text_to_image

    for setting, value in (("images", images), ("num_inference_steps", num_inference_steps)):
        unset = setting == "num_inference_steps" and value is None
        if not unset and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise DirectrixError(f"{setting} is {value!r}.", "a whole number of at least 1.")
    pipeline = text_to_image(pipeline)
    model = facts(pipeline)
    names = list(dict.fromkeys(candidates)) if candidates is not None else spread(pipeline)
    if not names:
        raise SiteError("There are no sites to rank.", "names of sites, or None for the model's blocks.")
    scale = model.guidance_scale if guidance_scale is None else float(guidance_scale)
    check_negatives([concept], scale)
    drawing = Drawing(pipeline, scale, num_inference_steps or model.num_inference_steps, call or {})
    places = [sites.find(pipeline, name) for name in names]
    with frozen(pipeline), (progress or silent)(len(names), "Trying sites") as bar:
        first = FrozenDenoiser(pipeline, places[0], drawing)
        # What is measured is measured on other trajectories than those that the directions are found on.
        found, measured = (follow_at(pipeline, places, drawing, [concept], images, each) for each in (seed, seed + 1))
        goals = _goals(_problem(first, measured[0], scale))
        ranked: list[Ranked] = []
        for place, known, seen in zip(places, found, measured, strict=True):
            ranked.append(_ranked(_problem(first.at(place), known, scale), seen.size, goals))
            bar.advance(1)
    if all(each.relative == 0 for each in ranked):
        raise ConceptError(
            f"The concept '{concept.name}' changes nothing at {len(names)} sites.",
            "prompts that differ in what the model draws.",
            "other prompts, or other sites.",
        )
    return sorted(ranked, key=lambda each: each.effect, reverse=True)


def spread(pipeline: Any, count: int = TRIED) -> list[str]:
    """Names of up to ``count`` blocks (1 or more), evenly over the model, with the default site among them."""
    from directrix.models import facts

    names = [each.name for each in sites.listed(pipeline) if not each.name.endswith(".heads")]
    default = sites.find(pipeline, facts(pipeline).site).name
    # A card may name one that is no block.
    names = names if default in names else [default, *names]
    if len(names) <= count:
        return names
    places = [round(place * (len(names) - 1) / max(1, count - 1)) for place in range(count)]
    wanted = names.index(default)
    places[min(range(count), key=lambda number: abs(places[number] - wanted))] = wanted
    return [names[place] for place in places]


class _Goal(NamedTuple):
    """A batch of states, float32 (N, ...), their times (N,), what is told of the neutral prompt (N rows), and the
    predictions of that and of what steering should give, float32 of the states' shape."""

    states: Tensor
    times: Tensor
    told: Conditioning
    plain: Tensor
    wanted: Tensor


def _problem(denoiser: FrozenDenoiser, seen: Trajectories, guidance_scale: float) -> Problem:
    """The one concept of the trajectories, as the closed form wants to have it."""
    from directrix.discovery.difference_of_means import Difference
    from directrix.discovery.problem import Problem

    channels, height, width = seen.neutral.shape[-3:]
    batch = Difference.defaults.batch_size
    return Problem(denoiser, None, seen, (1, channels, height, width), guidance_scale, 0.0, 0, batch)


def _goals(problem: Problem) -> list[_Goal]:
    """What is the same at every site."""
    from directrix.discovery.difference_of_means import predictions

    seen, denoiser = problem.trajectories, problem.denoiser
    goals: list[_Goal] = []
    for pair, words in enumerate(seen.pairs):
        of_pair = seen.states[seen.prompt[pair]]
        told = denoiser.encode([words.neutral])
        parts = (
            each.split(problem.batch_size) for each in (of_pair.flatten(0, 1), seen.timesteps.repeat(len(of_pair)))
        )
        for states, times in zip(*parts, strict=True):
            plain, wanted = predictions(problem, pair, states, times)
            goals.append(_Goal(states, times, told.expand(len(states)), plain, wanted))
    return goals


def _ranked(problem: Problem, size: float, goals: Sequence[_Goal]) -> Ranked:
    """What the closed form's direction does at the problem's site, whose output has the root mean square ``size``."""
    import torch

    from directrix.discovery.difference_of_means import Difference
    from directrix.discovery.run import check_size

    site = problem.denoiser.site
    check_size(size)
    (vector,) = Difference().fit(problem).vectors
    left = way = whole = 0.0
    for goal in goals:
        with torch.no_grad():
            moved = problem.denoiser.steered(goal.states, goal.times, goal.told, vector[None])
        left += float((goal.wanted - moved).square().sum())
        way += float((goal.wanted - goal.plain).square().sum())
        whole += float(goal.wanted.square().sum())
    if way <= ROUNDING * whole:
        return Ranked(site, 0.0, 0.0, 0.0)
    relative = float(vector.square().mean().sqrt()) / size
    reach = 1 - left / way
    return Ranked(site, reach, relative, reach / relative if relative > 0 else 0.0)
