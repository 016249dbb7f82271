"""Options that several verbs share, and the reading of their values."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any, NamedTuple

from directrix.errors import OutputError, StrengthError


class ConceptFile(NamedTuple):
    """A direction's file, here or on the hub (`direction_file` says where it lies), and the strength asked for it;
    None is the default that the file holds.
    """

    path: Path
    strength: float | None


def add_model(
    parser: argparse.ArgumentParser, default: str | None = "emoji", otherwise: str = "the one that the file names"
) -> None:
    """Add --model, --device and --dtype; `otherwise` says which model it is without a default."""
    group = parser.add_argument_group("model")
    group.add_argument(
        "--model",
        default=default,
        metavar="NAME",
        help="'emoji' (in the package), a diffusers folder, or a hub name such as "
        "CompVis/stable-diffusion-v1-4"
        f" (default: {default or otherwise})",
    )
    group.add_argument("--device", metavar="NAME", help="as PyTorch names it (default: the fastest here)")
    group.add_argument(
        "--dtype", choices=("float32", "float16", "bfloat16"), help="precision of the weights (default: float32)"
    )


def load_model(arguments: argparse.Namespace) -> Any:
    """Load the pipeline that --model, --device and --dtype name."""
    import torch

    from directrix import models

    dtype = getattr(torch, arguments.dtype) if arguments.dtype else None
    return models.load(arguments.model, arguments.device, dtype)


def add_direction(parser: argparse.ArgumentParser, **more: Any) -> None:
    """Add FILE, which is read with `direction_file`."""
    parser.add_argument(
        "files" if more else "file",
        metavar="FILE",
        help="a file written by `directrix discover`, or OWNER/NAME[@REVISION] on the hub",
        **more,
    )


def direction_file(text: str | Path) -> Path:
    """The direction's file that a path, or OWNER/NAME[@REVISION] on the hub, means. Raises HubError."""
    from directrix.directions import hub

    return hub.locate(text)


def add_size(parser: argparse._ActionsContainer) -> None:
    """Add --height and --width, of images."""
    for side in ("height", "width"):
        parser.add_argument(
            f"--{side}", type=positive_int, metavar="PIXELS", help="of the images (default: the model's)"
        )


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add --json."""
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")


def positive_int(text: str) -> int:
    """Read a whole number of 1 or more; argparse reports anything else."""
    return _at_least(1, text)


def whole_number(text: str) -> int:
    """Read a whole number of 0 or more, such as a seed; argparse reports anything else."""
    return _at_least(0, text)


def _at_least(least: int, text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of {least} or more")
    return value


def positive_float(text: str) -> float:
    """Read a finite number above 0; argparse reports anything else."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def share(text: str) -> float:
    """Read a number from 0 to 1; argparse reports anything else."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return value


def concept_file(text: str) -> ConceptFile:
    """Read FILE[:STRENGTH]; a colon in the name of a file that exists is its own. Raises StrengthError."""
    head, colon, tail = text.rpartition(":")
    if not colon or Path(text).exists():
        return ConceptFile(Path(text), None)
    # C:\woman.safetensors has a colon and no strength.
    if len(head) == 1 and tail.startswith(("\\", "/")):
        return ConceptFile(Path(text), None)
    try:
        strength = float(tail)
    except ValueError:
        raise StrengthError(
            f"The strength {tail!r} in {text!r} is not a number.",
            "FILE or FILE:STRENGTH.",
            f"use {head}:1.0 for the calibrated effect, or leave the strength out for the file's default.",
        ) from None
    return ConceptFile(Path(head), strength)


def writable_file(path: Path) -> Path:
    """Return `path` after making its folder; raise OutputError where a file cannot be written there."""
    if path.is_dir():
        raise OutputError(f"{path} is a folder.", "a file name.", f"use -o {path / 'name.safetensors'}.")
    folder = writable_folder(path.parent)
    if path.exists() and not os.access(path, os.W_OK):
        raise OutputError(f"{path} cannot be written.", "a file of yours.", "choose another name with -o.")
    return folder / path.name


def writable_folder(path: Path) -> Path:
    """Return `path` after making the folder; raise OutputError where that, or writing a file in it, fails."""
    from directrix.generation import manifest

    manifest.writable(path)
    return path
