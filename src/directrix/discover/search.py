"""Which site a concept is best steered at, without a judge.

At each site the closed form (``difference``) gives a direction c. Steered by s c, the prediction under the neutral
prompt moves from f(0) to f(s), towards the target prompt's p, and what counts is how much of the way that is, for how
large a push::

    reach      = 1 - |p - f(s)|^2 / |p - f(0)|^2                     at the best s of a line search
    relative   = |s c| / rms(h)                                      sizes per channel, as root mean squares
    effect     = reach / relative

A site of large effect does much with little, and a reach near 1 says that hardly anything but the site matters. Both
are measured on a few states of the model's own trajectories.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from directrix import sites
from directrix.errors import ConceptError, DirectrixError, SiteError
from directrix.progress import silent

if TYPE_CHECKING:
    from directrix.concept import Concept
    from directrix.direction import Site
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

    Args:
        candidates: names of sites; None for up to eight blocks spread over the model, the default site among them.
        images: trajectories to measure on, 1 or more.
        num_inference_steps, guidance_scale: None for the model's own.
        call: further arguments of the pipeline's call (see `discover`).

    Raises:
        SiteError: no candidates, one that the model lacks, or whose activations cannot be steered.
        ConceptError: the concept changes nothing at any site.
        DirectrixError: no images.
    """
    from directrix.discover import discover
    from directrix.discover.denoiser import frozen
    from directrix.families import text_to_image
    from directrix.models import facts

    if isinstance(images, bool) or not isinstance(images, int) or images < 1:
        raise DirectrixError(f"images is {images!r}.", "a whole number of at least 1.")
    pipeline = text_to_image(pipeline)
    model = facts(pipeline)
    names = list(candidates) if candidates is not None else spread(pipeline)
    if not names:
        raise SiteError("There are no sites to rank.", "names of sites, or None for the model's blocks.")
    settings: dict[str, Any] = {
        "images": images,
        "num_inference_steps": num_inference_steps or model.num_inference_steps,
        "guidance_scale": model.guidance_scale if guidance_scale is None else guidance_scale,
        "seed": seed,
        "call": call,
    }
    ranked: list[Ranked] = []
    with (progress or silent)(len(names), "Trying sites") as bar:
        for name in names:
            direction = discover(pipeline, concept, "difference", site=name, **settings)
            with frozen(pipeline):
                ranked.append(_measured(pipeline, concept, direction, settings))
            bar.advance(1)
    if all(each.relative == 0 for each in ranked):
        raise ConceptError(
            f"The concept '{concept.name}' changes nothing at {len(names)} sites.",
            "prompts that differ in what the model draws.",
            "other prompts, or other sites.",
        )
    return sorted(ranked, key=lambda each: each.effect, reverse=True)


def spread(pipeline: Any, count: int = TRIED) -> list[str]:
    """Names of up to ``count`` blocks, evenly over the model, with the default site among them."""
    names = [each.name for each in sites.listed(pipeline) if not each.name.endswith(".heads")]
    default = sites.find(pipeline).name
    if len(names) > count:
        names = [names[round(place * (len(names) - 1) / (count - 1))] for place in range(count)]
    return names if default in names else [default, *names]


def _measured(pipeline: Any, concept: Concept, direction: Any, settings: Mapping[str, Any]) -> Ranked:
    import torch

    from directrix.discover.denoiser import FrozenDenoiser
    from directrix.discover.drawing import Drawing
    from directrix.discover.follow import follow

    call = settings["call"] or {}
    drawing = Drawing(pipeline, settings["guidance_scale"], settings["num_inference_steps"], call)
    denoiser = FrozenDenoiser(pipeline, direction.site, drawing)
    # Other trajectories than those that the direction was found on.
    how = {key: settings[key] for key in ("guidance_scale", "num_inference_steps", "call")}
    seen = follow(pipeline, denoiser, [concept], settings["images"], seed=settings["seed"] + 1, **how)
    vector = direction.tensor if direction.tensor.ndim == 3 else direction.tensor[:, None, None]
    left = way = whole = 0.0
    for place, words in enumerate(seen.pairs):
        states = seen.states[seen.prompt[place]]
        flat, times = states.flatten(0, 1), seen.timesteps.repeat(len(states))
        told = denoiser.encode([words.neutral]).expand(len(flat))
        wanted = denoiser.predict(flat, times, denoiser.encode([words.target]).expand(len(flat)))
        with torch.no_grad():
            moved = denoiser.steered(flat, times, told, vector[None])
        left += float((wanted - moved).square().sum())
        whole += float(wanted.square().sum())
        way += float((wanted - denoiser.predict(flat, times, told)).square().sum())
    if seen.size <= 0:
        raise SiteError(
            f"The site '{direction.site.name}' puts out zeros only.", "activations.", "another site."
        )
    if way <= ROUNDING * whole:
        return Ranked(direction.site, 0.0, 0.0, 0.0)
    relative = float(vector.square().mean().sqrt()) / seen.size
    reach = 1 - left / way
    return Ranked(direction.site, reach, relative, reach / relative if relative > 0 else 0.0)
