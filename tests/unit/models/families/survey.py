"""All pipeline classes of diffusers, and what steering each of them gives.

PYTHONPATH=tests python -m unit.models.families.survey [CLASS ...]    # prints the results
PYTHONPATH=tests python -m unit.models.families.survey --write        # writes docs/families.md
"""

from __future__ import annotations

import functools
import inspect
import re
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from directrix.errors import DirectrixError
from unit.models.families import parts, rows_more, rows_transformers, rows_unets, rows_videos
from unit.models.families.checks import Row, Survey, result

PAGE = Path(__file__).parents[4] / "docs/families.md"
BEGIN = "<!-- table classes: written by `python -m unit.models.families.survey --write` in tests -->\n"
END = "<!-- end of table -->\n"
HEADS = "| class | steering | why |", "| why not | classes |"
ROWS: dict[str, Row] = {**rows_unets.ROWS, **rows_transformers.ROWS, **rows_videos.ROWS, **rows_more.ROWS}
# Classes that draw another image than the one that was asked for, and why.
WRONG: dict[str, str] = {}
# Why some classes cannot be built here.
UNBUILT = {
    "needs sentencepiece": r"Kolors\w*",
    "needs torchvision": "OmniGenPipeline",
    "fails in this version of diffusers": "ChromaInpaintPipeline|I2VGenXLPipeline",
    "draws all steps at once": "StableDiffusionParadigmsPipeline",
}


def build(name: str) -> Any:
    """A tiny pipeline of this class."""
    import diffusers

    row, cls = ROWS[name], getattr(diffusers, name.split()[0])
    # Cleans text where it is installed; some pipelines cannot do without.
    vars(sys.modules[cls.__module__]).setdefault("ftfy", SimpleNamespace(fix_text=str))
    known = inspect.signature(cls.__init__).parameters
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        given: dict[str, Any] = {
            part: None for part, each in known.items() if each.default is each.empty and part != "self"
        }
        given |= {part: component for part, component in row.build().items() if part in known}
        return parts.ready(cls(**given | {part: make() for part, make in row.parts.items()}))


def surveyed(name: str) -> tuple[str, str]:
    """The result of a class (right, refused or wrong), and why."""
    pipeline = build(name)
    try:
        return result(list(Survey(pipeline, ROWS[name]).verdicts()))
    except DirectrixError as error:
        return "refused", error.happened


@functools.cache
def unbuilt() -> dict[str, str]:
    """All other pipeline classes of diffusers, and why each is not built."""
    import diffusers

    found = {}
    for name in dir(diffusers):
        cls = getattr(diffusers, name, None) if "Pipeline" in name and "Onnx" not in name else None
        if inspect.isclass(cls) and issubclass(cls, diffusers.DiffusionPipeline) and name not in ROWS:
            found[name] = _why_not(name, cls)
    del found["DiffusionPipeline"]
    return found


def _why_not(name: str, cls: Any) -> str:
    if re.search("Audio|Music|AceStep", name):
        return "draws sound"
    if "prompt" not in inspect.signature(cls.__call__).parameters:
        return "takes no prompt"
    if not {"unet", "transformer"} & set(inspect.signature(cls.__init__).parameters):
        return "has neither a `unet` nor a `transformer`"
    return next((why for why, pattern in UNBUILT.items() if re.fullmatch(pattern, name)), "not built yet")


def line(name: str, what: str, why: str) -> str:
    """The class's line of the table."""
    return f"| {name} | {what} | {WRONG.get(name, why) if what == 'wrong' else why} |".replace("|  |", "| |")


def others() -> list[str]:
    """The lines of the second table: what is not steered here, by reason."""
    why = unbuilt()
    reasons = sorted(set(why.values()), key=lambda reason: (reason == "not built yet", reason))
    return [f"| {reason} | {', '.join(name for name in why if why[name] == reason)} |" for reason in reasons]


def written() -> tuple[dict[str, str], list[str]]:
    """The lines that docs/families.md has: of each class, and those of the second table."""
    text = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    first, _, second = text.partition(HEADS[1])
    lines = [each for each in first.splitlines() if each.startswith("| ")]
    return {each.split(" | ")[0].removeprefix("| "): each for each in lines[1:]}, second.splitlines()[2:]


def write(results: dict[str, tuple[str, str]]) -> None:
    """Writes both tables; a class that was not surveyed now keeps its line."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    lines = written()[0] | {name: line(name, *each) for name, each in results.items()}
    tables = [HEADS[0], "|---|---|---|", *(lines[name] for name in ROWS if name in lines), ""]
    tables += [HEADS[1], "|---|---|", *others(), ""]
    PAGE.write_text(before + BEGIN + "\n".join(tables) + END + rest.partition(END)[2], encoding="utf-8")


def main(arguments: list[str]) -> None:
    """Surveys the classes that are named, or all."""
    import diffusers
    import transformers

    diffusers.logging.set_verbosity(50)
    transformers.logging.set_verbosity(50)
    results = {}
    for name in [each for each in arguments if not each.startswith("-")] or ROWS:
        try:
            results[name] = surveyed(name)
        except Exception as error:
            results[name] = "broken", f"{type(error).__name__}: {error}"
        print(f"{name:45} {': '.join(results[name])}", flush=True)
    if "--write" in arguments:
        write(results)


if __name__ == "__main__":
    main(sys.argv[1:])
