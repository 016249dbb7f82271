"""Options that several verbs share, as types of their parameters; how their values are read, and files written."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

import directrix
from directrix import checks
from directrix.cli.app import LOG
from directrix.errors import ConceptError, OutputError, StrengthError

if TYPE_CHECKING:
    from PIL.Image import Image

# No count of images, steps or repeats makes sense beyond these, nor a side or a batch.
MOST, MOST_STEPS, MOST_PIXELS, MOST_IN_BATCH, MOST_SEED = 1_000_000, 1000, 16_384, 4096, 2**63 - 1


def _positive(param: typer.CallbackParam, value: float | None) -> float | None:
    return None if value is None else checks.number(f"'{param.opts[0]}'", value, above=0)


def _fraction(param: typer.CallbackParam, value: float) -> float:
    return checks.fraction(f"'{param.opts[0]}'", value)


def _finite(param: typer.CallbackParam, value: float | None) -> float | None:
    return None if value is None else checks.number(f"'{param.opts[0]}'", value)


def option(text: str | None = None, *names: str, least: int | None = None, most: int | None = MOST, **more: Any) -> Any:
    """What typer makes an option of, but for its name; `least` and `most` are of whole numbers."""
    bounds = {} if least is None else {"min": least, "max": most}
    return typer.Option(*names, help=text, **bounds, **more)


# Kinds, without a help of their own.
Precision = Literal["float32", "float16", "bfloat16"]
Count = Annotated[int, option(least=1)]
OptionalCount = Annotated[int | None, option(least=1)]
Fraction = Annotated[float, option(callback=_fraction)]
Word = Annotated[str, typer.Argument()]
Output = Annotated[Path, option(None, "--output", "-o")]
OptionalOutput = Annotated[Path | None, option(None, "--output", "-o")]

# Options that mean the same in every verb.
_N = ("--images-per-prompt", "-n")
_JUDGE = "emoji, emoji-held-out, clip[:CHECKPOINT], nudenet[:FILE], q16:FILE or hf:OWNER/NAME"
_MODEL = (
    "'emoji', 'emoji-sd3' (in the package), a diffusers folder, a whole model in one safetensors file, or a hub name: "
    "CompVis/stable-diffusion-v1-4."
)
_CONFIG = "For a model in one file: a diffusers folder or hub name with its settings. Default: the one diffusers knows."
DirectionFile = Annotated[
    str, typer.Argument(metavar="FILE", help="A file that `directrix discover` wrote, or OWNER/NAME[@REVISION].")
]
Device = Annotated[str | None, option("As PyTorch names it. Default: the fastest here.", metavar="NAME")]
ImagesPerPrompt = Annotated[int, option("Images of each prompt.", *_N, least=1)]
OptionalImagesPerPrompt = Annotated[int | None, option("Images of each prompt. Default: the run's own.", *_N, least=1)]
Seed = Annotated[
    int, option("The same seed gives the same result; each image has its own from it.", least=0, most=MOST_SEED)
]
Steps = Annotated[int | None, option("Denoising steps. Default: the model's.", least=1, most=MOST_STEPS)]
BatchSize = Annotated[int, option("Images drawn at a time.", least=1, most=MOST_IN_BATCH)]
Side = Annotated[int | None, option("Of the images, in pixels. Default: the model's.", least=1, most=MOST_PIXELS)]
TrainingImages = Annotated[int | None, option("Images to learn from. Default: the method's.", least=1)]
OptimizerSteps = Annotated[int | None, option("Steps of the optimizer. Default: the method's.", least=1)]
LearningRate = Annotated[float | None, option("Of the optimizer. Default: the model's.", callback=_positive)]
_METHOD = "embedding, difference, trajectory, distillation or reconstruction (the paper's)."
Method = Annotated[str, option(_METHOD, metavar="NAME")]
OptionalMethod = Annotated[
    str | None,
    option(
        f"{_METHOD} Default: embedding, or difference where a site or training images are asked for.", metavar="NAME"
    ),
]
Judge = Annotated[str | None, option(f"{_JUDGE}. Default: one that can see the concept.", metavar="JUDGE")]
Judges = Annotated[
    list[str] | None, option(f"{_JUDGE}; several times. Default: those of the benchmark.", metavar="JUDGE")
]
Target = Annotated[list[str] | None, option("The concept in words: 'a woman'.", metavar="PROMPT")]
Neutral = Annotated[list[str] | None, option("The same without it: 'a person'.", metavar="PROMPT")]
Data = Annotated[
    str | None, option("Prompts, where none are shipped: FILE.csv or OWNER/NAME[:FILE.csv].", metavar="TABLE")
]
Limit = Annotated[int | None, option("At most so many prompts, at even distances.", least=1)]


@dataclass(frozen=True)
class Model:
    """A pipeline to load; `model` None stands for what the verb makes of it."""

    model: Annotated[str | None, option(_MODEL, metavar="NAME")] = "emoji"
    device: Device = None
    dtype: Annotated[Precision | None, option("Precision of the weights. Default: float32.")] = None
    config: Annotated[str | None, option(_CONFIG, metavar="NAME")] = None
    lora: Annotated[
        list[str] | None, option("A LoRA and its scale (default: 1); several times.", metavar="FILE[:SCALE]")
    ] = None

    def load(self, otherwise: str = "") -> directrix.SteerableModel:
        """The model, or the one called `otherwise` where none is named."""
        import torch

        dtype = getattr(torch, self.dtype) if self.dtype else None
        files = dict(map(strength_of, self.lora or ()))
        loras = {file: 1.0 if scale is None else scale for file, scale in files.items()}
        name = self.model or otherwise
        return directrix.SteerableModel.of(
            directrix.load(name, self.device, dtype, config=self.config, loras=loras)  # pyright: ignore
        )


@dataclass(frozen=True)
class Drawing:
    """How images are drawn, as arguments of the library's functions."""

    num_inference_steps: Steps = None
    guidance_scale: Annotated[
        float | None, option("Of classifier-free guidance. Default: the model's.", callback=_finite)
    ] = None
    batch_size: BatchSize = 8


Overwrite = Annotated[bool, option("Draw anew what the folder has of other settings; without it, that is refused.")]
EMOJI, UNNAMED, DRAWING = Model(), Model(None), Drawing()


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


def strengths(files: Iterable[tuple[Path, float | None]]) -> dict[directrix.Direction, float]:
    """The directions of files with their strengths, as `strength_of` reads them."""
    found = [(directrix.Direction.from_pretrained(path), strength) for path, strength in files]
    warn_uncalibrated(each for each, _ in found)
    return {each: each.strengths.default if strength is None else strength for each, strength in found}


def calibrated(direction: directrix.Direction) -> bool:
    """Whether what a strength of the direction does was measured."""
    from directrix.directions.card import calibration

    return calibration(direction.header) is not None


def warn_uncalibrated(directions: Iterable[directrix.Direction]) -> None:
    """Notes which directions were not calibrated: an interrupted calibration, or none."""
    names = list(dict.fromkeys(each.name for each in directions if not calibrated(each)))
    if names:
        was = "was" if len(names) == 1 else "were"
        LOG.warning("Note: %s %s not calibrated, so what a strength does was not measured.", ", ".join(names), was)


def load_policy(path: Path) -> directrix.Policy:
    """The policy of a file; notes which of the directions that it spreads were not calibrated."""
    policy = directrix.Policy.load(path)
    effects = (effect for each in (policy.fair.balances if policy.fair else ()) for effect in each.effects.values())
    warn_uncalibrated(each for effect in effects for each in effect)
    return policy


def prompts_of(prompts: Iterable[str] | None, file: Path | None) -> list[str]:
    """Prompts of the command line and those of a file, which may have none.

    Raises ConceptError for an empty prompt, for the name of a file in place of a prompt, and where there is none.
    """
    found = list(prompts or ())
    for text in found:
        if Path(text).suffix.lower() in (".csv", ".txt", ".tsv") and Path(text).is_file():
            happened = f"The prompt '{text}' is the name of a file."
            raise ConceptError(happened, "words of a prompt.", f"did you mean '--prompts {text}'?")
    if file is not None:
        from directrix.measurement.benchmarks.prompts import listed

        found += [row.prompt for row in listed(file)]
    if not found or not all(map(str.strip, found)):
        happened = "A prompt is empty." if found else "There is no prompt."
        raise ConceptError(happened, "at least one word.", '--prompt "a firefighter", or --prompts FILE.')
    return found


def writable_files(*paths: Path | None) -> None:
    """Makes the files' folders; raises OutputError where a file cannot be written."""
    for path in filter(None, paths):
        if path.is_dir():
            raise OutputError(f"{path} is a folder.", "a file name.", f"use -o {path / 'name.safetensors'}.")
        writable_folders(path.parent)
        if path.exists() and not os.access(path, os.W_OK):
            raise OutputError(f"{path} cannot be written.", "a file of yours.", "choose another name with -o.")


def writable_folders(*paths: Path) -> None:
    """Makes the folders; raises OutputError where that, or writing a file in one of them, fails."""
    from directrix.generation import manifest

    for path in paths:
        manifest.writable(path)


def write_png(image: Image, path: Path, **settings: Any) -> None:
    """Writes an image, whole or not at all."""
    from directrix.models.files import write_atomically

    file = io.BytesIO()
    image.save(file, "PNG", **settings)
    write_atomically(path, file.getvalue())
