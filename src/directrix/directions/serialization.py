"""One direction, one safetensors file: a tensor, and a header that says everything else.

The file holds one float32 tensor named "direction" and, in the metadata, the key "directrix": JSON with the
format's version and the header. Reading checks all of it; nothing is ever unpickled.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from directrix import __version__
from directrix.checks import validated, whole_number
from directrix.errors import DirectionFileError, DirectrixError, MismatchError, StrengthError
from directrix.models import file_kinds
from directrix.models.identity import ModelIdentity, Site
from directrix.reading import json_text
from directrix.reading import tensors as stored_tensors
from directrix.reading.source import MEBIBYTE, Source

if TYPE_CHECKING:
    from torch import Tensor

FORMAT_VERSION = 1
METADATA_KEY = "directrix"
TENSOR_KEY = "direction"


@dataclass(frozen=True)
class Strengths:
    """The strengths that make sense; 1.0 is the calibrated effect."""

    default: float = 1.0
    minimum: float = -1.5
    maximum: float = 1.5

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, vars(self).values())) or self.minimum > self.maximum:
            happened = f"The strengths are {self.minimum} to {self.maximum}, default {self.default}."
            raise StrengthError(happened, "finite numbers, the least one first.")


@dataclass(frozen=True)
class Header:
    """A direction without its tensor: what its file says beside it, and all that its cards need.

    Args:
        name, site, model, recipe, strengths, provenance: see `directrix.Direction`.
        shape: of the tensor, (C, H, W) or (C,).
        sha256: of the tensor's bytes, float32 in C order.
        digest: sixteen hexadecimal digits that stand for the tensor and its place; a file leaves it out.
    """

    # Whoever reads one from a file is strict; see `directrix.checks.validated`. Keys of other programs are ignored.
    __pydantic_config__: ClassVar = {"extra": "ignore", "strict": True}

    name: str
    shape: tuple[int, ...]
    sha256: str
    site: Site
    model: ModelIdentity
    recipe: Mapping[str, Any]
    strengths: Strengths
    provenance: Mapping[str, Any]
    digest: str = ""

    def check_alike(self, other: Header, verb: str) -> None:
        """Raises MismatchError unless both are of one model, site and shape; verb: for its sentence."""
        a, b = self, other
        apart = "steer with both at once: steer(pipeline, {a: 1.0, b: 1.0})."
        parts = (
            ("model", a.model.name, b.model.name, a.model.fingerprint == b.model.fingerprint, "one model for both."),
            ("site", a.site.name, b.site.name, a.site == b.site, apart),
            ("shape", a.shape, b.shape, a.shape == b.shape, "resized(height, width) or pooled() on one of them."),
        )
        for part, here, there, same, remedy in parts:
            if not same:
                happened = f"Cannot {verb} '{a.name}' ({part} {here}) and '{b.name}' ({part} {there})."
                raise MismatchError(happened, f"two directions of the same {part}.", remedy)


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
    path = Path(path)
    if not path.is_file():
        kind = "is a folder" if path.is_dir() else "does not exist"
        wanted = "a file that `directrix discover` wrote."
        raise DirectionFileError(f"The direction file '{path}' {kind}.", wanted, "check the path.")
    check_kind(path)
    metadata, tensors = stored_tensors.read(_source(path))
    text, tensor, names = metadata.get(METADATA_KEY), tensors.get(TENSOR_KEY), list(tensors)
    if text is None:
        contents = ", ".join(names[:3] + ["..."] * (len(names) > 3)) or "no tensors"
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
    # Recipes of sums nest deeper than pydantic's reader of JSON goes.
    deep = {key: described[key] for key in ("recipe", "provenance") if isinstance(described.get(key), dict)}
    try:
        header = validated(Header, json.dumps({**described, **{key: {} for key in deep}}), "its header")
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
