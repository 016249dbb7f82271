"""Directions in the format that the paper published: `unet.pth` beside `concept_dict.json`.

`unet.pth` is a torch state dict with one matrix of shape (C*H*W, n), a column a concept; `concept_dict.json` says
{name: column}. The authors' training writes 100 columns, of which the dictionary names a few; the others hold nothing
but noise, and are left out. A dictionary or a list of tensors, one a concept, is read like columns.

Neither says which model it is for: it is Stable Diffusion 1.4 at 512 x 512 pixels, whose mid block has
1280 x 8 x 8 activations. Given the pipeline, directions carry the fingerprint of its weights; without it they carry
that of the structure alone, and fit every model of the structure (Stable Diffusion 1.1 to 1.5 and their like).
"""

from __future__ import annotations

import hashlib
import math
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
from directrix.reading.names import file_stem
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
_NAMES = "mend the file, or name another with --concepts."
WEIGHTS = 1024 * MEBIBYTE  # bytes of a published file at most


def import_published(
    weights: str | PathLike[str], concepts: str | PathLike[str] | None = None, pipeline: Any = None
) -> list[Direction]:
    """Reads every named column of a published file as a direction.

    Args:
        weights: `unet.pth`. Only tensors are read from it; a pickle that holds anything else does not run.
        concepts: `concept_dict.json`; None for the file of that name beside `weights`, or, where there is none, for the
            keys of a dictionary of several tensors.
        pipeline: the model that they were found with, whose fingerprint they then carry; None for the structure of
            Stable Diffusion 1.4.

    Returns:
        Directions of shape (C, H, W), float32, in the order of their columns. Their strength 1.0 is the paper's, not
        calibrated. `provenance["unnamed_columns"]` is the number of columns that were left out.

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
    keys, matrix = _matrix(weights, (site.channels, *size), identity.name)
    beside = weights.with_name(CONCEPTS) if concepts is None else Path(concepts)
    if concepts is None and len(keys) > 1 and not beside.is_file():
        columns = _checked(weights, {name: column for column, name in enumerate(keys)}, len(keys))
    else:
        columns = _columns(beside, matrix.shape[1])
    source = {
        "library": __version__,
        "file": weights.name,
        "file_sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "dtype": str(matrix.dtype).removeprefix("torch."),
        "unnamed_columns": matrix.shape[1] - len(columns),
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
    return f"{file_stem(name)}.safetensors"


def _matrix(path: Path, shape: tuple[int, ...], model: str) -> tuple[list[str], Tensor]:
    """The keys of the file's tensors, and one matrix (C*H*W, n) of the one that is it, or of all, a column each."""
    import torch

    state = _state(path)
    rows = math.prod(shape)
    wanted = f"one matrix ({rows}, n): {' x '.join(map(str, shape))} activations at the mid block of '{model}'."
    contents = ", ".join(f"{key} {tuple(each.shape)}" for key, each in list(state.items())[:4]) or "nothing"
    single = [tuple(each.shape) in ((rows,), (rows, 1), shape, (1, *shape)) for each in state.values()]
    if not state or (len(state) > 1 and not all(single)):
        _check_kind(path, file_kinds.described(path, state))
        raise _unlike(path, f"it holds {len(state)} tensors ({contents})", wanted)
    for each in state.values():
        if str(each.layout) != "torch.strided" or not each.is_floating_point() or each.is_quantized:
            raise _unlike(path, f"its tensor holds {each.dtype} values, {each.layout}", wanted)
    if all(single):
        return list(map(str, state)), torch.stack([each.flatten() for each in state.values()], dim=1)
    (matrix,) = state.values()
    if matrix.ndim == 2 and matrix.shape[1] == rows != matrix.shape[0]:
        remedy = "save its transpose, if you know that its rows are in the order of channels, height, width."
        raise _unlike(path, f"its matrix lies on its side ({contents})", wanted, remedy)
    if matrix.ndim != 2 or matrix.shape[0] != rows or not matrix.shape[1]:
        raise _unlike(path, f"it holds {contents}", wanted, "the model it was found with, at its own image size.")
    return list(map(str, state)), matrix


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
    if isinstance(state, list | tuple):
        state = {f"tensor {place}": each for place, each in enumerate(state)}
    while isinstance(state, Mapping) and isinstance(state.get("state_dict"), Mapping):
        state = state["state_dict"]
    if not isinstance(state, Mapping) or not all(isinstance(each, torch.Tensor) for each in state.values()):
        raise _unlike(path, "it holds more than tensors", wanted)
    return state


def _check_kind(path: Path, kind: file_kinds.FileKind | None) -> None:
    """Raises DirectionFileError for another kind of file; it says which, and what to do with it."""
    if kind is not None and kind.what != file_kinds.TORCH.what:
        raise _unlike(path, f"it is {kind.what}", "the unet.pth of a published direction.", kind.remedy)


def _columns(path: Path, number: int) -> dict[str, int]:
    """Columns by name, in their order, as the file names them; see `_checked`."""
    if not path.is_file():
        raise DirectionFileError(
            f"There is no file '{path}', so the columns have no names.",
            f"a JSON file {{name: column}}, {CONCEPTS} beside the weights.",
            "--concepts FILE.",
        )
    source = Source(path, DirectionFileError, "a JSON object {name: column}.", _NAMES)
    return _checked(path, json_text.read(source), number)


def _checked(path: Path, named: Any, number: int) -> dict[str, int]:
    """Columns by name, in their order: no column has two names, and at least one of the `number` has one."""

    def wrong(what: str) -> DirectionFileError:
        expected = f"a JSON object {{name: column}} with names for some of the columns 0 to {number - 1}."
        return DirectionFileError(f"'{path}' {what}.", expected, _NAMES)

    if not isinstance(named, dict):
        raise wrong("is not a JSON object")
    if not named:
        raise wrong("names no column")
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
    return {taken[column]: column for column in sorted(taken)}


def _unlike(path: Path, why: str, expected: str, remedy: str = "copy or download it again.") -> DirectionFileError:
    return DirectionFileError(f"'{path}' is no published direction: {why}.", expected, remedy)
