"""Directions in the format that the paper published: `unet.pth` beside `concept_dict.json`.

`unet.pth` is a torch state dict with one matrix of shape (C*H*W, n), a column a concept; `concept_dict.json` says
{name: column}. Neither says which model it is for: it is Stable Diffusion 1.4 at 512 x 512 pixels, whose mid block has
1280 x 8 x 8 activations. Given the pipeline, directions carry the fingerprint of its weights; without it they carry
that of the structure alone, and fit every model of the structure (Stable Diffusion 1.1 to 1.5 and their like).
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from directrix import __version__
from directrix.directions.direction import Direction
from directrix.errors import DirectionFileError
from directrix.models import file_kinds
from directrix.models.identity import ModelIdentity, Site
from directrix.models.steerable import SteerableModel
from directrix.reading import json_text, tensors
from directrix.reading.source import MEBIBYTE, Source

if TYPE_CHECKING:
    from torch import Tensor

CONCEPTS = "concept_dict.json"
MODEL = ModelIdentity(
    "CompVis/stable-diffusion-v1-4",
    "",
    # fingerprint.structure of its U-Net; the tests build it on the meta device and compare.
    "structure:95638fa0eb036211891798f393c1df65b0241fb91ac6c29bf438f7f9c8afa58e",
)
SITE = Site("mid_block", 1280)
SIZE = (8, 8)
WEIGHTS = 1024 * MEBIBYTE  # bytes of a published file at most


def import_published(
    weights: str | PathLike[str], concepts: str | PathLike[str] | None = None, pipeline: Any = None
) -> list[Direction]:
    """Reads every column of a published file as a direction.

    Args:
        weights: `unet.pth`. Only tensors are read from it; a pickle that holds anything else does not run.
        concepts: `concept_dict.json`; None for the file of that name beside `weights`.
        pipeline: the model that they were found with, whose fingerprint they then carry; None for the structure of
            Stable Diffusion 1.4.

    Returns:
        Directions of shape (C, H, W), float32, in the order of their columns. Their strength 1.0 is the paper's, not
        calibrated.

    Raises:
        DirectionFileError: a file is missing, damaged or of another form; it says which.
        DirectrixError: values that are not finite, or a pipeline without a mid block.
    """
    weights = Path(weights)
    identity, site, size = MODEL, SITE, SIZE
    if pipeline is not None:
        model = SteerableModel.of(pipeline)
        identity, site = model.identity, model.find_site()
        size = model.spatial_size(site, *model.facts.latent_shape[1:])
    matrix = _matrix(weights, (site.channels, *size), identity.name)
    columns = _columns(weights.with_name(CONCEPTS) if concepts is None else Path(concepts), matrix.shape[1])
    source = {
        "library": __version__,
        "file": weights.name,
        "file_sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "dtype": str(matrix.dtype).removeprefix("torch."),
    }
    return [
        Direction(
            name,
            matrix[:, column].reshape(site.channels, *size),
            site,
            identity,
            recipe={"method": "published", "column": column},
            provenance=source,
        )
        for name, column in columns.items()
    ]


def file_name(name: str) -> str:
    """The name of a direction's file: its own, with what a file name cannot hold replaced by "-"."""
    plain = re.sub(r"[^\w .+-]+", "-", name).strip(" .")
    return f"{plain or 'direction'}.safetensors"


def _matrix(path: Path, shape: tuple[int, ...], model: str) -> Tensor:
    """The one matrix (C*H*W, n) of the file."""
    state = _state(path)
    rows = math.prod(shape)
    wanted = f"one matrix ({rows}, n): {' x '.join(map(str, shape))} activations at the mid block of '{model}'."
    contents = ", ".join(f"{key} {tuple(each.shape)}" for key, each in list(state.items())[:4]) or "nothing"
    if len(state) != 1:
        _check_kind(path, file_kinds.described(path, state))
        raise _unlike(path, f"it holds {len(state)} tensors ({contents})", wanted)
    (matrix,) = state.values()
    if str(matrix.layout) != "torch.strided" or not matrix.is_floating_point() or matrix.is_quantized:
        raise _unlike(path, f"its tensor holds {matrix.dtype} values, {matrix.layout}", wanted)
    if matrix.ndim == 2 and matrix.shape[1] == rows != matrix.shape[0]:
        remedy = "save its transpose, if you know that its rows are in the order of channels, height, width."
        raise _unlike(path, f"its matrix lies on its side ({contents})", wanted, remedy)
    if matrix.ndim != 2 or matrix.shape[0] != rows or not matrix.shape[1]:
        raise _unlike(path, f"it holds {contents}", wanted, "the model it was found with, at its own image size.")
    return matrix


def _state(path: Path) -> Mapping[str, Tensor]:
    """Tensors by key; nothing in the file is run."""
    import torch

    wanted = "a torch state dict."
    if not path.is_file():
        expected = "the unet.pth of a published direction."
        raise DirectionFileError(f"There is no file '{path}'.", expected, "check the path.")
    _check_kind(path, file_kinds.recognised(path))
    remedy = "a copy from a place you trust, saved again with torch.save(model.state_dict(), ...)."
    source = Source(path, DirectionFileError, wanted, remedy, f"'{path}' is no published direction: it", WEIGHTS)
    state = tensors.of_torch(source)
    if isinstance(state, torch.Tensor):
        return {"(no key)": state}
    if not isinstance(state, Mapping) or not all(isinstance(each, torch.Tensor) for each in state.values()):
        raise _unlike(path, "it holds more than tensors", wanted)
    return state


def _check_kind(path: Path, kind: file_kinds.FileKind | None) -> None:
    """Raises DirectionFileError for another kind of file; it says which, and what to do with it."""
    if kind is not None and kind.what != file_kinds.TORCH.what:
        raise _unlike(path, f"it is {kind.what}", "the unet.pth of a published direction.", kind.remedy)


def _columns(path: Path, number: int) -> dict[str, int]:
    """Columns by name, in their order; every one of the matrix's `number` columns has one name."""

    def wrong(what: str) -> DirectionFileError:
        return DirectionFileError(
            f"'{path}' {what}.",
            f"a JSON object {{name: column}} with a name for each of the columns 0 to {number - 1}.",
            "mend the file, or name another with --concepts.",
        )

    if not path.is_file():
        raise DirectionFileError(
            f"There is no file '{path}', so the columns have no names.",
            f"a JSON file {{name: column}}, {CONCEPTS} beside the weights.",
            "--concepts FILE.",
        )
    remedy = "mend the file, or name another with --concepts."
    named = json_text.read(Source(path, DirectionFileError, "a JSON object {name: column}.", remedy))
    if not isinstance(named, dict):
        raise wrong("is not a JSON object")
    taken: dict[int, str] = {}
    files: dict[str, str] = {}
    for name, column in named.items():
        if not name.strip():
            raise wrong(f"gives column {column} an empty name")
        if isinstance(column, bool) or not isinstance(column, int) or not 0 <= column < number:
            raise wrong(f"gives '{name}' the column {column!r}")
        if taken.setdefault(column, name) != name:
            raise wrong(f"gives column {column} to both '{taken[column]}' and '{name}'")
        same = files.setdefault(file_name(name).lower(), name)
        if same != name:
            raise wrong(f"has the names '{same}' and '{name}', which make the same file name")
    missing = [str(column) for column in range(number) if column not in taken]
    if missing:
        raise wrong(f"has no name for column {', '.join(missing)}")
    return {taken[column]: column for column in sorted(taken)}


def _unlike(path: Path, why: str, expected: str, remedy: str = "copy or download it again.") -> DirectionFileError:
    return DirectionFileError(f"'{path}' is no published direction: {why}.", expected, remedy)
