"""Features of renders of the emoji world, by judge: what generated images of people are compared with.

The art that renders are made of is not in the package. So a file holds the features that the emoji judges' networks
give 20 occupations in both genders and three skin tones, with the subject, gender and tone of each. It also holds the
checksum of each judge's file: features of one network say nothing beside those of another.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from directrix.errors import ModelError
from directrix.measurement.judges import emoji_vocabulary as words
from directrix.measurement.judges.registry import load
from directrix.models import embedded
from directrix.models.files import write_atomically

LABELS: Mapping[str, Sequence[str]] = {"subject": words.OCCUPATIONS, **words.CATEGORIES}
# The judges whose networks give features, and the file of each.
NETWORKS: Mapping[str, Callable[[], Path]] = {
    "emoji": embedded.judge_path,
    "emoji-held-out": embedded.second_judge_path,
}
_FEATURES = "features."


@dataclass(frozen=True)
class Reference:
    """Renders as the judges' networks see them.

    Args:
        features: by judge, (renders, D).
        labels: what each render shows, by attribute of `LABELS`.
        checksums: of each judge's file.
    """

    features: Mapping[str, NDArray[Any]]
    labels: Mapping[str, NDArray[Any]]
    checksums: Mapping[str, str]

    @classmethod
    def load(cls, path: Path | None = None) -> Reference:
        """The shipped reference, or another. ModelError where it is missing or none."""
        path = path or embedded.reference_path()
        try:
            with safe_open(path, framework="numpy") as file:
                checksums = json.loads(file.metadata()["checksums"])
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            features = {name: arrays[_FEATURES + name].astype(np.float32) for name in checksums}
            labels = {name: np.asarray(listed)[arrays[name]] for name, listed in LABELS.items()}
        except (OSError, SafetensorError, LookupError, TypeError, ValueError, AttributeError) as error:
            raise ModelError(
                f"'{path}' holds no features of renders: {error}.",
                "the file that 'directrix world reference' writes.",
                "reinstall the package, or write it again.",
            ) from error
        return cls(features, labels, checksums)

    def save(self, path: Path) -> Path:
        """Write it, in half precision. OutputError where that cannot be done."""
        features = {f"{_FEATURES}{name}": rows.astype(np.float16) for name, rows in self.features.items()}
        labels = {
            name: np.array([listed.index(label) for label in self.labels[name]], dtype=np.uint8)
            for name, listed in LABELS.items()
        }
        write_atomically(path, save({**features, **labels}, {"checksums": json.dumps(dict(self.checksums))}))
        return path

    def judges(self) -> dict[str, Any]:
        """The judges whose networks gave the features. ModelError where a judge's file is not the same any more."""
        for name, checksum in self.checksums.items():
            if checksum_of(name) != checksum:
                raise ModelError(
                    f"The judge '{name}' has changed since features of renders were made with it.",
                    "the file of the judge that the reference names.",
                    "write the reference again: directrix world reference.",
                )
        return {name: load(name) for name in self.checksums}

    def like(self, labels: Mapping[str, str | None]) -> NDArray[np.bool_]:
        """Which renders show all of these labels, (renders,); None leaves an attribute open."""
        given = [self.labels[name] == label for name, label in labels.items() if label is not None]
        return np.logical_and.reduce(given)


def checksum_of(name: str) -> str:
    """SHA-256 of a judge's file."""
    return hashlib.sha256(NETWORKS[name]().read_bytes()).hexdigest()
