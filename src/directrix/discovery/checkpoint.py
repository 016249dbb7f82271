"""A folder in which an unfinished discovery waits.

::

    settings.json                 what the run was asked for; a run of other settings is refused
    latents-00000.safetensors     generated images, a batch a file
    trajectory-00000.safetensors  or trajectories, a neutral prompt a file
    fit.safetensors               the vectors, Adam's moments, the step

Every part of a run asks for its file with ``load``, does the work only where there is none, and then calls ``save``.
Every file is written beside its place and renamed into it, so a killed program leaves whole files only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from directrix.deprecation import upgraded
from directrix.errors import DirectionFileError, InterruptedRun, MismatchError, OutputError
from directrix.models.files import write_atomically

if TYPE_CHECKING:
    from torch import Tensor

SETTINGS = "settings.json"
# Settings by the names that earlier versions had for them.
RENAMED = {"kept_prompts": "retained_prompts"}


class Checkpoint:
    """A checkpoint folder, opened for one set of settings; without a folder it saves nothing.

    OutputError if the folder can't be written, MismatchError if it is of other settings, DirectionFileError if it does
    not say which.
    """

    def __init__(self, folder: Path | str | None = None, settings: Mapping[str, Any] | None = None) -> None:
        self.folder = None if folder is None else Path(folder)
        if self.folder is None:
            return
        wanted = json.loads(json.dumps(settings))
        path = self.folder / SETTINGS
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            found = json.loads(path.read_text()) if path.exists() else None
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
        if found is None:
            write_atomically(path, json.dumps(wanted, indent=1).encode())
            return
        found = upgraded(found, RENAMED) if isinstance(found, dict) else found
        if found != wanted:
            raise MismatchError(
                f"The checkpoint in {self.folder} is of other settings ({_differences(found, wanted)}).",
                "the settings that it was started with.",
                "those settings, another checkpoint folder, or delete this one to start anew.",
            )

    def load(self, name: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The tensors and the facts saved under ``name``; None if nothing was."""
        from safetensors import SafetensorError, safe_open

        path = self._path(name)
        if path is None or not path.exists():
            return None
        try:
            with safe_open(path, "pt") as file:
                facts = json.loads(file.metadata()["directrix"])
                return {key: file.get_tensor(key) for key in file.keys()}, facts  # noqa: SIM118 (not a mapping)
        except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
            raise DirectionFileError(
                f"{path} is damaged.",
                "a file written by discover.",
                "delete it; the rest of the folder stays, and what it contained is made again.",
            ) from error

    def save(self, name: str, tensors: Mapping[str, Tensor], **facts: Any) -> None:
        """Saves tensors and facts under ``name``, in place of what was there; OutputError if it can't."""
        from safetensors.torch import save

        path = self._path(name)
        if path is not None:
            contents = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
            write_atomically(path, save(contents, {"directrix": json.dumps(facts)}))

    @contextmanager
    def interruptible(self, doing: Callable[[], str]) -> Iterator[None]:
        """Within, Ctrl-C raises InterruptedRun, which says what was going on and how to go on."""
        try:
            yield
        except KeyboardInterrupt:
            if self.folder is None:
                raise InterruptedRun(
                    f"The discovery was interrupted while {doing()}, and nothing was saved.",
                    remedy="pass checkpoint=FOLDER next time; the run can then go on.",
                ) from None
            raise InterruptedRun(
                f"The discovery was interrupted while {doing()}; what was done is saved in {self.folder}.",
                remedy=f"run the same again with checkpoint={str(self.folder)!r}: it goes on where it stopped.",
            ) from None

    def _path(self, name: str) -> Path | None:
        return None if self.folder is None else self.folder / f"{name}.safetensors"


NOWHERE = Checkpoint()


def _differences(found: Any, wanted: Mapping[str, Any]) -> str:
    if not isinstance(found, dict):
        return "an unknown format"
    keys = [key for key in sorted({*found, *wanted}) if found.get(key) != wanted.get(key)]
    return "; ".join(f"{key}: {_short(found.get(key))} there, {_short(wanted.get(key))} here" for key in keys)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else text[:77] + "..."
