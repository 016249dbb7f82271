"""`directrix sites`: the places inside a model that can be steered, and which of them suits a concept."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from directrix.cli import options, terminal
from directrix.errors import ConceptError

if TYPE_CHECKING:
    from directrix.discovery.site_search import Ranked
    from directrix.models.identity import Site


def add(verbs: argparse._SubParsersAction) -> None:
    """Add the verb to the parser."""
    parser = verbs.add_parser(
        "sites",
        help="list where a model can be steered",
        description="List the sites of a model: name, channels, layout, and the default. With --rank, find out on a "
        "few of the model's own trajectories which of them moves its predictions furthest towards a concept, for the "
        "size of what is added.",
        epilog='example: directrix sites --rank --target "a woman" --neutral "a person"',
    )
    parser.add_argument("--rank", action="store_true", help="rank sites for a concept")
    parser.add_argument("--target", action="append", metavar="PROMPT", help='the concept in words, "a woman"')
    parser.add_argument("--neutral", action="append", metavar="PROMPT", help='the same without it, "a person"')
    parser.add_argument(
        "--site",
        action="append",
        metavar="NAME",
        help="a site to rank, also one that is not listed; may be given several times (default: blocks spread over "
        "the model)",
    )
    parser.add_argument("--images", type=options.positive_int, default=2, metavar="N", help="trajectories (default: 2)")
    parser.add_argument(
        "--steps", type=options.positive_int, metavar="N", help="denoising steps (default: the model's)"
    )
    options.add_size(parser)
    parser.add_argument("--seed", type=options.whole_number, default=0, help="0 unless given")
    options.add_model(parser)
    options.add_json(parser)
    parser.set_defaults(run=run, after_interrupt="Nothing was changed.")


def run(arguments: argparse.Namespace) -> None:
    """List or rank."""
    ranking = bool(arguments.rank)
    if ranking and not (arguments.target and arguments.neutral):
        raise ConceptError(
            "Sites can only be ranked for a concept.",
            "prompts with it and without it.",
            '--target "a woman" --neutral "a person".',
        )
    if not ranking and (arguments.target or arguments.neutral or arguments.site):
        raise ConceptError("A concept or site was given, but nothing to do with it.", "--rank.", "--rank.")
    pipeline = options.load_model(arguments)

    from directrix import models
    from directrix.models import sites

    facts = models.facts(pipeline)
    default, model = sites.find(pipeline, facts.site).name, facts.identity.name
    size = models.image_size(pipeline, arguments.height, arguments.width)
    if not ranking:
        latents = facts.latent_shape
        if size["height"] and size["width"]:
            scale = pipeline.vae_scale_factor
            latents = (latents[0], size["height"] // scale, size["width"] // scale)
        found = sites.listed(pipeline)
        if default not in [each.name for each in found]:
            # A card may name one that is no block.
            found.insert(0, sites.find(pipeline, default))
        rows = [_row(pipeline, each, default, latents) for each in found]
        terminal.result(_listing(model, rows), {"model": model, "sites": rows}, arguments.json)
        return

    from directrix.concept import Concept
    from directrix.discovery.settings import Sampling
    from directrix.discovery.site_search import search_sites
    from directrix.progress import bars

    concept = Concept.of("concept", arguments.target, arguments.neutral)
    call = size if size["height"] else None
    sampling = Sampling(arguments.images, num_inference_steps=arguments.steps, call=call)
    ranked = search_sites(pipeline, concept, arguments.site, sampling=sampling, seed=arguments.seed, progress=bars)
    data = {"model": model, "default": default, "ranked": [each.as_dict() for each in ranked]}
    terminal.result(_ranking(ranked, default), data, arguments.json)


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
