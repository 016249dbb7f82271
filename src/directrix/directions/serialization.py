"""One direction, one safetensors file: a header and a tensor.

The file holds one float32 tensor named "direction" and, in the metadata, the key "directrix": JSON with the
format's version and the header. Reading checks all of it; nothing is ever unpickled.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from directrix import __version__
from directrix.checks import validated
from directrix.directions.header import Header
from directrix.errors import DirectionFileError, DirectrixError

if TYPE_CHECKING:
    from torch import Tensor

FORMAT_VERSION = 1
METADATA_KEY = "directrix"
TENSOR_KEY = "direction"


def encode(header: Header, tensor: Tensor) -> bytes:
    """What the file of a direction holds; tensor: (C, H, W) or (C,), float32.

    Raises:
        DirectionFileError: recipe or provenance hold values that JSON cannot.
    """
    from safetensors.torch import save

    parts = {name: asdict(getattr(header, name)) for name in ("site", "model", "strengths")}
    described = {"format": FORMAT_VERSION, "library": __version__, **vars(header), **parts}
    del described["digest"]
    try:
        text = json.dumps(described, allow_nan=False, ensure_ascii=False)
        text.encode()  # a lone surrogate is valid text to Python, but not to any file
    except (TypeError, ValueError) as error:
        raise DirectionFileError(
            f"The recipe or provenance of '{header.name}' cannot be stored: {error}.",
            "text, finite numbers, lists and dictionaries only.",
        ) from error
    return save({TENSOR_KEY: tensor}, metadata={METADATA_KEY: text})


def read(path: str | PathLike[str]) -> tuple[Header, Tensor]:
    """The header and the tensor, as they were encoded. Whether the tensor is the header's is left to the caller.

    Raises:
        DirectionFileError: missing, truncated, foreign, of a newer format, or with a header that makes no sense.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        kind = "is a folder" if path.is_dir() else "does not exist"
        raise DirectionFileError(
            f"The direction file '{path}' {kind}.", "a file that `directrix discover` wrote.", "check the path."
        )
    try:
        with safe_open(str(path), framework="pt", device="cpu") as file:
            text = (file.metadata() or {}).get(METADATA_KEY)
            names = list(file.keys())
            tensor = file.get_tensor(TENSOR_KEY) if TENSOR_KEY in names else None
    except (SafetensorError, OSError, ValueError, TypeError, RuntimeError) as error:
        refuse(path, f"it is not a readable safetensors file ({error})", error)
    if text is None:
        contents = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "") if names else "no tensors"
        raise DirectionFileError(
            f"'{path}' is a safetensors file, but not a direction (it holds {contents}).",
            f"a file with '{METADATA_KEY}' metadata.",
            "a file that `directrix discover` or Direction.save wrote.",
        )
    if tensor is None:
        refuse(path, f"it holds no tensor '{TENSOR_KEY}'")
    if not tensor.is_floating_point():
        refuse(path, f"its tensor holds {tensor.dtype} values")
    header = _header(path, text)
    if tensor.shape != header.shape:
        refuse(path, f"its tensor has shape {list(tensor.shape)}, its header says {list(header.shape)}")
    return header, tensor


def _header(path: Path, text: str) -> Header:
    try:
        described = json.loads(text)
        form, library = described.pop("format", None), described.pop("library", "(a newer version)")
    except (ValueError, AttributeError, TypeError) as error:
        refuse(path, f"its metadata are no JSON object ({error})", error)
    if isinstance(form, bool) or not isinstance(form, int) or form < 1:
        refuse(path, f"its format version is {form!r}")
    if form > FORMAT_VERSION:
        raise DirectionFileError(
            f"'{path}' has format {form}, of Directrix {library}.",
            f"format {FORMAT_VERSION} or lower.",
            "upgrade: pip install -U directrix.",
        )
    # Recipes of sums nest deeper than pydantic's reader of JSON goes.
    deep = {key: described[key] for key in ("recipe", "provenance") if isinstance(described.get(key), dict)}
    try:
        header = validated(Header, json.dumps({**described, **{key: {} for key in deep}}), "its header")
        return replace(header, **deep)
    except DirectrixError as error:
        refuse(path, error.happened.rstrip("."), error)


def refuse(path: str | PathLike[str], why: str, cause: Exception | None = None) -> NoReturn:
    """Raises the DirectionFileError of a file that is damaged."""
    raise DirectionFileError(
        f"'{path}' is damaged: {why}.",
        "a file as `directrix discover` wrote it.",
        "copy or download it again, or discover the direction anew.",
    ) from cause
