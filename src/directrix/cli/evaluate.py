"""`directrix evaluate`: methods on a benchmark, from images to figures with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from directrix.cli import options, terminal
from directrix.cli.app import Result, verb
from directrix.errors import DirectrixError


@verb(
    "evaluate",
    "Run the same command again: what is there stays.",
    "example: directrix evaluate emoji-occupations --method none --method fair=policy.yaml -n 10 -o run",
)
def evaluate(
    benchmark: options.Word,
    output: options.Output,
    method: list[str] | None = None,
    judge: options.Judges = None,
    images_per_prompt: options.OptionalImagesPerPrompt = None,
    seed: options.Seed = 0,
    data: options.Data = None,
    kind: list[str] | None = None,
    measure: list[str] | None = None,
    limit: options.Limit = None,
    reference: str | None = None,
    drawing: options.Drawing = options.DRAWING,
    model: options.Model = options.EMOJI,
) -> Result:
    """Draw a benchmark's prompts by several methods, judge and measure.

    Every method draws the same seeds, and every image is judged once. RUN/summary.json gets figures with 95 %
    intervals. An interrupted run goes on with what is missing. `directrix benchmarks` lists the benchmarks, `directrix
    report RUN` makes a page of the figures.

    Args:
        benchmark (BENCHMARK): Its name, or a folder with benchmark.yaml.
        output (RUN): Folder of the run.
        method ([NAME=]METHOD): 'none', a policy's YAML file, or a direction's FILE[:STRENGTH]; several times.
            Differences are those to the first one; name 'none' to compare the others with it seed by seed. Default:
            none.
        kind (KIND): Only that kind of prompts; several times.
        measure (MEASURE): fairness, harm, obedience, quality or preservation; several times. Default: the benchmark's.
        reference (DIR): Images for FID and KID. Default: the unsteered model's, with the next seed.
    """
    from directrix.measurement import benchmarks

    chosen = benchmarks.load(benchmark, data).part(kind or (), limit).measuring(measure or ())
    options.writable_folder(output)
    methods = _methods(method or ["none"])

    from directrix.measurement.evaluation import evaluate, named_judges

    summary = evaluate(
        model.load(),
        chosen,
        methods,
        named_judges(judge or [chosen.judge], chosen),
        images_per_prompt or chosen.images,
        seed,
        output,
        reference=reference,
        **vars(drawing),
        progress=terminal.progress(),
    )
    terminal.say_what_is_missing(summary)
    return Result("\n".join([*_table(summary), f"\n{output / 'summary.json'}"]), summary)


def _methods(texts: Sequence[str]) -> dict[str, Any]:
    """Interventions by name; a name is what stands before "=", or the file's name without its ending."""
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, rest = text.partition("=")
        if not equals or Path(text).exists():
            name, rest = "", text
        name, method = _method(name.strip(), rest)
        if name in found:
            raise DirectrixError(f"Two methods are named '{name}'.", "a name for each.", f"--method NAME={rest}")
        found[name] = method
    return found


def _method(name: str, text: str) -> tuple[str, Any]:
    if text == "none":
        return name or text, ()
    path = Path(text)
    if path.suffix in (".yaml", ".yml"):
        from directrix.policies.policy import Policy

        return name or path.stem, Policy.load(path)
    path, strength = options.strength_of(text)
    from directrix.directions import hub

    if not path.exists() and not path.suffix and hub.place(str(path)) is None:
        raise DirectrixError(
            f"There is no method '{text}'.", "'none', a policy's YAML file, or FILE[:STRENGTH].", "check the path."
        )
    from directrix.interventions.steering import Steering

    stem = path.stem if strength is None else f"{path.stem} {strength:g}"
    return name or stem, Steering(options.strengths([(path, strength)]))


def _table(summary: Mapping[str, Any]) -> list[str]:
    """The means of all metrics, a line each, methods side by side."""
    methods = list(summary["methods"])
    metrics = list(dict.fromkeys(metric for figures in summary["methods"].values() for metric in figures))
    cells = {metric: [_cell(summary["methods"][method].get(metric)) for method in methods] for metric in metrics}
    wide = max(map(len, metrics), default=0)
    columns = [max(len(name), *(len(row[place]) for row in cells.values()), 0) for place, name in enumerate(methods)]
    head = " " * wide + "".join(f"  {name:>{columns[place]}}" for place, name in enumerate(methods))
    return [head] + [
        f"{metric:{wide}}" + "".join(f"  {text:>{columns[place]}}" for place, text in enumerate(row))
        for metric, row in cells.items()
    ]


def _cell(figure: Mapping[str, Any] | None) -> str:
    mean = figure if figure is None or "value" in figure else figure.get("mean")
    return "-" if mean is None else f"{mean['value']:.3f} [{mean['low']:.3f}, {mean['high']:.3f}]"
