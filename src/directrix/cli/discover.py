"""`directrix discover`: find a concept's direction, or those of an attribute or of objects, and write them to files."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

import directrix
from directrix.cli import calibration, options
from directrix.cli.app import LOG, Result, progress, refuse, verb
from directrix.cli.direction_files import described
from directrix.concept import Concept, attribute_set
from directrix.discovery import default_method
from directrix.errors import ConceptError, NoEffectError
from directrix.reading.names import file_stem

if TYPE_CHECKING:
    from directrix.discovery.problem import Defaults

_WORDS = {"images": "images", "steps": "steps", "batch_size": "images a step"}
_PROMPTS = ("name", "target", "neutral", "negative", "opposite")


@verb("discover", "Run the same command again: it goes on from its checkpoint.")
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
    method: options.OptionalMethod = None,
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
    target_label: str | None = None,
    thorough: bool = False,
    force: bool = False,
    model: options.Model = options.EMOJI,
) -> Result:
    """Find what a concept means inside a model."""
    # What can be wrong is found before anything slow is loaded.
    given = context.params
    remedy = "name directions to compensate, or leave it out."
    refuse(in_place and compensate is None, "'--in-place' was given without '--compensate'.", "both.", remedy)
    _refuse_both(given, "attribute", ["objects"])
    _refuse_both(given, "attribute", _PROMPTS, ": with '--attribute' the prompts are made")
    _refuse_both(given, "objects", _PROMPTS, ": with '--object' the prompts are made")
    single = "'--compensate' was given for a single concept or for objects."
    refuse(compensate and attribute is None, single, "an attribute.", "'--attribute gender', or leave it out.")
    for key in ("attribute", "objects", "no_calibration"):
        _refuse_both(given, key, ["target_label"])
    _refuse_both(given, "no_calibration", ["thorough"], ": the search is part of calibration")
    _refuse_both(given, "no_calibration", ["compensate"], ": a shift is measured at a calibrated strength")
    preserved = [attribute_set(wanted) for wanted in preserve or ()]
    search = _search(given, output)
    from directrix import models
    from directrix.discovery import registry
    from directrix.discovery.checkpoint import Checkpoint
    from directrix.discovery.settings import grouped
    from directrix.experiments.cost.measure import measured
    from directrix.measurement.calibration.concept_words import unknown_words

    leaking = calibration.of_others(compensate, attribute_set(attribute)) if attribute and compensate else {}
    settings = {key: given[key] for key in ("batch_size", "learning_rate", "seed", "shape", "rank", "site")} | {
        "images": training_images,
        "steps": optimizer_steps,
        # What an attribute's values share is taken out by default, and its other attributes are preserved.
        "contrast": None if attribute else bool(opposite),
        "preserve": preserved or None,
        "call": {key: given[key] for key in ("height", "width") if given[key] is not None} or None,
    }
    method = method or default_method(**grouped(settings))
    LOG.info(announcement(method, settings, registry.METHODS.get(method).defaults))
    if search.checkpoint.is_dir():
        LOG.info("Going on from %s.", search.checkpoint)
    if not no_calibration:
        calibration.check_judge(model.model, judge)
    loaded = model.load()
    concepts = search.concepts(models.facts(loaded).subjects)
    wanted_label = calibration.named_label(target_label, concepts[0][0])
    unknown = unknown_words(loaded, [text for each in concepts for text in _texts(each[0])])
    if unknown:
        LOG.warning("Note: the model does not know these words: %s.", ", ".join(unknown))
    judges = [None if no_calibration else calibration.judge_of(loaded, each, judge) for each in concepts]
    checkpoint = Checkpoint(search.checkpoint)
    with checkpoint.locked():
        with measured() as cost:
            found = search.find(
                loaded, method=method, **grouped(settings), checkpoint=search.checkpoint, progress=progress()
            )
        command = _command(context.command.params, given)
        among: list[directrix.Direction] = []
        seen = []
        unseen: NoEffectError | None = None
        for direction, (_, *others), seeing in zip(found, concepts, judges, strict=False):
            recipe = {**direction.recipe, "command": command, "others": [asdict(each) for each in others]}
            provenance = {**direction.provenance, "memory_mb": round(cost.memory_mb, 1)}
            direction = direction.with_(recipe=recipe, provenance=provenance)
            path = output / f"{file_stem(direction.name)}.safetensors" if search.several else output
            try:
                if seeing is not None:
                    direction = calibration.calibrated(
                        loaded, direction, seeing[0], wanted_label or seeing[1], search.checkpoint, force, thorough
                    )
                seen.append((direction, path, seeing))
            except NoEffectError as error:
                # It stays as it was found, and the others are calibrated all the same.
                unseen = error
            direction.save(path)
            LOG.info("Wrote %s.", path)
            among.append(direction)
        # All are calibrated before the first is compensated.
        rows = []
        for direction, path, seeing in seen:
            if leaking and seeing is not None:
                direction = calibration.compensated(
                    loaded, direction, leaking, seeing[0], among if in_place else (), search.checkpoint
                )
                direction.save(path)
            rows.append((direction, path))
        # Until now: an interrupted calibration finds the directions again at once.
        checkpoint.remove()
    if unseen is not None and not rows:
        raise unseen
    result = described(rows)
    data = {**search.several, **result.data} if search.several else result.data["directions"][0]
    return Result(result.text, data, failure=unseen)


def _texts(concept: Concept) -> list[str]:
    return [text for pair in concept.pairs for text in (pair.target, pair.neutral, pair.negative) if text]


class Search(NamedTuple):
    """What is searched.

    find: the library's function, given the model and settings; the directions of `concepts` come first.
    concepts: for the subjects of the model's card, each concept before those that it is distinguished from.
    checkpoint: stays until all directions are written.
    several: what the command's JSON says beside several directions; empty for a single one, which is all of it.
    """

    find: Callable[..., Sequence[directrix.Direction]]
    concepts: Callable[[Sequence[str]], Sequence[Sequence[Concept]]]
    checkpoint: Path
    several: Mapping[str, Any]


def _search(given: Mapping[str, Any], output: Path) -> Search:
    """What the options ask for; raises ConceptError, and OutputError where it cannot be written."""
    from directrix.discovery.objects import object_concepts

    if given["attribute"] is not None:
        attribute = attribute_set(given["attribute"])
        options.writable_folders(output)

        def values(subjects: Sequence[str]) -> list[list[Concept]]:
            found = attribute.among(subjects).concepts
            return [[each, *(other for other in found if other is not each)] for each in found]

        checkpoint = output / f".{attribute.name.replace(' ', '-')}.checkpoint"
        find = partial(directrix.discover_attribute, attribute=attribute)
        return Search(find, values, checkpoint, {"attribute": attribute.name})
    if given["objects"]:
        objects = given["objects"]
        stems = [file_stem(each.name).lower() for each in object_concepts(objects)]  # raises before anything slow
        if len(set(stems)) < len(stems):
            raise ConceptError("Two of the objects make the same file name.", "a file for each.", "leave one out.")
        options.writable_folders(output)
        begun = output / ".things.checkpoint"  # of a run that version 0.1 began
        return Search(
            partial(directrix.discover_objects, objects=objects),
            lambda subjects: [[each] for each in object_concepts(objects, subjects)],
            begun if begun.is_dir() else output / ".objects.checkpoint",
            # "things" is what version 0.1 called them; it goes with version 0.3.
            {"objects": objects, "things": objects},
        )
    name = given["name"] or output.stem
    target, neutral, negative, opposite = (given[key] or None for key in _PROMPTS[1:])
    concepts = [Concept.of(name, target, neutral, negative)]
    if opposite:
        concepts.append(Concept.of(f"opposite of {name}", opposite, neutral))
    options.writable_files(output)
    checkpoint = output.with_name(f"{output.name}.checkpoint")
    return Search(partial(directrix.discover, concepts=concepts), lambda _: [concepts], checkpoint, {})


def _refuse_both(given: Mapping[str, Any], first: str, others: Sequence[str], why: str = "") -> None:
    """Raises DirectrixError where `first` was given together with one of the others."""
    names = {key: f"'--{key.replace('objects', 'object').replace('_', '-')}'" for key in (first, *others)}
    for key in others:
        together = f"{names[key]} was given together with {names[first]}."
        refuse(given[first] and given[key], together, f"one of the two{why}.")


def announcement(method: str, given: Mapping[str, Any], defaults: Defaults) -> str:
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


def _command(parameters: Sequence[Any], given: Mapping[str, Any]) -> str:
    """The command that finds this direction again, as one would type it."""
    words = ["directrix", "discover", "--model", given["model"]]
    if not given["attribute"] and not given["objects"]:
        words += ["--name", given["name"] or Path(given["output"]).stem]
    for parameter in parameters:
        value = given.get(parameter.name)
        if parameter.name in ("model", "name", "output", "device", "dtype", "json") or value is None:
            continue
        if isinstance(value, bool):
            words += [parameter.opts[0]] if value else []
            continue
        for each in value if isinstance(value, list | tuple) else [value]:
            words += [parameter.opts[0], str(each)]
    return shlex.join([*words, "-o", Path(given["output"]).name])
