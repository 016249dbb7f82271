"""`directrix benchmarks | evaluate | report`: methods on a benchmark: images, figures with intervals, and a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

import directrix
from directrix.cli import options
from directrix.cli.app import LOG, Result, progress, reading, refuse, say_what_is_missing, verb
from directrix.concept import attribute_set
from directrix.errors import DirectrixError


@verb("benchmarks")
def benchmarks() -> Result:
    """List the benchmarks in the package: how many prompts, of which kinds, and what is measured."""
    from directrix.measurement.benchmarks import shipped

    data = {"benchmarks": [benchmark.as_dict() for benchmark in shipped()]}
    return Result(reading("benchmarks", data), data)


@verb("evaluate", "Run the same command again: what is there stays.", shared=True)
def evaluate(
    benchmark: options.Word,
    output: options.Output,
    method: list[str] | None = None,
    judge: options.Judges = None,
    images_per_prompt: options.OptionalImagesPerPrompt = None,
    seed: options.Seed = 0,
    data: options.Data = None,
    kind: list[str] | None = None,
    split: str | None = None,
    attribute: list[str] | None = None,
    measure: list[str] | None = None,
    limit: options.Limit = None,
    reference: str | None = None,
    overwrite: options.Overwrite = False,
    drawing: options.Drawing = options.DRAWING,
    model: options.Model = options.EMOJI,
) -> Result:
    """Draw a benchmark's prompts by several methods, judge and measure."""
    from directrix.experiments.paper.table import aligned
    from directrix.measurement import benchmarks
    from directrix.measurement.benchmarks import own_prompts
    from directrix.measurement.calibration.target import judge_for_model, read_by_judge
    from directrix.measurement.evaluation import named_judges, warnings
    from directrix.models.loading import shown_name
    from directrix.models.steerable import SteerableModel

    path = Path(benchmark).expanduser()
    if path.suffix.lower() in own_prompts.ENDINGS:
        attributes = [attribute_set(each) for each in attribute or ()]
        seeing = (judge or [judge_for_model(shown_name(model.model or "emoji"))])[0]
        whole = own_prompts.own_prompts(path, attributes, seeing)
    else:
        refuse(attribute, "'--attribute' goes with a file of prompts.", "directrix evaluate FILE --attribute gender.")
        whole = benchmarks.load(benchmark, data)
    chosen = whole.part(kind or (), limit, split).measuring(measure or ())
    _refuse_models_of_a_file(benchmark, judge, chosen.judges)
    options.writable_folders(output)
    methods = _methods(method or ["none"])
    # What can be missing is looked for before the model, which takes longer.
    judges = named_judges(judge or chosen.judges, chosen)
    loaded = model.load()
    methods = {
        name: read_by_judge(SteerableModel.of(loaded), each) if isinstance(each, directrix.Policy) else each
        for name, each in methods.items()
    }
    for warning in warnings(judges, loaded):
        LOG.warning("Note: %s", warning)
    summary = directrix.evaluate(
        loaded,
        chosen,
        methods,
        judges,
        images_per_prompt or chosen.images,
        seed,
        output,
        reference=reference,
        overwrite=overwrite,
        **vars(drawing),
        progress=progress(),
    )
    say_what_is_missing(summary)
    figures = summary["methods"]
    metrics = dict.fromkeys(metric for found in figures.values() for metric in found)
    rows = [[metric, *(_cell(found.get(metric)) for found in figures.values())] for metric in metrics]
    return Result("\n".join([*aligned([["", *figures], *rows]), f"\n{output / 'summary.json'}"]), summary)


def _refuse_models_of_a_file(benchmark: str, judge: Sequence[str] | None, named: Sequence[str]) -> None:
    """Raises DirectrixError where a folder's own description, and nobody else, says which model or file to load."""
    loading = [each for each in named if ":" in each] if not judge and Path(benchmark).is_dir() else []
    happened = f"The benchmark in '{benchmark}' names the judge '{''.join(loading[:1])}', which is not loaded unasked."
    refuse(loading, happened, "a judge that you name.", " ".join(f"--judge {each}" for each in named))


def _methods(texts: Sequence[str]) -> dict[str, Any]:
    """Interventions by name; a name is what stands before "=", or the file's name without its ending."""
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, rest = text.partition("=")
        if not equals or Path(text).exists():
            name, rest = "", text
        name, method = _method(name.strip(), rest)
        refuse(name in found, f"Two methods are named '{name}'.", "a name for each.", f"--method NAME={rest}")
        found[name] = method
    return found


def _method(name: str, text: str) -> tuple[str, Any]:
    path = Path(text)
    if text == "none":
        return name or text, ()
    if path.suffix in (".yaml", ".yml"):
        return name or path.stem, options.load_policy(path)
    from directrix.directions import hub
    from directrix.interventions.steering import Steering

    path, strength = options.strength_of(text)
    there = path.exists() or path.suffix or hub.place(str(path))
    expected = "'none', a policy's YAML file, or FILE[:STRENGTH]."
    refuse(not there, f"There is no method '{text}'.", expected, "check the path.")
    stem = path.stem if strength is None else f"{path.stem} {strength:g}"
    return name or stem, Steering(options.strengths([(path, strength)]))


def _cell(figure: Mapping[str, Any] | None) -> str:
    mean = figure if figure is None or "value" in figure else figure.get("mean")
    return "-" if mean is None else f"{mean['value']:.3f} [{mean['low']:.3f}, {mean['high']:.3f}]"


@verb("report", "Every file is whole: old or new.")
def report(
    what: options.Word,
    files: Annotated[list[Path] | None, typer.Argument()] = None,
    output: options.OptionalOutput = None,
    results: Path | None = None,
    check: bool = False,
) -> Result:
    """Make the page of an evaluation, or write measured tables into Markdown files."""
    expected = "directrix report RUN, or directrix report tables FILE ..."
    if what == "tables":
        refuse(output, "'-o' goes with a run, not with 'tables'.", expected, "--help")
        return _tables(files or [Path("README.md")], results or Path("results"), check)
    refuse(files, "Several files go with 'tables', not with a run.", expected, "--help")
    refuse(check or results, "'--check' and '--results' go with 'tables'.", expected, "--help")
    options.writable_files(output)
    path = str(directrix.report(Path(what), output))
    return Result(path, {"page": path})


def _tables(files: list[Path], results: Path, check: bool) -> Result:
    """Writes the tables and lists the files that changed."""
    from directrix.experiments.tables import tables

    changed = [str(file) for file in tables(files, results, check=check)]
    word = "out of date" if check else "written"
    text = "\n".join(f"{word}: {file}" for file in changed) or "every table is up to date"
    failure = DirectrixError(
        f"{len(changed)} of {len(files)} files do not show what was measured last.",
        "tables as they are written from the results.",
        "the same command without --check.",
    )
    return Result(text, {word.replace(" ", "_"): changed}, failure=failure if check and changed else None)
