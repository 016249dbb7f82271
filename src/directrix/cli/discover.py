"""`directrix discover`: find a concept's direction and write it to a file."""

from __future__ import annotations

import argparse
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from directrix.cli import options, terminal
from directrix.discover import DEFAULT_METHOD

if TYPE_CHECKING:
    from directrix.concept import Concept
    from directrix.direction import Direction
    from directrix.discover.problem import Defaults
    from directrix.judges import Judge
    from directrix.trial import Aim


def add(verbs: argparse._SubParsersAction) -> None:
    """Add the verb to the parser."""
    parser = verbs.add_parser(
        "discover",
        help="find what a concept means inside a model",
        description="Find the direction of a concept inside a frozen model, and write it to one "
        "safetensors file; or with --attribute, those of all values of an attribute, a file each. "
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
        help="where the direction goes; a folder, with --attribute",
    )
    concept = parser.add_argument_group(
        "concept", "Each prompt may be given several times; they are paired in order."
    )
    concept.add_argument(
        "--attribute",
        metavar="NAME",
        help="'gender' or 'skin tone', in place of the prompts: all its values, on the subjects of the model's card, "
        "with the other attribute left alone",
    )
    concept.add_argument("--name", help="what to call it (default: the file's name)")
    concept.add_argument(
        "--target", action="append", metavar="PROMPT", help='the concept in words, "a woman"'
    )
    concept.add_argument(
        "--neutral", action="append", metavar="PROMPT", help='the same without it, "a person"'
    )
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
    method = parser.add_argument_group(
        "method", "What is left out follows the method, and is named before the run."
    )
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
        "--seed",
        type=options.whole_number,
        default=0,
        help="0 unless given; the same seed gives the same direction",
    )
    method.add_argument(
        "--shape",
        choices=("map", "channel"),
        default="map",
        help="a direction for the model's own picture size, or one that is free of it (default: map)",
    )
    method.add_argument("--rank", type=options.positive_int, metavar="N", help="of a map (default: full)")
    method.add_argument(
        "--no-calibration", action="store_true", help="leave the strength as the method gives it"
    )
    options.add_model(parser)
    options.add_json(parser)
    parser.set_defaults(
        run=run, after_interrupt="Run the same command again: it goes on from its checkpoint."
    )


def run(arguments: argparse.Namespace) -> None:
    """Discover, with a checkpoint beside the output until all directions are written."""
    from directrix.concept import Concept, attribute_set

    # What can be wrong is found before anything slow is loaded.
    preserve = [attribute_set(wanted) for wanted in arguments.preserve]
    if arguments.attribute is not None:
        from directrix.cli import attribute

        attribute.run(arguments, preserve or None)
        return
    name = arguments.name or arguments.output.stem
    concept = Concept.of(name, arguments.target, arguments.neutral, arguments.negative)
    others = (
        [Concept.of(f"opposite of {name}", arguments.opposite, arguments.neutral)]
        if arguments.opposite
        else []
    )
    output = options.writable_file(arguments.output)
    folder = output.with_name(f"{output.name}.checkpoint")

    from directrix import storage
    from directrix.cli import describe
    from directrix.discover import discover
    from directrix.progress import bars
    from directrix.report.cost import measured

    announce(arguments, folder)
    pipeline = options.load_model(arguments)
    judged = None if arguments.no_calibration else judge_of(pipeline, concept, *others)
    with measured() as cost:
        directions = discover(
            pipeline,
            [concept, *others],
            arguments.method,
            **asked(arguments),
            contrast=bool(others),
            preserve=preserve,
            checkpoint=folder,
            progress=bars,
        )
    direction = noted(directions[0], arguments, others, cost.memory_mb)
    storage.save(direction, output)
    if judged is not None:
        from directrix.errors import NoEffectError

        try:
            direction = calibrated(pipeline, direction, judged)
        except NoEffectError:
            # The advice is to try other settings, which this checkpoint would refuse.
            shutil.rmtree(folder, ignore_errors=True)
            raise
        storage.save(direction, output)
    # Kept until now: an interrupted calibration finds the direction again at once.
    shutil.rmtree(folder, ignore_errors=True)
    terminal.note(f"Wrote {output}.")
    terminal.result(describe.as_text(direction, output), describe.as_json(direction, output), arguments.json)


def asked(arguments: argparse.Namespace) -> dict[str, Any]:
    """The settings of the discovery, as the command line gives them."""
    return {
        key: getattr(arguments, key)
        for key in ("images", "steps", "batch_size", "learning_rate", "seed", "shape", "rank")
    }


def announce(arguments: argparse.Namespace, checkpoint: Path) -> None:
    """Say what is going to be done, and with which settings."""
    from directrix.discover import methods

    defaults = methods.method_class(arguments.method).defaults
    terminal.note(_announcement(arguments.method, asked(arguments), defaults))
    if checkpoint.is_dir():
        terminal.note(f"Going on from {checkpoint}.")


def noted(
    direction: Direction, arguments: argparse.Namespace, others: Sequence[Concept], memory_mb: float
) -> Direction:
    """The direction with the command that found it, and what it was told apart from."""
    recipe = {
        **direction.recipe,
        "command": _command(arguments),
        "others": [asdict(each) for each in others],
    }
    return direction.with_(
        recipe=recipe, provenance={**direction.provenance, "memory_mb": round(memory_mb, 1)}
    )


def calibrated(pipeline: Any, direction: Direction, judged: tuple[Judge, Aim | None]) -> Direction:
    """The direction calibrated; tells what the judge saw change. Raises NoEffectError."""
    from directrix.calibration import calibrate
    from directrix.progress import bars
    from directrix.trial import Aim

    judge, aim = judged
    direction = calibrate(pipeline, direction, judge, aim=aim, progress=bars)
    # An unknown word moves something else, if anything; whoever asked should see what.
    found = direction.provenance["calibration"]["aim"]
    terminal.note(f"Calibrated on what the judge sees change: {Aim(**found)}.")
    return direction


def judge_of(pipeline: Any, concept: Concept, *others: Concept) -> tuple[Judge, Aim | None]:
    """Loaded before the discovery: what is missing should be told before the work, not after it."""
    from directrix.calibration import judge_for
    from directrix.errors import ModelError

    try:
        return judge_for(pipeline, concept, *others)
    except ModelError as error:
        raise ModelError(
            f"The effect cannot be judged: {error.happened}",
            "a judge to calibrate the direction with.",
            "--no-calibration leaves the strength as the method gives it.",
        ) from error


def _command(arguments: argparse.Namespace) -> str:
    """The command that finds this direction again, as one would type it."""
    words = ["directrix", "discover", "--model", arguments.model]
    if arguments.attribute is None:
        words += ["--name", arguments.name or arguments.output.stem]
    else:
        words += ["--attribute", arguments.attribute]
    for key in ("target", "neutral", "negative", "opposite", "preserve"):
        for value in getattr(arguments, key) or ():
            words += [f"--{key}", value]
    for key in ("method", "images", "steps", "batch_size", "learning_rate", "seed", "shape", "rank"):
        value = getattr(arguments, key)
        if value is not None:
            words += [f"--{key.replace('_', '-')}", str(value)]
    if arguments.no_calibration:
        words.append("--no-calibration")
    return shlex.join([*words, "-o", arguments.output.name])


def _announcement(method: str, given: Mapping[str, Any], defaults: Defaults) -> str:
    """One line with every setting, and which of them nobody asked for."""
    parts = []
    # A closed form takes no steps.
    for key in ("images", "steps", "batch_size") if defaults.steps else ("images",):
        value = getattr(defaults, key) if given[key] is None else given[key]
        parts.append(f"{value:,} {_WORDS[key]}" + (" (default)" if given[key] is None else ""))
    rate = given["learning_rate"]
    if defaults.steps:
        parts.append(f"learning rate {'from the model (default)' if rate is None else format(rate, 'g')}")
    return f"Discovering by {method}: " + ", ".join(parts) + "."


_WORDS = {"images": "pictures", "steps": "steps", "batch_size": "pictures a step"}
