"""`directrix sites`: the places inside a model that can be steered, and which of them suits a concept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import directrix
from directrix.cli import options
from directrix.cli.app import Result, progress, reading, refuse, verb

if TYPE_CHECKING:
    from directrix.models.identity import Site


@verb("sites")
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
    """List where a model can be steered."""
    nothing = "A concept or site was given, but nothing to do with it."
    refuse(not rank and (target or neutral or site), nothing, "--rank.", "--rank.")
    refuse(
        rank and not (target and neutral),
        "Sites can only be ranked for a concept.",
        "prompts with it and without it.",
        '--target "a woman" --neutral "a person".',
    )
    loaded = model.load()
    from directrix import models
    from directrix.experiments.paper.table import aligned
    from directrix.models import sites

    facts = models.facts(loaded)
    default, name = sites.find(loaded, facts.site).name, facts.identity.name
    size = models.image_size(loaded, height, width)
    if not rank:
        latents = facts.latent_shape[1:]
        if size["height"] and size["width"]:
            scale = loaded.pipeline.vae_scale_factor
            latents = (size["height"] // scale, size["width"] // scale)
        found = sites.listed(loaded)
        if default not in [each.name for each in found]:
            # A card may name one that is no block.
            found.insert(0, sites.find(loaded, default))
        data = {"model": name, "sites": [_row(loaded, each, default, latents) for each in found]}
        return Result(reading("sites", data), data)
    sampling = directrix.Sampling(
        images, num_inference_steps=num_inference_steps, call=size if size["height"] else None
    )
    concept = directrix.Concept.of("concept", target, neutral)
    ranked = directrix.search_sites(loaded, concept, site, sampling=sampling, seed=seed, progress=progress())
    lines = [["  site", "effect", "reach", "relative size", ""]]
    for each in ranked:
        figures = [f"{each.effect:.3f}", f"{each.reach:.3f}", f"{each.relative:.4f}"]
        note = f"each at {each.strength:.2f}" if each.strength != 1 else "default" if each.name == default else ""
        lines.append([f"  {each.name}", *figures, note])
    head = "effect: reach (share of the way to the target's prediction) over the relative size of what is added"
    data = {"model": name, "default": default, "ranked": [each.as_dict() for each in ranked]}
    return Result("\n".join([head, *aligned(lines)]), data)


def _row(model: directrix.SteerableModel, site: Site, default: str, latents: tuple[int, int]) -> dict[str, Any]:
    """What is listed of a site; its shape is that of one image's activations: (C, H, W), or (C,) of each token."""
    from directrix.models import sites

    shape = [site.channels]
    if site.layout == "channels-first" and site.name.count(".") <= 1:
        shape += sites.spatial_size(model, site, *latents)
    return {
        "name": site.name,
        "shape": shape,
        "layout": site.layout,
        "heads": sites.head_count(model, site),
        "default": site.name == default,
    }
