"""Tensors from files: safetensors, torch's files of tensors, and numpy's; nothing in a file is ever run."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import zipfile
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from directrix.errors import DirectrixError, first_line
from directrix.reading.source import MEBIBYTE, Source

if TYPE_CHECKING:
    import numpy
    from torch import Tensor

HEADER = 16 * MEBIBYTE  # bytes of a header at most


def read(source: Source) -> tuple[dict[str, str], dict[str, Tensor]]:
    """The metadata and the tensors of a safetensors file, the tensors on the CPU.

    Raises an error of the source's type: missing, cut off, too large, or no safetensors file.
    """
    from safetensors import SafetensorError, safe_open

    source.check()
    with source.opening(), open(source.path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if length > HEADER:
        raise source.wrong("is not a readable safetensors file: its header is too large or damaged")
    try:
        with safe_open(str(source.path), framework="pt", device="cpu") as file:
            return file.metadata() or {}, {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, LookupError, ValueError, TypeError, AttributeError, RuntimeError) as problem:
        raise source.wrong(f"is not a readable safetensors file ({first_line(problem)})") from problem


def checksum(described: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over all that a file holds: JSON values, but for "sha256" itself, and tensors with names and shapes."""
    said = {key: value for key, value in described.items() if key != "sha256"}
    found = hashlib.sha256(json.dumps(said, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        found.update(f"|{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        found.update(tensor.detach().cpu().contiguous().flatten().view(_bytes()).numpy().tobytes())
    return found.hexdigest()


def _bytes() -> Any:
    import torch

    return torch.uint8


def of_torch(source: Source) -> Any:
    """What a file of torch.save holds, tensors on the CPU; a file with anything but tensors is refused unread.

    Raises an error of the source's type: missing, damaged, more than tensors, or tensors larger than the file.
    """
    import torch

    size = source.check()
    try:
        if zipfile.is_zipfile(source.path):
            with zipfile.ZipFile(source.path) as archive:
                # A few bytes of a packed file may stand for as many as there are.
                if sum(each.file_size for each in archive.infolist()) > size:
                    raise ValueError("it is packed")
        found = torch.load(source.path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as problem:
        why = "is damaged, or holds more than tensors, which was not read since it could run code"
        raise source.wrong(why) from problem
    except Exception as problem:
        # torch raises whatever its reader of archives happens to meet in a damaged one.
        raise source.wrong(f"cannot be read ({first_line(problem)})") from problem
    tensors = found.values() if isinstance(found, Mapping) else [found]
    for each in tensors:
        if isinstance(each, torch.Tensor) and (each.is_meta or each.numel() * each.element_size() > size):
            raise source.wrong("holds a tensor that is larger than the file")
    return found


def array(source: Source) -> numpy.ndarray:
    """The array of a .npy file, of plain numbers."""
    return _of_numpy(source, lambda found: found[...])


def arrays(source: Source) -> dict[str, numpy.ndarray]:
    """The arrays of an .npz file, by name."""
    return _of_numpy(source, lambda found: {name: found[name] for name in found.files})


def _of_numpy(source: Source, taken: Any) -> Any:
    import numpy

    content = source.content()
    try:
        if zipfile.is_zipfile(io.BytesIO(content)):
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                if sum(each.file_size for each in archive.infolist()) > source.most:
                    raise ValueError("it is packed, and too large without")
        return taken(numpy.load(io.BytesIO(content), allow_pickle=False))
    except DirectrixError:
        raise
    except Exception as problem:
        # numpy evaluates a header, unpacks and casts; each has errors of its own.
        raise source.wrong(f"holds no arrays ({first_line(problem)})") from problem
