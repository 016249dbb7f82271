"""Which sites a concept is best steered at, alone and together, without a judge.

At each site the closed form (``difference``) gives a direction c. Steered by s c, the prediction under the neutral
prompt moves from f(0) to f(s), towards the target prompt's p, and what counts is how much of the way that is, for how
large a push::

    reach      = 1 - |p - f(s)|^2 / |p - f(0)|^2                     at the best s of a line search
    relative   = |s c| / rms(h)                                      sizes per channel, as root mean squares
    effect     = reach / relative

Under a negative prompt p is the prediction that its guidance would give the conditional branch (see ``difference``).

Beside single blocks there are what the denoiser is given about the prompt (``embedding``), and sets of the blocks that
reach furthest. Where several blocks push, each may push less: of a set the strengths 1, 1/2 and 1/n are tried, and the
one that reaches furthest counts. The relative size of a set is the root of the sum of its squares.

A site of large effect does much with little, and a reach near 1 says that hardly anything but the site matters. Both
are measured on a few states of the model's own trajectories.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from directrix.discovery.difference_of_means import Difference
from directrix.discovery.embedding import Embedding
from directrix.discovery.environment import frozen
from directrix.discovery.frozen_denoiser import FrozenDenoiser, check_size
from directrix.discovery.line_search import predictions
from directrix.discovery.orthogonalize import orthogonalized
from directrix.discovery.pipeline_calls import PipelineCall
from directrix.discovery.problem import Problem
from directrix.discovery.settings import Sampling, regrouped
from directrix.discovery.trajectories import Trajectories, record_trajectories
from directrix.errors import ConceptError, SiteError
from directrix.models.identity import Site
from directrix.models.steerable import SteerableModel
from directrix.progress import Progress, silent

if TYPE_CHECKING:
    from torch import Tensor

    from directrix.concept import Concept
    from directrix.discovery.conditioning import Conditioning

# Blocks to try where none are named, spread over the depth of the model.
TRIED = 8
# Blocks of a set: the two that reach furthest, the three, the four.
SETS = (2, 3, 4)
# Prompts that change less of the predictions than this share change nothing.
ROUNDING = 1e-8


@dataclass(frozen=True)
class Ranked:
    """Some sites, and what a concept's closed-form directions do there together.

    sites: one, several of a set, or all inputs about the prompt.
    strength: of each direction; 1 of a single site.
    reach: share of the way to the target's prediction, at most 1; below 0 where steering leads away from it.
    relative: root mean square of what is added, over that of the activations.
    effect: reach over relative; all are 0 where the prompts change nothing.
    """

    sites: tuple[Site, ...]
    reach: float
    relative: float
    effect: float
    strength: float = 1.0

    @property
    def site(self) -> Site:
        """The one site, or the first of several."""
        return self.sites[0]

    @property
    def name(self) -> str:
        """Names of the sites, such as "mid_block + up_blocks.0"."""
        return " + ".join(each.name for each in self.sites)

    def as_dict(self) -> dict[str, Any]:
        """As JSON values; "site" is that of a single one, else null."""
        return {"name": self.name, "site": asdict(self.site) if len(self.sites) == 1 else None, **asdict(self)}


@regrouped
def search_sites(
    pipeline: Any,
    concept: Concept,
    candidates: Sequence[str] | None = None,
    *,
    sampling: Sampling | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[Ranked]:
    """Ranks sites by what a concept's direction does there.

    First come those that reach at least half as far as the one that reaches furthest, by effect; then the others.

    Trajectories are drawn twice, once to find the directions of all sites and once to measure them.

    Args:
        candidates: names of sites, each alone; None for up to eight blocks spread over the model, the default site
            among them, for sets of those that reach furthest, and for the inputs about the prompt.
        sampling: how trajectories are drawn; `images` of them, by default 2.

    Raises:
        SiteError: no candidates, one that the model lacks, or whose activations cannot be steered.
        ConceptError: the concept changes nothing at any site, or has a negative prompt that does nothing.
    """
    sampling = sampling or Sampling()
    images = 2 if sampling.images is None else sampling.images
    model = SteerableModel.of(pipeline).text_to_image()
    names = list(dict.fromkeys(candidates)) if candidates is not None else spread(model)
    if not names:
        raise SiteError("There are no sites to rank.", "names of sites, or None for the model's blocks.")
    call = PipelineCall.of(model, sampling)
    call.check_negatives([concept], drawn=False)
    places = [model.find_site(name) for name in names]
    with frozen(model), (progress or silent)(len(names), "Measuring sites") as bar:
        first = FrozenDenoiser(model, places[0], call)
        # What is measured is measured on other trajectories than those that the directions are found on.
        found, measured = (
            record_trajectories(call, places, [concept], images, seed=each, batch_size=sampling.batch_size)
            for each in (seed, seed + 1)
        )
        goals = _goals(_problem(first, measured[0], call.guidance_scale))
        pushes: list[_Push] = []
        ranked: list[Ranked] = []
        for place, known, seen in zip(places, found, measured, strict=True):
            problem = _problem(first.at(place), known, call.guidance_scale)
            check_size(seen.size)
            (vector,) = Difference().fit(problem).vectors
            pushes.append(_Push(place, vector, float(vector.square().mean().sqrt()) / seen.size))
            ranked.append(_ranked(first, pushes[-1:], goals))
            bar.advance(1)
        if candidates is None:
            reaching = sorted(range(len(pushes)), key=lambda place: ranked[place].reach, reverse=True)
            ranked.append(_ranked(first, _inputs(first, concept, call.guidance_scale), goals))
            for count in (each for each in SETS if each <= len(pushes)):
                ranked.append(_together(first, [pushes[place] for place in sorted(reaching[:count])], goals))
    if all(each.relative == 0 for each in ranked):
        raise ConceptError(
            f"The concept '{concept.name}' changes nothing at {len(names)} sites.",
            "prompts that differ in what the model draws.",
            "other prompts, or other sites.",
        )
    # Little effort that leads nowhere is no place to steer at.
    far = max(each.reach for each in ranked) / 2
    return sorted(ranked, key=lambda each: (each.reach >= far, each.effect), reverse=True)


def spread(model: SteerableModel, count: int = TRIED) -> list[str]:
    """Names of up to ``count`` blocks (1 or more), evenly over the model, with the default site among them."""
    names = [each.name for each in model.sites() if not each.name.endswith(".heads")]
    default = model.find_site(model.facts.site).name
    # A card may name one that is no block.
    names = names if default in names else [default, *names]
    if len(names) <= count:
        return names
    places = [round(place * (len(names) - 1) / max(1, count - 1)) for place in range(count)]
    wanted = names.index(default)
    places[min(range(count), key=lambda number: abs(places[number] - wanted))] = wanted
    return [names[place] for place in places]


class _Goal(NamedTuple):
    """A batch of states, float32 (N, ...), their times (N,), the conditioning of the neutral prompt (N rows), and the
    predictions under that and of what steering should give, float32 of the states' shape."""

    states: Tensor
    times: Tensor
    neutral: Conditioning
    plain: Tensor
    wanted: Tensor


def _problem(denoiser: FrozenDenoiser, seen: Trajectories, guidance_scale: float) -> Problem[Trajectories]:
    """The one concept of the trajectories, as the closed form wants to have it."""
    channels, height, width = seen.neutral.shape[-3:]
    batch = Difference.defaults.batch_size
    return Problem(denoiser, seen, (1, channels, height, width), guidance_scale, 0.0, 0, batch)


def _goals(problem: Problem[Trajectories]) -> list[_Goal]:
    """What is the same at every site."""
    goals: list[_Goal] = []
    for pair, words in enumerate(problem.data.pairs):
        neutral = problem.denoiser.encode([words.neutral])
        parts = (each.split(problem.batch_size) for each in problem.data.flat(pair))
        for states, times in zip(*parts, strict=True):
            plain, wanted = predictions(problem, pair, states, times)
            goals.append(_Goal(states, times, neutral.expand(len(states)), plain, wanted))
    return goals


class _Push(NamedTuple):
    """What is added at a site, float32 (C, H, W), or as an input has it; and its relative size."""

    site: Site
    vector: Tensor
    relative: float


def _inputs(denoiser: FrozenDenoiser, concept: Concept, guidance_scale: float) -> list[_Push]:
    """What the concept's words change in what the denoiser is given."""
    ((parts,), _) = Embedding().parts(denoiser, [concept], guidance_scale, orthogonalized)
    given = denoiser.encode([concept.pairs[0].neutral]).rows
    sizes = [float(given[tuple(each.site.name.split("."))].float().square().mean().sqrt()) for each in parts]
    return [
        _Push(each.site, each.tensor, float(each.tensor.square().mean().sqrt()) / size)
        for each, size in zip(parts, sizes, strict=True)
    ]


def _together(denoiser: FrozenDenoiser, pushes: Sequence[_Push], goals: Sequence[_Goal]) -> Ranked:
    """The sites of a set, at the strength of each that reaches furthest."""
    tried = (_ranked(denoiser, pushes, goals, strength) for strength in (1.0, 0.5, 1 / len(pushes)))
    return max(tried, key=lambda each: each.reach)


def _ranked(denoiser: FrozenDenoiser, pushes: Sequence[_Push], goals: Sequence[_Goal], strength: float = 1.0) -> Ranked:
    """What directions do at their sites together."""
    sites = tuple(each.site for each in pushes)
    left = way = whole = 0.0
    for goal in goals:
        with torch.no_grad():
            moved = denoiser.steered_at(
                goal.states, goal.times, goal.neutral, {each.site: strength * each.vector for each in pushes}
            )
        left += float((goal.wanted - moved).square().sum())
        way += float((goal.wanted - goal.plain).square().sum())
        whole += float(goal.wanted.square().sum())
    if way <= ROUNDING * whole:
        return Ranked(sites, 0.0, 0.0, 0.0, strength)
    relative = strength * math.hypot(*(each.relative for each in pushes))
    reach = 1 - left / way
    return Ranked(sites, reach, relative, reach / relative if relative > 0 else 0.0, strength)
