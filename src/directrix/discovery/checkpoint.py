"""A folder in which an unfinished discovery waits.

::

    settings.json                 what the run was asked for; a run of other settings is refused
    latents-00000.safetensors     generated images, a chunk a file
    trajectory-00000.safetensors  or trajectories, a neutral prompt a file
    fit.safetensors               the vectors, Adam's moments, the step

Every file is written beside its place and renamed into it, so a killed program leaves whole files only.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from directrix.errors import DirectionFileError, InterruptedRun, MismatchError, OutputError

if TYPE_CHECKING:
    from torch import Tensor

SETTINGS = "settings.json"


class Checkpoint:
    """A checkpoint folder, opened for one set of settings.

    OutputError if the folder can't be written; MismatchError if it holds a run of other settings.
    """

    def __init__(self, folder: Path | str, settings: Mapping[str, Any]) -> None:
        self.folder = Path(folder)
        wanted = json.loads(json.dumps(settings))
        path = self.folder / SETTINGS
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            found = json.loads(path.read_text()) if path.exists() else None
            if found is None:
                self._write(path, json.dumps(wanted, indent=1).encode())
        except OSError as error:
            raise OutputError(
                f"The checkpoint folder {self.folder} can't be used ({error.strerror or error}).",
                "a folder that can be made and written.",
                "another checkpoint folder.",
            ) from error
        except ValueError as error:
            raise DirectionFileError(
                f"{path} is not the settings of a discovery.",
                "a folder made by discover, or a new one.",
                "another checkpoint folder, or delete this one.",
            ) from error
        if found is not None and found != wanted:
            raise MismatchError(
                f"The checkpoint in {self.folder} is of other settings ({_differences(found, wanted)}).",
                "the settings that it was started with.",
                "those settings, another checkpoint folder, or delete this one to start anew.",
            )

    def load(self, name: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The tensors and the facts saved under ``name``; None if nothing was."""
        from safetensors import SafetensorError, safe_open

        path = self._path(name)
        if not path.exists():
            return None
        try:
            with safe_open(path, "pt") as file:
                facts = json.loads(file.metadata()["directrix"])
                return {key: file.get_tensor(key) for key in file.keys()}, facts  # noqa: SIM118 (not a mapping)
        except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
            raise DirectionFileError(
                f"{path} is damaged.",
                "a file written by discover.",
                "delete it; the rest of the folder is kept, and what it held is made again.",
            ) from error

    def save(self, name: str, tensors: Mapping[str, Tensor], **facts: Any) -> None:
        """Keeps tensors and facts under ``name``, in place of what was there; OutputError if it can't."""
        from safetensors.torch import save

        data = save(
            {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()},
            {"directrix": json.dumps(facts)},
        )
        try:
            self._write(self._path(name), data)
        except OSError as error:
            raise OutputError(
                f"The checkpoint {self._path(name)} can't be written ({error.strerror or error}).",
                "a folder with room, that can be written.",
                "make room and run the same again: it goes on from the checkpoint before.",
            ) from error

    def delete(self) -> None:
        """Deletes what a discovery wrote here, and the folder if nothing else is in it."""
        retained = [*self.folder.glob("latents-*.safetensors"), *self.folder.glob("trajectory-*.safetensors")]
        for path in [*retained, self._path("fit"), self.folder / SETTINGS]:
            path.unlink(missing_ok=True)
        if self.folder.exists() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.safetensors"

    @staticmethod
    def _write(path: Path, data: bytes) -> None:
        temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
        try:
            temporary.write_bytes(data)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def interrupted(doing: str, checkpoint: Checkpoint | None) -> InterruptedRun:
    """The error for a run that was stopped while ``doing``, which says how to go on."""
    if checkpoint is None:
        return InterruptedRun(
            f"The discovery was interrupted while {doing}, and nothing was kept.",
            remedy="pass checkpoint=FOLDER next time; the run can then go on.",
        )
    return InterruptedRun(
        f"The discovery was interrupted while {doing}; what was done is kept in {checkpoint.folder}.",
        remedy=f"run the same again with checkpoint={str(checkpoint.folder)!r}: it goes on where it stopped.",
    )


def _differences(found: Any, wanted: Mapping[str, Any]) -> str:
    if not isinstance(found, dict):
        return "an unknown format"
    keys = [key for key in sorted({*found, *wanted}) if found.get(key) != wanted.get(key)]
    return "; ".join(f"{key}: {_short(found.get(key))} there, {_short(wanted.get(key))} here" for key in keys)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else text[:77] + "..."
