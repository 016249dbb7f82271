"""One direction, one safetensors file: a tensor for each part, and a header that says everything else.

The file holds float32 tensors, "direction" for the first part and "direction.1", ... for others, and, in the metadata,
the key "directrix": JSON with the format's version and the header. A single plain part is written as format 1, which
earlier versions of the library read; several parts, weights, token maps and vector sites are format 2. Reading checks
all of it; nothing is ever unpickled.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
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

FORMAT_VERSION = 2
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
class PartHeader:
    """A part without its tensor.

    Args:
        site, weights: see `directions.part.Part`.
        shape: of the tensor.
        sha256: of the tensor's bytes, float32 in C order.
    """

    __pydantic_config__: ClassVar = {"extra": "ignore", "strict": True}

    site: Site
    shape: tuple[int, ...]
    sha256: str
    weights: tuple[float, ...] | None = None

    @property
    def plain(self) -> bool:
        """Whether format 1 can hold it."""
        layout, dimensions = self.site.layout, len(self.shape)
        return self.weights is None and (layout == "channels-first" or (layout == "channels-last" and dimensions == 1))

    def __str__(self) -> str:
        return f"{self.site.name} ({' x '.join(map(str, self.shape))})"


@dataclass(frozen=True)
class Header:
    """A direction without its tensors: what its file says beside them, and all that its cards need.

    Args:
        name, model, recipe, strengths, provenance: see `directrix.Direction`.
        parts: each without its tensor.
        digest: sixteen hexadecimal digits that stand for the tensors and their places; a file leaves it out.
    """

    # Whoever reads one from a file is strict; see `directrix.checks.validated`. Keys of other programs are ignored.
    __pydantic_config__: ClassVar = {"extra": "ignore", "strict": True}

    name: str
    parts: tuple[PartHeader, ...]
    model: ModelIdentity
    recipe: Mapping[str, Any]
    strengths: Strengths
    provenance: Mapping[str, Any]
    digest: str = ""

    @property
    def place(self) -> dict[str, Any]:
        """As a card has it: the site's name and the shape; of several parts all of them in words, and no shape."""
        first, *others = self.parts
        if others:
            return {"site": ", ".join(map(str, self.parts)), "shape": [], "map": self.is_map}
        return {"site": first.site.name, "shape": list(first.shape)}

    @property
    def is_map(self) -> bool:
        """Whether it belongs to one size of images."""
        return any(len(each.shape) == 3 for each in self.parts)

    def check_model(self, other: Header, verb: str) -> None:
        """Raises MismatchError unless both are of one model; verb: for its sentence."""
        if self.model.fingerprint != other.model.fingerprint:
            raise self._differing(other, verb, "model", self.model.name, other.model.name, "one model for both.")

    def check_alike(self, other: Header, verb: str) -> None:
        """Raises MismatchError unless both are of one model, at the same sites, and of the same shapes."""
        self.check_model(other, verb)
        mine, theirs = ({(each.site, each.weights): each.shape for each in one.parts} for one in (self, other))
        if mine.keys() != theirs.keys():
            same = "directions of the same sites, such as parts of both: direction.with_(parts=direction.parts[:1])."
            raise self._differing(other, verb, "site", listed(self.parts), listed(other.parts), same)
        for key, shape in mine.items():
            if shape != theirs[key]:
                remedy = "resized(height, width) or pooled() on one of them."
                raise self._differing(other, verb, "shape", shape, theirs[key], remedy)

    def _differing(self, other: Header, verb: str, what: str, here: Any, there: Any, remedy: str) -> MismatchError:
        happened = f"Cannot {verb} '{self.name}' ({what} {here}) and '{other.name}' ({what} {there})."
        return MismatchError(happened, f"two directions of the same {what}.", remedy)


def listed(parts: Sequence[Any]) -> str:
    """The sites of parts, by name."""
    return ", ".join(each.site.name for each in parts)


def encode(header: Header, tensors: Sequence[Tensor]) -> bytes:
    """What the file of a direction holds; tensors: of its parts, float32.

    Raises:
        DirectionFileError: recipe or provenance hold values that JSON cannot.
    """
    from safetensors.torch import save

    first, plain = header.parts[0], len(header.parts) == 1 and header.parts[0].plain
    place: dict[str, Any] = {"parts": [asdict(each) for each in header.parts]}
    if plain:
        place = {"shape": first.shape, "sha256": first.sha256, "site": asdict(first.site)}
    described = {
        "format": 1 if plain else FORMAT_VERSION,
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
    return save({_key(place): each for place, each in enumerate(tensors)}, metadata={METADATA_KEY: text})


def _key(place: int) -> str:
    return f"{TENSOR_KEY}.{place}" if place else TENSOR_KEY


def read(path: str | PathLike[str]) -> tuple[Header, list[Tensor]]:
    """The header and the tensors, as they were encoded. Whether their values are the header's is left to the caller.

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
    found: list[Tensor] = []
    for place, part in enumerate(header.parts):
        key = _key(place)
        tensor = tensors.get(key)
        if tensor is None:
            refuse(path, f"it holds no tensor '{key}'")
        if not tensor.is_floating_point():
            refuse(path, f"its tensor holds {tensor.dtype} values")
        if tensor.shape != part.shape:
            refuse(path, f"its tensor has shape {list(tensor.shape)}, its header says {list(part.shape)}")
        found.append(tensor)
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
