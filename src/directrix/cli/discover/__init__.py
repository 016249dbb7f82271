"""`directrix discover`: find a concept's direction, or those of an attribute or of objects, and write them to files."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from directrix.cli import options
from directrix.cli.app import Result, verb
from directrix.discovery import DEFAULT_METHOD
from directrix.errors import ConceptError

if TYPE_CHECKING:
    from directrix.cli.discover.search import Search
    from directrix.concept import AttributeSet, Concept


@verb(
    "discover",
    "Run the same command again: it goes on from its checkpoint.",
    'examples: directrix discover --name snow --target "a person in the snow" --neutral "a person" '
    "-o snow.safetensors; directrix discover --attribute gender -o directions/",
)
def discover(
    context: typer.Context,
    output: options.Output,
    attribute: str | None = None,
    objects: Annotated[list[str] | None, typer.Option("--object")] = None,
    name: str | None = None,
    target: options.Target = None,
    neutral: options.Neutral = None,
    negative: list[str] | None = None,
    opposite: list[str] | None = None,
    preserve: list[str] | None = None,
    compensate: Path | None = None,
    in_place: bool = False,
    method: options.Method = DEFAULT_METHOD,
    training_images: options.TrainingImages = None,
    optimizer_steps: options.OptimizerSteps = None,
    batch_size: options.OptionalCount = None,
    learning_rate: options.LearningRate = None,
    seed: options.Seed = 0,
    shape: Literal["map", "channel"] = "map",
    site: str | None = None,
    height: options.Side = None,
    width: options.Side = None,
    rank: options.OptionalCount = None,
    judge: options.Judge = None,
    no_calibration: bool = False,
    model: options.Model = options.EMOJI,
) -> Result:
    """Find what a concept means inside a model.

    The direction of a concept inside a frozen model is written to one safetensors file; or with --attribute, those of
    all values of an attribute, a file each; or with --object, those of objects that an image may show. Each prompt may
    be given several times; they are paired in order. What is left out of the settings follows the method, and is named
    before the run. An interrupted run goes on where it stopped when the same command is given again.

    Args:
        output: Where the direction goes; a folder, with --attribute or --object.
        attribute (NAME): 'gender' or 'skin tone', in place of the prompts: all its values, on the subjects of the
            model's card, with the other attribute left alone.
        objects (PHRASE): In place of the prompts, 'a knife': a person with it, and other subjects of the model's card;
            may be given several times.
        name (NAME): What to call it. Default: the file's name.
        negative (PROMPT): For a concept that is kept out: 'violence'; --target is then --neutral unless given.
        opposite (PROMPT): Target prompt of another value of the same attribute, 'a man': what both share is taken out.
        preserve (NAME): An attribute that must not change, 'gender' or 'skin tone'.
        compensate (DIR): With --attribute: calibrated directions of another attribute, of which as much is added as
            keeps its shares as they were (minutes).
        in_place: With --compensate: as they were also where the direction takes the place of the prompt's component, as
            in policies, and not only where it is added.
        batch_size: Images a step. Default: the method's.
        shape: A direction for the model's own image size, or one that is free of it.
        site (NAME): Where in the model; `directrix sites` lists them. Default: the U-Net's mid block, or a
            transformer's middle block.
        rank: Of a map. Default: full.
        no_calibration: Leave the strength as the method gives it.
    """
    from directrix.concept import attribute_set

    # What can be wrong is found before anything slow is loaded.
    if in_place and compensate is None:
        raise ConceptError(
            "'--in-place' was given without '--compensate'.", "both.", "name directions to compensate, or leave it out."
        )
    preserved = [attribute_set(wanted) for wanted in preserve or ()]
    if attribute is not None:
        if objects:
            raise ConceptError("'--object' was given together with '--attribute'.", "one of the two.", "leave one out.")
        _refuse_prompts(context.params, "--attribute")
        if compensate is not None and no_calibration:
            raise ConceptError(
                "'--compensate' was given together with '--no-calibration'.",
                "one of the two: a shift is measured at a calibrated strength.",
                "leave one out.",
            )
        search = _of_attribute(attribute_set(attribute), output, method, compensate, in_place)
    elif compensate is not None:
        raise ConceptError(
            "'--compensate' was given for a single concept or for objects.",
            "an attribute.",
            "'--attribute gender', or leave it out.",
        )
    elif objects:
        _refuse_prompts(context.params, "--object")
        search = _of_objects(objects, output, method)
    else:
        from directrix.concept import Concept

        name = name or output.stem
        concept = Concept.of(name, target, neutral, negative)
        others = [Concept.of(f"opposite of {name}", opposite, neutral)] if opposite else []
        search = _of_concept(concept, others, output, method)

    size = {key: value for key, value in (("height", height), ("width", width)) if value is not None}
    settings = {
        "images": training_images,
        "steps": optimizer_steps,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "seed": seed,
        "shape": shape,
        "rank": rank,
        "site": site,
        # What an attribute's values share is taken out by default, and its other attributes are preserved.
        "contrast": None if attribute else bool(opposite),
        "preserve": preserved or None,
        "call": size or None,
    }
    return search.run(
        model.load,
        method,
        settings,
        command=_command(context.command.params, context.params),
        calibrate=not no_calibration,
        judge=judge,
    )


def _of_concept(concept: Concept, others: list[Concept], output: Path, method: str) -> Search:
    from directrix.cli.discover.search import Search
    from directrix.discovery import discover

    output = options.writable_file(output)
    return Search(
        lambda _: [(concept, others)],
        partial(discover, concepts=[concept, *others], method=method),
        checkpoint=output.with_name(f"{output.name}.checkpoint"),
        file=lambda _: output,
        data=lambda found: found[0],
    )


def _of_attribute(
    attribute: AttributeSet, folder: Path, method: str, compensate: Path | None, in_place: bool
) -> Search:
    from directrix.cli.discover import calibration
    from directrix.cli.discover.search import Search
    from directrix.discovery.attribute import discover_attribute

    options.writable_folder(folder)
    names = [concept.name for concept in attribute.concepts]

    def concepts(pipeline: Any) -> list[tuple[Concept, list[Concept]]]:
        from directrix import models

        values = attribute.among(models.facts(pipeline).subjects).concepts
        return [(each, [other for other in values if other is not each]) for each in values]

    return Search(
        concepts,
        partial(discover_attribute, attribute=attribute, method=method),
        checkpoint=folder / f".{attribute.name.replace(' ', '-')}.checkpoint",
        file=lambda each: folder / f"{each.name}.safetensors",
        data=lambda found: {"attribute": attribute.name, "directions": found},
        compensate_for={} if compensate is None else calibration.directions_of_others(compensate, names),
        in_place=in_place,
    )


def _of_objects(objects: list[str], folder: Path, method: str) -> Search:
    from directrix.cli.discover.search import Search
    from directrix.discovery.objects import discover_objects, object_concepts

    object_concepts(objects)  # raises before anything slow
    options.writable_folder(folder)
    begun = folder / ".things.checkpoint"  # of a run that version 0.1 began

    def concepts(pipeline: Any) -> list[tuple[Concept, list[Concept]]]:
        from directrix import models

        return [(each, []) for each in object_concepts(objects, models.facts(pipeline).subjects)]

    return Search(
        concepts,
        partial(discover_objects, objects=objects, method=method),
        checkpoint=begun if begun.is_dir() else folder / ".objects.checkpoint",
        file=lambda each: folder / f"{each.name}.safetensors",
        # "things" is what version 0.1 called them; it goes with version 0.3.
        data=lambda found: {"objects": objects, "things": objects, "directions": found},
    )


def _refuse_prompts(given: Mapping[str, Any], several: str) -> None:
    """Raises ConceptError where prompts of one concept were given beside `several`, an option for several."""
    for key in ("name", "target", "neutral", "negative", "opposite"):
        if given[key]:
            raise ConceptError(
                f"'--{key}' was given together with '{several}'.",
                f"one of the two: with '{several}' the prompts are made.",
                "leave one out.",
            )


def _command(parameters: Sequence[Any], given: Mapping[str, Any]) -> str:
    """The command that finds this direction again, as one would type it."""
    words = ["directrix", "discover", "--model", given["model"]]
    if not given["attribute"] and not given["objects"]:
        words += ["--name", given["name"] or given["output"].stem]
    for parameter in parameters:
        value = given.get(parameter.name)
        if parameter.name in ("model", "name", "output", "device", "dtype", "json") or value is None:
            continue
        if isinstance(value, bool):
            words += [parameter.opts[0]] if value else []
            continue
        for each in value if isinstance(value, list | tuple) else [value]:
            words += [parameter.opts[0], str(each)]
    return shlex.join([*words, "-o", given["output"].name])
