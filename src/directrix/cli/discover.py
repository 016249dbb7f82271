"""`directrix discover`: find a concept's direction and write it to a file."""

from __future__ import annotations

import argparse
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from directrix.cli import options, terminal
from directrix.discover import DEFAULT_METHOD

if TYPE_CHECKING:
    from directrix.concept import Concept
    from directrix.discover.problem import Defaults
    from directrix.judges import Judge
    from directrix.trial import Aim


def add(verbs: argparse._SubParsersAction) -> None:
    """Add the verb to the parser."""
    parser = verbs.add_parser(
        "discover",
        help="find what a concept means inside a model",
        description="Find the direction of a concept inside a frozen model, and write it to one "
        "safetensors file. "
        "An interrupted run goes on where it stopped when the same command is given again.",
        epilog='example: directrix discover --model emoji --name woman --target "a woman" --neutral "a '
        'person" '
        "-o woman.safetensors",
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FILE", help="where the direction goes"
    )
    concept = parser.add_argument_group(
        "concept", "Each prompt may be given several times; they are paired in order."
    )
    concept.add_argument("--name", help="what to call it (default: the file's name)")
    concept.add_argument(
        "--target", action="append", metavar="PROMPT", help='the concept in words, "a woman"'
    )
    concept.add_argument(
        "--neutral", action="append", required=True, metavar="PROMPT", help='the same without it, "a person"'
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
    """Discover one concept, with a checkpoint beside the output until the direction is written."""
    from directrix.concept import Concept, attribute_set

    # What can be wrong is found before anything slow is loaded.
    name = arguments.name or arguments.output.stem
    concept = Concept.of(name, arguments.target, arguments.neutral, arguments.negative)
    opposite = arguments.opposite and Concept.of(f"opposite of {name}", arguments.opposite, arguments.neutral)
    preserve = [each for wanted in arguments.preserve for each in attribute_set(wanted).concepts]
    output = options.writable_file(arguments.output)
    folder = output.with_name(f"{output.name}.checkpoint")

    from directrix import storage
    from directrix.cli import describe
    from directrix.discover import discover, methods
    from directrix.progress import bars
    from directrix.report.cost import measured

    asked = {key: getattr(arguments, key) for key in ("images", "steps", "batch_size", "learning_rate")}
    terminal.note(_announcement(arguments.method, asked, methods.method_class(arguments.method).defaults))
    if folder.is_dir():
        terminal.note(f"Going on from {folder}.")
    pipeline = options.load_model(arguments)
    judged = None if arguments.no_calibration else _judge(pipeline, concept, opposite or None)
    with measured() as cost:
        directions = discover(
            pipeline,
            [concept, opposite] if opposite else [concept],
            arguments.method,
            **asked,
            seed=arguments.seed,
            shape=arguments.shape,
            rank=arguments.rank,
            contrast=bool(opposite),
            preserve=preserve,
            checkpoint=folder,
            progress=bars,
        )
    direction = directions[0].with_(
        provenance={**directions[0].provenance, "memory_mb": round(cost.memory_mb, 1)}
    )
    told = {"command": _command(arguments), "opposite": asdict(opposite) if opposite else None}
    direction = direction.with_(recipe={**direction.recipe, **told})
    storage.save(direction, output)
    if judged is not None:
        from directrix.calibration import calibrate
        from directrix.errors import NoEffectError
        from directrix.trial import Aim

        judge, aim = judged
        try:
            direction = calibrate(pipeline, direction, judge, aim=aim, progress=bars)
        except NoEffectError:
            # The advice is to try other settings, which this checkpoint would refuse.
            shutil.rmtree(folder, ignore_errors=True)
            raise
        # An unknown word moves something else, if anything; whoever asked should see what.
        found = direction.provenance["calibration"]["aim"]
        terminal.note(f"Calibrated on what the judge sees change: {Aim(**found)}.")
        storage.save(direction, output)
    # Kept until now: an interrupted calibration finds the direction again at once.
    shutil.rmtree(folder, ignore_errors=True)
    terminal.note(f"Wrote {output}.")
    terminal.result(describe.as_text(direction, output), describe.as_json(direction, output), arguments.json)


def _judge(pipeline: Any, concept: Concept, opposite: Concept | None) -> tuple[Judge, Aim | None]:
    """Loaded before the discovery: what is missing should be told before the work, not after it."""
    from directrix.calibration import judge_for
    from directrix.errors import ModelError

    try:
        return judge_for(pipeline, concept, opposite)
    except ModelError as error:
        raise ModelError(
            f"The effect cannot be judged: {error.happened}",
            "a judge to calibrate the direction with.",
            "--no-calibration leaves the strength as the method gives it.",
        ) from error


def _command(arguments: argparse.Namespace) -> str:
    """The command that finds this direction again, as one would type it."""
    words = [
        "directrix",
        "discover",
        "--model",
        arguments.model,
        "--name",
        arguments.name or arguments.output.stem,
    ]
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


def _announcement(method: str, asked: Mapping[str, Any], defaults: Defaults) -> str:
    """One line with every setting, and which of them nobody asked for."""
    parts = []
    # A closed form takes no steps.
    for key in ("images", "steps", "batch_size") if defaults.steps else ("images",):
        value = getattr(defaults, key) if asked[key] is None else asked[key]
        parts.append(f"{value:,} {_WORDS[key]}" + (" (default)" if asked[key] is None else ""))
    rate = asked["learning_rate"]
    if defaults.steps:
        parts.append(f"learning rate {'from the model (default)' if rate is None else format(rate, 'g')}")
    return f"Discovering by {method}: " + ", ".join(parts) + "."


_WORDS = {"images": "pictures", "steps": "steps", "batch_size": "pictures a step"}
