"""`directrix discover`: find a concept's direction and write it to a file."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from directrix.cli import options, terminal
from directrix.cli.discover import attribute, common, objects
from directrix.discovery import DEFAULT_METHOD


def add(verbs: argparse._SubParsersAction) -> None:
    """Add the verb to the parser."""
    parser = verbs.add_parser(
        "discover",
        help="find what a concept means inside a model",
        description="Find the direction of a concept inside a frozen model, and write it to one "
        "safetensors file; or with --attribute, those of all values of an attribute, a file each; or with --thing, "
        "those of things that a picture may hold. "
        "An interrupted run goes on where it stopped when the same command is given again.",
        epilog='examples: directrix discover --name snow --target "a person in the snow" --neutral "a person" '
        "-o snow.safetensors; directrix discover --attribute gender -o directions/",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="FILE",
        help="where the direction goes; a folder, with --attribute or --thing",
    )
    concept = parser.add_argument_group("concept", "Each prompt may be given several times; they are paired in order.")
    concept.add_argument(
        "--attribute",
        metavar="NAME",
        help="'gender' or 'skin tone', in place of the prompts: all its values, on the subjects of the model's card, "
        "with the other attribute left alone",
    )
    concept.add_argument(
        "--thing",
        action="append",
        metavar="PHRASE",
        help="in place of the prompts, 'a knife': a person with it, and other subjects of the model's card; may be "
        "given several times",
    )
    concept.add_argument("--name", help="what to call it (default: the file's name)")
    concept.add_argument("--target", action="append", metavar="PROMPT", help='the concept in words, "a woman"')
    concept.add_argument("--neutral", action="append", metavar="PROMPT", help='the same without it, "a person"')
    concept.add_argument(
        "--negative",
        action="append",
        metavar="PROMPT",
        help='for a concept that is kept out: "violence"; --target is then --neutral unless given',
    )
    concept.add_argument(
        "--opposite",
        action="append",
        metavar="PROMPT",
        help='target prompt of another value of the same attribute, "a man": what both share is taken out',
    )
    concept.add_argument(
        "--preserve",
        action="append",
        default=[],
        metavar="NAME",
        help="an attribute that must not change, 'gender' or 'skin tone'",
    )
    concept.add_argument(
        "--level",
        type=Path,
        metavar="DIR",
        help="with --attribute: calibrated directions of another attribute, of which as much is added as keeps its "
        "shares as they were (minutes)",
    )
    concept.add_argument(
        "--in-place",
        action="store_true",
        help="with --level: as they were also where the direction stands in the place of what a prompt says, as in "
        "policies, and not only where it is added",
    )
    method = parser.add_argument_group("method", "What is left out follows the method, and is named before the run.")
    method.add_argument(
        "--method",
        default=DEFAULT_METHOD,
        help=f"difference, trajectory, distillation or reconstruction (the paper's); default: {DEFAULT_METHOD}",
    )
    method.add_argument("--images", type=options.positive_int, metavar="N", help="pictures to learn from")
    method.add_argument("--steps", type=options.positive_int, metavar="N", help="steps of the optimiser")
    method.add_argument("--batch-size", type=options.positive_int, metavar="N", help="pictures a step")
    method.add_argument("--learning-rate", type=options.positive_float, metavar="X", help="of the optimiser")
    method.add_argument(
        "--seed", type=options.whole_number, default=0, help="0 unless given; the same seed gives the same direction"
    )
    method.add_argument(
        "--shape",
        choices=("map", "channel"),
        default="map",
        help="a direction for the model's own picture size, or one that is free of it (default: map)",
    )
    method.add_argument(
        "--site",
        metavar="NAME",
        help="where in the model; `directrix sites` lists them (default: mid block, or a transformer's middle block)",
    )
    options.add_size(method)
    method.add_argument("--rank", type=options.positive_int, metavar="N", help="of a map (default: full)")
    method.add_argument("--no-calibration", action="store_true", help="leave the strength as the method gives it")
    options.add_model(parser)
    options.add_json(parser)
    parser.set_defaults(run=run, after_interrupt="Run the same command again: it goes on from its checkpoint.")


def run(arguments: argparse.Namespace) -> None:
    """Discover, with a checkpoint beside the output until all directions are written."""
    from directrix.concept import Concept, attribute_set
    from directrix.errors import ConceptError

    # What can be wrong is found before anything slow is loaded.
    if arguments.in_place and arguments.level is None:
        raise ConceptError(
            "'--in-place' was given without '--level'.", "both.", "name directions to level by, or leave it out."
        )
    preserve = [attribute_set(wanted) for wanted in arguments.preserve]
    if arguments.attribute is not None:
        if arguments.thing is not None:
            raise ConceptError("'--thing' was given together with '--attribute'.", "one of the two.", "leave one out.")
        attribute.run(arguments, preserve or None)
        return
    if arguments.level is not None:
        raise ConceptError(
            "'--level' was given for a single concept or for things.",
            "an attribute.",
            "'--attribute gender', or leave it out.",
        )
    if arguments.thing is not None:
        objects.run(arguments, preserve)
        return
    name = arguments.name or arguments.output.stem
    concept = Concept.of(name, arguments.target, arguments.neutral, arguments.negative)
    others = [Concept.of(f"opposite of {name}", arguments.opposite, arguments.neutral)] if arguments.opposite else []
    output = options.writable_file(arguments.output)
    folder = output.with_name(f"{output.name}.checkpoint")

    from directrix.cli import format_direction
    from directrix.discovery import discover
    from directrix.discovery.settings import grouped
    from directrix.experiments.cost.measure import measured
    from directrix.progress import bars

    common.announce(arguments, folder)
    pipeline = options.load_model(arguments)
    judged = None if arguments.no_calibration else common.judge_of(pipeline, concept, *others)
    with measured() as cost:
        directions = discover(
            pipeline,
            [concept, *others],
            arguments.method,
            **grouped({**common.asked(arguments), "contrast": bool(others), "preserve": preserve}),
            checkpoint=folder,
            progress=bars,
        )
    direction = common.noted(directions[0], arguments, others, cost.memory_mb)
    direction.save(output)
    if judged is not None:
        from directrix.errors import NoEffectError

        try:
            direction = common.calibrated(pipeline, direction, judged)
        except NoEffectError:
            # The advice is to try other settings, which this checkpoint would refuse.
            shutil.rmtree(folder, ignore_errors=True)
            raise
        direction.save(output)
    # Kept until now: an interrupted calibration finds the direction again at once.
    shutil.rmtree(folder, ignore_errors=True)
    terminal.note(f"Wrote {output}.")
    terminal.result(
        format_direction.as_text(direction, output), format_direction.as_json(direction, output), arguments.json
    )
