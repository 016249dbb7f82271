"""A linear probe: where an image is on its way to one of an attribute's categories, by the unconditional branch.

The activations of that branch, h_u, know nothing of the prompt: what they say comes from the image itself, as far as it
is drawn. At each timestep t a linear map gives a number a category,

    r = W_t (h_u - m_t)

and new images that come out as category j have the class means `class_means[t, j]`. How far an image is from there is
its error, by which it is brought back (`interventions.feedback_control`). A probe is fitted by
`measurement.calibration.fit_probe`, without a negative prompt: one that is given while drawing is in h_u, and what it
says is read as the image's.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from directrix import __version__
from directrix.checks import validated
from directrix.deprecation import upgraded, warn
from directrix.errors import DirectionFileError, DirectrixError, MismatchError
from directrix.models.activations import by_image
from directrix.models.files import write_atomically
from directrix.models.identity import ModelIdentity, Site
from directrix.reading import json_text
from directrix.reading import tensors as stored_tensors
from directrix.reading.source import MEBIBYTE, Source

if TYPE_CHECKING:
    import torch
    from torch import Tensor

SUFFIX = ".probe"
# 2 has a checksum over all of the file; 3 names a branch and a grid.
FORMAT_VERSION = 3
METADATA_KEY = "directrix-probe"
_TENSORS = ("timesteps", "centres", "weights", "class_means")
# How far readings are from their class mean, where a file does not say it: half of the way to the next one.
_SPREAD = 0.5
_NAMED = ("attribute", "site", "model", "provenance", "branch", "grid", "spread")
# What version 0.1 called them.
_OLD_KEY, _OLD_TENSORS = "directrix-gauge", {"readings": "class_means"}


@dataclass(frozen=True)
class _Described:
    """What a probe's file says beside its tensors."""

    __pydantic_config__: ClassVar = {"extra": "ignore"}

    format: int
    attribute: str
    categories: tuple[str, ...]
    site: Site
    model: ModelIdentity
    shape: tuple[int, ...]
    provenance: Mapping[str, Any]
    sha256: str = ""
    branch: str = "unconditional"
    grid: int | None = None
    spread: float = _SPREAD


@dataclass(frozen=True, eq=False)
class Probe:
    """What reads one attribute, for one model and size of images.

    Args:
        attribute: such as "skin tone".
        categories: K names, as the attribute's directions have them.
        site, model: where and of what is read. shape: of what is read of one image, D in all.
        timesteps: (T,), falling, in the scheduler's units; far from all of them nothing can be read.
        centres: m_t, (T, D). weights: W_t, (T, K, D).
        class_means: (T, K, K): what images of each category (rows) read in the mean.
        provenance: how it was fitted.
        branch: of guidance, "unconditional" or "conditional". For feedback it must be the first.
        grid: what is read are means over grid x grid parts of the image; None for the whole map.
        spread: how far the readings of images of one category are from each other, their standard deviation.

    Raises:
        DirectrixError: tensors whose shapes do not go together, or that are not finite.
    """

    attribute: str
    categories: tuple[str, ...]
    site: Site
    model: ModelIdentity
    shape: tuple[int, ...]
    timesteps: Tensor
    centres: Tensor
    weights: Tensor
    class_means: Tensor
    provenance: Mapping[str, Any] = field(default_factory=dict)
    branch: str = "unconditional"
    grid: int | None = None
    spread: float = _SPREAD
    _placed: dict[torch.device, tuple[Tensor, Tensor, Tensor]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        steps, kinds = len(self.timesteps), len(self.categories)
        size = math.prod(self.shape)
        shapes = {"centres": (steps, size), "weights": (steps, kinds, size), "class_means": (steps, kinds, kinds)}
        found = {name: tuple(getattr(self, name).shape) for name in shapes}
        if not steps or found != shapes:
            raise DirectrixError(
                f"The tensors of the probe of '{self.attribute}' have the shapes {found}.", f"{shapes}."
            )
        if not all(bool(getattr(self, name).isfinite().all()) for name in _TENSORS):
            raise DirectrixError(
                f"The probe of '{self.attribute}' holds numbers that are not finite.", "finite activations."
            )

    def error(self, states: Tensor, category: str, timestep: float) -> Tensor | None:
        """What is read of images, less the class means of the category: float32 (N, K).

        None where the timestep is none that anything can be read at.

        Args:
            states: h_u of N images, each of the probe's shape.

        Raises:
            MismatchError: activations of another shape.
        """
        found = self._read(states, timestep)
        if found is None:
            return None
        read, means = found
        return read - means[self.categories.index(category)]

    def shares(self, states: Tensor, timestep: float) -> Tensor | None:
        """How likely each image is on its way to each category: float32 (N, K), rows of sum 1; arguments as `error`.

        Readings of one category are taken to be normally distributed about its class mean, with the same spread.
        """
        found = self._read(states, timestep)
        if found is None:
            return None
        read, means = found
        distances = (read[:, None] - means[None]).square().sum(-1)
        return (-distances / (2 * self.spread**2)).softmax(-1)

    def _read(self, states: Tensor, timestep: float) -> tuple[Tensor, Tensor] | None:
        """What is read, (N, K), and the class means at that timestep, (K, K)."""
        states = pooled(states, self.grid)
        if tuple(states.shape[1:]) != self.shape:
            raise MismatchError(
                f"The probe of '{self.attribute}' reads activations of shape {self.shape}; those of these images have "
                f"{tuple(states.shape[1:])} at '{self.site.name}'.",
                "images of the size that it was fitted with.",
                "that height and width, or a probe fitted at this size.",
            )
        at = self._nearest(timestep)
        if at is None:
            return None
        weights, centre, means = (each[at] for each in self._on(states.device))
        return by_image(lambda rows: (rows - centre) @ weights.T, states.flatten(1).float()), means

    def __getattr__(self, name: str) -> Any:
        new = {"readings": "class_means", "drift": "error"}.get(name)
        if new is None:
            raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")
        warn(f"Probe.{name}", f"Probe.{new}")
        return getattr(self, new)

    def digest(self) -> str:
        """Sixteen hexadecimal digits that stand for all that it reads by; names are not among it."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        described = hashlib.sha256(f"{self.site}|{self.model.fingerprint}|{self.shape}{self._way}".encode())
        for name in _TENSORS:
            described.update(getattr(self, name).float().contiguous().numpy().tobytes())
        return described.hexdigest()[:16]

    @property
    def _way(self) -> str:
        # Probes of before keep their digests.
        default = self.grid is None and self.branch == "unconditional"
        return "" if default else f"|{self.branch}|{self.grid}|{self.spread}"

    def save(self, path: str | PathLike[str]) -> None:
        """Write it to one safetensors file.

        Raises:
            OutputError: the file cannot be written.
        """
        from safetensors.torch import save as serialised

        tensors = {name: getattr(self, name).float().contiguous() for name in _TENSORS}
        described = {
            "format": FORMAT_VERSION,
            "library": __version__,
            "attribute": self.attribute,
            "categories": list(self.categories),
            "site": asdict(self.site),
            "model": asdict(self.model),
            "shape": list(self.shape),
            "provenance": dict(self.provenance),
            "branch": self.branch,
            "grid": self.grid,
            "spread": self.spread,
        }
        described["sha256"] = stored_tensors.checksum(described, tensors)
        text = json.dumps(described, ensure_ascii=False)
        write_atomically(Path(path), serialised(tensors, metadata={METADATA_KEY: text}))

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Probe:
        """Read one.

        Raises:
            DirectionFileError: missing, damaged, of a newer format, or something else altogether.
        """
        path = Path(path)
        remedy = "check the path, copy it again, or fit the probe anew."
        wanted, name = "a whole file that `directrix fit-probe` wrote.", f"'{path}' is no probe that can be read: it"
        source = Source(path, DirectionFileError, wanted, remedy, name, 1024 * MEBIBYTE)
        metadata, stored = stored_tensors.read(source)
        key = METADATA_KEY if METADATA_KEY in metadata else _OLD_KEY
        if key not in metadata:
            raise source.wrong(f"has no '{METADATA_KEY}' metadata")
        content = json_text.parsed(metadata[key], source, " > metadata")
        form = content.get("format") if isinstance(content, dict) else None
        if isinstance(form, int) and form > FORMAT_VERSION:
            raise DirectionFileError(
                f"'{path}' has format {form}, of Directrix {content.get('library', '(a newer version)')}.",
                f"format {FORMAT_VERSION} or lower.",
                "upgrade: pip install -U directrix.",
            )
        try:
            described = validated(_Described, content, "its metadata")
            # Format 1 has no checksum.
            if form != 1 and described.sha256 != stored_tensors.checksum(content, stored):
                raise DirectrixError("its values are not those that were saved.")
            tensors = {name: upgraded(stored, _OLD_TENSORS)[name] for name in _TENSORS}
            named = {name: getattr(described, name) for name in _NAMED}
            return cls(categories=described.categories, shape=described.shape, **named, **tensors)
        except KeyError as error:
            raise source.wrong(f"lacks the tensor {error}") from error
        except DirectrixError as error:
            raise source.wrong(f"is damaged: {error.happened}") from error

    def _on(self, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """Weights, centres and class means on the device, moved there once."""
        if device not in self._placed:
            self._placed[device] = (self.weights.to(device), self.centres.to(device), self.class_means.to(device))
        return self._placed[device]

    def _nearest(self, timestep: float) -> int | None:
        times = self.timesteps.tolist()
        at = min(range(len(times)), key=lambda place: abs(times[place] - timestep))
        if times[-1] <= timestep <= times[0]:
            return at
        if len(times) == 1:
            # One step is read, wherever other numbers of steps have the one that is next to it.
            return at if abs(times[0] - timestep) <= times[0] / 4 else None
        # Half a step beyond the ends, and a little for timesteps that are rounded.
        beside = times[1] if at == 0 else times[at - 1]
        room = abs(times[at] - beside) / 2 + 1e-3 * max(times)
        return at if abs(times[at] - timestep) <= room else None


def pooled(states: Tensor, grid: int | None) -> Tensor:
    """Means over grid x grid parts of maps (N, C, H, W) or of the tokens of square images (N, H * W, C), as
    (N, C, grid, grid); all as it is where there is no grid, or no map."""
    import torch

    if grid is None or states.ndim < 3:
        return states
    if states.ndim == 3:
        side = math.isqrt(states.shape[1])
        # Tokens of an image that is not square are averaged along their row.
        states = states.transpose(1, 2)
        if side**2 != states.shape[2]:
            return torch.nn.functional.adaptive_avg_pool1d(states.float(), grid**2).unflatten(2, (grid, grid))
        states = states.unflatten(2, (side, side))
    return torch.nn.functional.adaptive_avg_pool2d(states.float(), grid)
