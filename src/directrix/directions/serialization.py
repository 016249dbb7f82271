"""One direction, one safetensors file.

The file holds one float32 tensor named "direction" and, in the metadata, the key "directrix": JSON with the
format's version and everything that a `Direction` knows. Reading checks all of it; nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from directrix._version import __version__
from directrix.directions.direction import Direction, Strengths
from directrix.errors import DirectionFileError, DirectrixError
from directrix.models.files import write_atomically
from directrix.models.identity import ModelIdentity, Site

if TYPE_CHECKING:
    from torch import Tensor

FORMAT_VERSION = 1
METADATA_KEY = "directrix"
TENSOR_KEY = "direction"


def save(direction: Direction, path: str | PathLike[str]) -> None:
    """Writes the direction to one safetensors file.

    Raises:
        OutputError: the file cannot be written.
        DirectionFileError: recipe or provenance hold values that JSON cannot.
    """
    write_atomically(path, to_bytes(direction))


def to_bytes(direction: Direction) -> bytes:
    """What the direction's file holds.

    Raises:
        DirectionFileError: recipe or provenance hold values that JSON cannot.
    """
    from safetensors.torch import save as serialised

    described = {
        "format": FORMAT_VERSION,
        "library": __version__,
        "name": direction.name,
        "shape": list(direction.tensor.shape),
        "sha256": _sha256(direction.tensor),
        "site": asdict(direction.site),
        "model": asdict(direction.model),
        "recipe": dict(direction.recipe),
        "strengths": asdict(direction.strengths),
        "provenance": dict(direction.provenance),
    }
    try:
        text = json.dumps(described, allow_nan=False, ensure_ascii=False)
        text.encode()  # a lone surrogate is valid text to Python, but not to any file
    except (TypeError, ValueError) as error:
        raise DirectionFileError(
            f"The recipe or provenance of '{direction.name}' cannot be stored: {error}.",
            "text, finite numbers, lists and dictionaries only.",
        ) from error
    return serialised({TENSOR_KEY: direction.tensor}, metadata={METADATA_KEY: text})


def load(path: str | PathLike[str]) -> Direction:
    """Reads a direction and checks all of it.

    Raises:
        DirectionFileError: missing, truncated, foreign, of a newer format, or with values that make no sense.
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
            metadata = file.metadata() or {}
            names = list(file.keys())
            if METADATA_KEY not in metadata:
                raise _foreign(path, names)
            if TENSOR_KEY not in names:
                raise _damaged(path, f"it holds no tensor '{TENSOR_KEY}'")
            tensor = file.get_tensor(TENSOR_KEY)
    except (SafetensorError, OSError, ValueError, TypeError, RuntimeError) as error:
        raise DirectionFileError(
            f"'{path}' is not a readable safetensors file: {error}.",
            "a whole file that `directrix discover` wrote.",
            "copy or download it again (it may be truncated), or discover the direction anew.",
        ) from error
    return _direction(path, metadata[METADATA_KEY], tensor)


def _direction(path: Path, text: str, tensor: Tensor) -> Direction:
    try:
        described = json.loads(text)
    except ValueError as error:
        raise _damaged(path, f"its metadata are not JSON ({error})") from error
    if not isinstance(described, dict):
        raise _damaged(path, "its metadata are not a JSON object")
    form = described.get("format")
    if isinstance(form, bool) or not isinstance(form, int) or form < 1:
        raise _damaged(path, f"its format version is {form!r}")
    if form > FORMAT_VERSION:
        raise DirectionFileError(
            f"'{path}' has format {form}, of Directrix {described.get('library', '(a newer version)')}.",
            f"format {FORMAT_VERSION} or lower.",
            "upgrade: pip install -U directrix.",
        )
    if not tensor.is_floating_point():
        raise _damaged(path, f"its tensor holds {tensor.dtype} values")
    if list(tensor.shape) != described.get("shape"):
        raise _damaged(path, f"its tensor has shape {list(tensor.shape)}, its metadata say {described.get('shape')}")
    try:
        site = described["site"]
        model = described["model"]
        strengths = described["strengths"]
        direction = Direction(
            name=_text(described["name"]),
            tensor=tensor,
            site=Site(_text(site["name"]), _count(site["channels"]), _text(site["layout"])),
            model=ModelIdentity(_text(model["name"]), _text(model["revision"]), _text(model["fingerprint"])),
            recipe=_object(described["recipe"]),
            strengths=Strengths(*(_number(strengths[key]) for key in ("default", "minimum", "maximum"))),
            provenance=_object(described["provenance"]),
        )
    except KeyError as error:
        raise _damaged(path, f"its metadata lack {error}") from error
    except TypeError as error:
        raise _damaged(path, f"its metadata make no sense ({error})") from error
    except DirectrixError as error:
        raise _damaged(path, f"its content makes no sense. {error.happened}") from error
    # Finite values of the right shape can still be wrong: one flipped bit changes every picture.
    if described.get("sha256") != _sha256(direction.tensor):
        raise _damaged(path, "its values are not those that were saved")
    return direction


def _sha256(tensor: Tensor) -> str:
    return hashlib.sha256(tensor.numpy().tobytes()).hexdigest()


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return value


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise TypeError(f"{value!r} is not a positive whole number")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError(f"{value!r} is not a finite number")
    return float(value)


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{value!r} is not an object")
    return value


def _foreign(path: Path, names: list[str]) -> DirectionFileError:
    held = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "") if names else "no tensors"
    return DirectionFileError(
        f"'{path}' is a safetensors file, but not a direction (it holds {held}).",
        f"a file with '{METADATA_KEY}' metadata.",
        "a file that `directrix discover` or Direction.save wrote.",
    )


def _damaged(path: Path, why: str) -> DirectionFileError:
    return DirectionFileError(
        f"'{path}' is damaged: {why}.",
        "a file as `directrix discover` wrote it.",
        "copy or download it again, or discover the direction anew.",
    )
