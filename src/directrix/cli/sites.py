"""`directrix sites`: the places inside a model that can be steered, and which of them suits a concept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from directrix.cli import options, terminal
from directrix.cli.app import Result, verb
from directrix.errors import ConceptError

if TYPE_CHECKING:
    from directrix.discovery.site_search import Ranked
    from directrix.models.identity import Site


@verb("sites", epilog='example: directrix sites --rank --target "a woman" --neutral "a person"')
def sites(
    rank: bool = False,
    target: options.Target = None,
    neutral: options.Neutral = None,
    site: list[str] | None = None,
    images: options.Count = 2,
    num_inference_steps: options.Steps = None,
    height: options.Side = None,
    width: options.Side = None,
    seed: options.Seed = 0,
    model: options.Model = options.EMOJI,
) -> Result:
    """List where a model can be steered.

    Each site with name, channels, layout, and which one is the default. With --rank, find out on a few of the model's
    own trajectories which of them moves its predictions furthest towards a concept, for the size of what is added.

    Args:
        rank: Rank sites for a concept.
        site (NAME): A site to rank, also one that is not listed; several times. Default: blocks spread over the model.
        images: Images to compare the sites on.
    """
    if rank and not (target and neutral):
        raise ConceptError(
            "Sites can only be ranked for a concept.",
            "prompts with it and without it.",
            '--target "a woman" --neutral "a person".',
        )
    if not rank and (target or neutral or site):
        raise ConceptError("A concept or site was given, but nothing to do with it.", "--rank.", "--rank.")
    pipeline = model.load()

    from directrix import models
    from directrix.models import sites

    facts = models.facts(pipeline)
    default, name = sites.find(pipeline, facts.site).name, facts.identity.name
    size = models.image_size(pipeline, height, width)
    if not rank:
        latents = facts.latent_shape
        if size["height"] and size["width"]:
            scale = pipeline.pipeline.vae_scale_factor
            latents = (latents[0], size["height"] // scale, size["width"] // scale)
        found = sites.listed(pipeline)
        if default not in [each.name for each in found]:
            # A card may name one that is no block.
            found.insert(0, sites.find(pipeline, default))
        rows = [_row(pipeline, each, default, latents) for each in found]
        return Result(_listing(name, rows), {"model": name, "sites": rows})

    from directrix.concept import Concept
    from directrix.discovery.settings import Sampling
    from directrix.discovery.site_search import search_sites

    call = size if size["height"] else None
    sampling = Sampling(images, num_inference_steps=num_inference_steps, call=call)
    concept = Concept.of("concept", target, neutral)
    ranked = search_sites(pipeline, concept, site, sampling=sampling, seed=seed, progress=terminal.progress())
    data = {"model": name, "default": default, "ranked": [each.as_dict() for each in ranked]}
    return Result(_ranking(ranked, default), data)


def _row(pipeline: Any, site: Site, default: str, latents: tuple[int, int, int]) -> dict[str, Any]:
    """What is listed of a site; its shape is that of one image's activations: (C, H, W), or (C,) of each token."""
    from directrix.models import sites

    shape = [site.channels]
    if site.layout == "channels-first" and site.name.count(".") <= 1:
        _, height, width = latents
        shape += sites.spatial_size(pipeline, site, height, width)
    return {
        "name": site.name,
        "shape": shape,
        "layout": site.layout,
        "heads": sites.head_count(pipeline, site),
        "default": site.name == default,
    }


def _listing(model: str, rows: list[dict[str, Any]]) -> str:
    width = max(len(row["name"]) for row in rows)
    lines = [f"sites of {model}; of a `.heads` each head is one too: `.heads.0` and so on"]
    for row in rows:
        shape = " x ".join(map(str, row["shape"]))
        notes = [f"{row['heads']} heads"] if row["heads"] else []
        notes += ["default"] if row["default"] else []
        lines.append(f"  {row['name']:{width}}  {shape:14}  {row['layout']:14}  {', '.join(notes)}".rstrip())
    return "\n".join(lines)


def _ranking(ranked: list[Ranked], default: str) -> str:
    width = max(len(each.site.name) for each in ranked)
    lines = [
        "effect: share of the way to the target's prediction, over the relative size of what is added",
        f"  {'site':{width}}  {'effect':>9}  {'reach':>7}  {'relative size':>13}",
    ]
    for each in ranked:
        mark = "  default" if each.site.name == default else ""
        lines.append(f"  {each.site.name:{width}}  {each.effect:9.3f}  {each.reach:7.3f}  {each.relative:13.4f}{mark}")
    return "\n".join(lines)
