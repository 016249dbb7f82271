"""One direction, one safetensors file: a tensor for each part, and a header that says everything else.

The file holds float32 tensors, "direction" for the first part and "direction.1", ... for others, and, in the metadata,
the key "directrix": JSON with the format's version and the header. A single plain part is written as format 1, which
earlier versions of the library read; several parts, weights, token maps and vector sites are format 2. An affine part
(format 3) has two more tensors, "direction.basis" and "direction.covectors". A part of the unconditional branch of
guidance makes it format 4. Reading checks all of it; nothing is ever unpickled.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from directrix import __version__
from directrix.checks import validated, whole_number
from directrix.directions.header import Header, PartHeader
from directrix.errors import DirectionFileError, DirectrixError
from directrix.models import file_kinds
from directrix.reading import json_text
from directrix.reading import tensors as stored_tensors
from directrix.reading.source import MEBIBYTE, Source

if TYPE_CHECKING:
    from torch import Tensor

    from directrix.directions.part import Part

FORMAT_VERSION = 4
METADATA_KEY = "directrix"
TENSOR_KEY = "direction"
# The format from which on a part has this key.
_FIRST_FORMAT = {"projection": 3, "branch": 4}


def encode(header: Header, parts: Sequence[Part]) -> bytes:
    """What the file of a direction holds; parts: the header's, with their tensors.

    Raises:
        DirectionFileError: recipe or provenance hold values that JSON cannot.
    """
    from safetensors.torch import save

    first, form = header.parts[0], _format(header.parts)
    place: dict[str, Any] = {"parts": [asdict(each) for each in header.parts]}
    if form == 1:
        place = {"shape": first.shape, "sha256": first.sha256, "site": asdict(first.site)}
    tensors: dict[str, Tensor] = {}
    for number, (each, part) in enumerate(zip(header.parts, parts, strict=True)):
        known = part.projection
        own = () if known is None else (known.basis, known.covectors)
        tensors |= zip(_keys(number, each), (part.tensor, *own), strict=True)
    # As earlier versions of the library wrote them.
    for each in place.get("parts", ()):
        for key in [key for key, first in _FIRST_FORMAT.items() if form < first]:
            del each[key]
    described = {
        "format": form,
        "library": __version__,
        "name": header.name,
        **place,
        "model": asdict(header.model),
        "recipe": header.recipe,
        "strengths": asdict(header.strengths),
        "provenance": header.provenance,
    }
    try:
        text = json.dumps(described, allow_nan=False, ensure_ascii=False)
        text.encode()  # a lone surrogate is valid text to Python, but not to any file
    except (TypeError, ValueError) as error:
        raise DirectionFileError(
            f"The recipe or provenance of '{header.name}' cannot be stored: {error}.",
            "text, finite numbers, lists and dictionaries only.",
        ) from error
    return save(tensors, metadata={METADATA_KEY: text})


def _format(parts: Sequence[PartHeader]) -> int:
    """The first format that can hold these."""
    if not all(each.is_conditional for each in parts):
        return _FIRST_FORMAT["branch"]
    if any(each.projection for each in parts):
        return _FIRST_FORMAT["projection"]
    return 1 if len(parts) == 1 and parts[0].plain else 2


def _keys(place: int, part: PartHeader) -> list[str]:
    """The names of a part's tensors: its own, and those of its projection."""
    key = f"{TENSOR_KEY}.{place}" if place else TENSOR_KEY
    return [key] if part.projection is None else [key, f"{key}.basis", f"{key}.covectors"]


def read(path: str | PathLike[str]) -> tuple[Header, list[list[Tensor]]]:
    """The header, and each part's tensors as they were encoded: its own, then a projection's basis and covectors.

    Whether their values are the header's is left to the caller.

    Raises:
        DirectionFileError: missing, truncated, foreign, of a newer format, or with a header that makes no sense.
    """
    path = Path(path)
    if not path.is_file():
        kind = "is a folder" if path.is_dir() else "does not exist"
        wanted = "a file that `directrix discover` wrote."
        raise DirectionFileError(f"The direction file '{path}' {kind}.", wanted, "check the path.")
    check_kind(path)
    metadata, tensors = stored_tensors.read(_source(path))
    text, names = metadata.get(METADATA_KEY), list(tensors)
    if text is None:
        contents = ", ".join(names[:3] + ["..."] * (len(names) > 3)) or "no tensors"
        raise DirectionFileError(
            f"'{path}' is a safetensors file, but not a direction (it holds {contents}).",
            f"a file with '{METADATA_KEY}' metadata.",
            "a file that `directrix discover` or Direction.save wrote.",
        )
    header = _header(path, text)
    found: list[list[Tensor]] = []
    for place, part in enumerate(header.parts):
        own: list[Tensor] = []
        for key in _keys(place, part):
            tensor = tensors.get(key)
            if tensor is None:
                refuse(path, f"it holds no tensor '{key}'")
            if not tensor.is_floating_point():
                refuse(path, f"its tensor holds {tensor.dtype} values")
            # A projection's have a row for each offset.
            rows = [len(part.projection.offsets)] if own and part.projection is not None else []
            if list(tensor.shape) != [*rows, *part.shape]:
                refuse(path, f"its tensor has shape {list(tensor.shape)}, its header says {[*rows, *part.shape]}")
            own.append(tensor)
        found.append(own)
    return header, found


def _header(path: Path, text: str) -> Header:
    described = json_text.parsed(text, _source(path), " > metadata")
    if not isinstance(described, dict):
        refuse(path, "its metadata are no JSON object")
    form, library = described.pop("format", None), described.pop("library", "(a newer version)")
    try:
        whole_number("its format version", form)
    except DirectrixError as error:
        refuse(path, error.happened.rstrip("."), error)
    if form > FORMAT_VERSION:
        raise DirectionFileError(
            f"'{path}' has format {form}, of Directrix {library}.",
            f"format {FORMAT_VERSION} or lower.",
            "upgrade: pip install -U directrix.",
        )
    if form == 1:
        described["parts"] = [{key: described.pop(key) for key in ("site", "shape", "sha256") if key in described}]
    # Recipes of sums nest deeper than pydantic's reader of JSON goes.
    deep = {key: described[key] for key in ("recipe", "provenance") if isinstance(described.get(key), dict)}
    try:
        header = validated(Header, json.dumps({**described, **{key: {} for key in deep}}), "its header")
        if form < _FIRST_FORMAT["branch"] and not all(each.is_conditional for each in header.parts):
            refuse(path, f"format {form} knows of no part of the unconditional branch")
        return replace(header, **deep)
    except DirectrixError as error:
        refuse(path, error.happened.rstrip("."), error)


def _source(path: Path) -> Source:
    wanted = "a file as `directrix discover` wrote it."
    remedy = "copy or download it again, or discover the direction anew."
    return Source(path, DirectionFileError, wanted, remedy, most=256 * MEBIBYTE)


def check_kind(path: Path) -> None:
    """Raises DirectionFileError where the file is of another kind that is known; it says which, and what to do."""
    kind = file_kinds.recognised(path)
    if kind is not None and kind.what != file_kinds.DIRECTION.what:
        raise DirectionFileError(
            f"'{path}' is {kind.what}, not a direction.", "a file that `directrix discover` wrote.", kind.remedy
        )


def refuse(path: str | PathLike[str], why: str, cause: Exception | None = None) -> NoReturn:
    """Raises the DirectionFileError of a file that is damaged."""
    raise DirectionFileError(
        f"'{path}' is damaged: {why}.",
        "a file as `directrix discover` wrote it.",
        "copy or download it again, or discover the direction anew.",
    ) from cause
