"""`directrix gauge`: fit what tells, of a picture that is being drawn, which category it is going to show."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from directrix.cli import options, terminal

if TYPE_CHECKING:
    from directrix.directions.direction import Direction
    from directrix.directions.target_label import TargetLabel


def add(verbs: argparse._SubParsersAction) -> None:
    """Add the verb to the parser."""
    parser = verbs.add_parser(
        "gauge",
        help="fit what tells where a picture is drifting, for policies to hold it",
        description="Draw pictures of prompts as each category of an attribute, judge them, and fit to the activations "
        "of the half of guidance without a prompt which category comes out. A policy that names the file under `hold` "
        "brings pictures back that drift. Name the prompts that you are going to draw: a gauge is good for subjects "
        "that it has seen.",
        epilog='example: directrix gauge --attribute "skin tone" --directions directions/ --prompt "a nurse" '
        '--prompt "a judge" -o skin-tone.gauge',
    )
    parser.add_argument("--attribute", required=True, metavar="NAME", help='"gender" or "skin tone"')
    parser.add_argument(
        "--directions", type=Path, required=True, metavar="DIR", help="where the attribute's directions are"
    )
    parser.add_argument(
        "--prompt",
        action="append",
        metavar="TEXT",
        help="to draw; may be given several times (default: those that directions are calibrated on)",
    )
    parser.add_argument("--prompts", type=Path, metavar="FILE", help="a text file of more of them, one a line")
    parser.add_argument(
        "-n",
        "--images-per-prompt",
        type=options.positive_int,
        default=12,
        metavar="N",
        help="of each category, in each round (default: 12)",
    )
    parser.add_argument(
        "--rounds",
        type=options.positive_int,
        default=2,
        metavar="N",
        help="all but the first draw with the gauge of those before (default: 2)",
    )
    parser.add_argument(
        "--steps", type=options.positive_int, metavar="N", help="denoising steps (default: the model's)"
    )
    options.add_size(parser)
    parser.add_argument("--seed", type=options.whole_number, default=5000, help="5000 unless given")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FILE", help="the gauge, such as skin-tone.gauge"
    )
    options.add_model(parser)
    options.add_json(parser)
    parser.set_defaults(run=run, after_interrupt="Nothing was written.")


def run(arguments: argparse.Namespace) -> None:
    """Fit it and write it."""
    prompts = _prompts(arguments)
    output = options.writable_file(arguments.output)

    from directrix.concept import attribute_set

    attribute = attribute_set(arguments.attribute)
    directions = _directions(arguments.directions, [each.name for each in attribute.concepts])

    from directrix.measurement.calibration.fit_probe import fit_probe
    from directrix.measurement.calibration.target import judge_of_values
    from directrix.progress import bars

    pipeline = options.load_model(arguments)
    judge, target_labels = judge_of_values(pipeline, attribute)
    if target_labels is not None:
        directions = dict(zip(directions, target_labels, strict=True))
    probe = fit_probe(
        pipeline,
        attribute.name,
        directions,
        judge,
        prompts or None,
        images_per_prompt=arguments.images_per_prompt,
        rounds=arguments.rounds,
        num_inference_steps=arguments.steps,
        height=arguments.height,
        width=arguments.width,
        seed=arguments.seed,
        progress=bars,
    )
    probe.save(output)
    told: dict[str, Any] = {
        "file": str(output),
        "attribute": probe.attribute,
        "categories": list(probe.categories),
        "timesteps": [float(each) for each in probe.timesteps],
        "pictures": probe.provenance["pictures"],
        "digest": probe.digest(),
    }
    text = (
        f"A gauge of {probe.attribute} ({', '.join(probe.categories)}), from {told['pictures']} pictures. "
        f"Wrote {output}."
    )
    terminal.result(text, told, arguments.json)


def _prompts(arguments: argparse.Namespace) -> list[str]:
    from directrix.errors import ConceptError

    prompts = list(arguments.prompt or ())
    if arguments.prompts is not None:
        try:
            prompts += arguments.prompts.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConceptError(
                f"'{arguments.prompts}' cannot be read: {error}.", "a text file of prompts, one a line."
            ) from error
    return [each.strip() for each in prompts if each.strip()]


def _directions(folder: Path, names: list[str]) -> dict[Direction, TargetLabel]:
    """The attribute's directions, each with what it was calibrated on."""
    from directrix.cli.discover import common
    from directrix.directions.collection import Catalogue

    catalogue = Catalogue(folder)
    directions = {name: catalogue.direction(name) for name in names}
    return {each.with_(name=name): common.find_target_label(each, folder) for name, each in directions.items()}
