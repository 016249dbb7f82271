"""Options that several verbs share, as types of their parameters, and the reading of their values."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import typer

from directrix import checks
from directrix.errors import OutputError, StrengthError

if TYPE_CHECKING:
    from directrix.directions.direction import Direction
    from directrix.models import SteerableModel

OptionalPath = TypeVar("OptionalPath", Path, Path | None)


def _positive(param: typer.CallbackParam, value: float | None) -> float | None:
    return None if value is None else checks.number(f"'{param.opts[0]}'", value, above=0)


def _fraction(param: typer.CallbackParam, value: float) -> float:
    return checks.fraction(f"'{param.opts[0]}'", value)


def _option(text: str, *names: str, least: int | None = None, **more: Any) -> Any:
    return typer.Option(*names, help=text, min=least, **more)


# Kinds, without a help of their own.
Precision = Literal["float32", "float16", "bfloat16"]
Count = Annotated[int, typer.Option(min=1)]
OptionalCount = Annotated[int | None, typer.Option(min=1)]
CountOrNone = Annotated[int, typer.Option(min=0)]
Fraction = Annotated[float, typer.Option(callback=_fraction)]
Word = Annotated[str, typer.Argument()]
Output = Annotated[Path, typer.Option("--output", "-o")]
OptionalOutput = Annotated[Path | None, typer.Option("--output", "-o")]

# Options that mean the same in every verb.
_N = ("--images-per-prompt", "-n")
_JUDGE = "emoji, clip[:CHECKPOINT], nudenet[:FILE], q16:FILE or hf:OWNER/NAME"
_MODEL = "'emoji' (in the package), a diffusers folder, or a hub name such as CompVis/stable-diffusion-v1-4."
DirectionFile = Annotated[
    str, typer.Argument(metavar="FILE", help="A file that `directrix discover` wrote, or OWNER/NAME[@REVISION].")
]
Device = Annotated[str | None, _option("As PyTorch names it. Default: the fastest here.", metavar="NAME")]
ImagesPerPrompt = Annotated[int, _option("Images of each prompt.", *_N, least=1)]
OptionalImagesPerPrompt = Annotated[int | None, _option("Images of each prompt. Default: the run's own.", *_N, least=1)]
Seed = Annotated[int, _option("The same seed gives the same result; each image has its own from it.", least=0)]
Steps = Annotated[int | None, _option("Denoising steps. Default: the model's.", least=1)]
BatchSize = Annotated[int, _option("Images drawn at a time.", least=1)]
Side = Annotated[int | None, _option("Of the images, in pixels. Default: the model's.", least=1)]
TrainingImages = Annotated[int | None, _option("Images to learn from. Default: the method's.", least=1)]
OptimizerSteps = Annotated[int | None, _option("Steps of the optimizer. Default: the method's.", least=1)]
LearningRate = Annotated[float | None, _option("Of the optimizer. Default: the model's.", callback=_positive)]
Method = Annotated[
    str, _option("difference, trajectory, distillation or reconstruction (the paper's).", metavar="NAME")
]
Judge = Annotated[str | None, _option(f"{_JUDGE}. Default: one that can see the concept.", metavar="JUDGE")]
Judges = Annotated[
    list[str] | None, _option(f"{_JUDGE}; several times. Default: those of the benchmark.", metavar="JUDGE")
]
Target = Annotated[list[str] | None, _option("The concept in words: 'a woman'.", metavar="PROMPT")]
Neutral = Annotated[list[str] | None, _option("The same without it: 'a person'.", metavar="PROMPT")]
Data = Annotated[
    str | None, _option("Prompts, where none are shipped: FILE.csv or OWNER/NAME[:FILE.csv].", metavar="TABLE")
]
Limit = Annotated[int | None, _option("At most so many prompts, at even distances.", least=1)]


@dataclass(frozen=True)
class Model:
    """A pipeline to load; `model` None stands for what the verb makes of it."""

    model: Annotated[str | None, _option(_MODEL, metavar="NAME")] = "emoji"
    device: Device = None
    dtype: Annotated[Precision | None, _option("Precision of the weights. Default: float32.")] = None

    def load(self, otherwise: str = "") -> SteerableModel:
        """The model, or the one called `otherwise` where none is named."""
        import torch

        from directrix import models

        dtype = getattr(torch, self.dtype) if self.dtype else None
        return models.SteerableModel.of(models.load(self.model or otherwise, self.device, dtype))


@dataclass(frozen=True)
class Drawing:
    """How images are drawn, as arguments of the library's functions."""

    num_inference_steps: Steps = None
    guidance_scale: Annotated[float | None, _option("Of classifier-free guidance. Default: the model's.")] = None
    batch_size: BatchSize = 8


EMOJI, UNNAMED, DRAWING = Model(), Model(None), Drawing()


def direction_file(text: str | Path) -> Path:
    """The direction's file that a path, or OWNER/NAME[@REVISION] on the hub, means. Raises HubError."""
    from directrix.directions import hub

    return hub.locate(text)


def strength_of(text: str) -> tuple[Path, float | None]:
    """Reads FILE[:STRENGTH]: a direction's file, here or on the hub, and its strength; None for the file's own.

    A colon in the name of a file that exists belongs to it. Raises StrengthError.
    """
    head, colon, tail = text.rpartition(":")
    # C:\woman.safetensors has a colon and no strength.
    drive = len(head) == 1 and tail.startswith(("\\", "/"))
    if not colon or drive or Path(text).exists():
        return Path(text), None
    try:
        return Path(head), float(tail)
    except ValueError:
        raise StrengthError(
            f"The strength {tail!r} in {text!r} is not a number.",
            "FILE or FILE:STRENGTH.",
            f"use {head}:1.0 for the calibrated effect, or leave the strength out for the file's default.",
        ) from None


def strengths(files: Iterable[tuple[Path, float | None]]) -> dict[Direction, float]:
    """The directions of files with their strengths, as `strength_of` reads them."""
    from directrix.directions.direction import Direction

    found = ((Direction.load(direction_file(path)), strength) for path, strength in files)
    return {each: each.strengths.default if strength is None else strength for each, strength in found}


def writable_file(path: OptionalPath) -> OptionalPath:
    """Returns `path` after making its folder; raises OutputError where a file cannot be written there."""
    if path is None:
        return path
    if path.is_dir():
        raise OutputError(f"{path} is a folder.", "a file name.", f"use -o {path / 'name.safetensors'}.")
    folder = writable_folder(path.parent)
    if path.exists() and not os.access(path, os.W_OK):
        raise OutputError(f"{path} cannot be written.", "a file of yours.", "choose another name with -o.")
    return folder / path.name


def writable_folder(path: Path) -> Path:
    """Returns `path` after making the folder; raises OutputError where that, or writing a file in it, fails."""
    from directrix.generation import manifest

    manifest.writable(path)
    return path
