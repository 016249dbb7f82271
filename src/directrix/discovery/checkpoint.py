"""A folder in which an unfinished discovery waits.

::

    settings.json                 what the run was asked for; a run of other settings is refused
    latents-00000.safetensors     generated images, a batch a file
    trajectory-00000.safetensors  or trajectories, a neutral prompt a file
    fit.safetensors               the vectors, Adam's moments, the step

Every part of a run asks for its file with ``load``, does the work only where there is none, and then calls ``save``.
Every file is written beside its place and renamed into it, so a killed program leaves whole files only. The settings
are written with the first of them, so that settings which cannot work leave nothing behind.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from directrix.deprecation import upgraded
from directrix.errors import DirectionFileError, InterruptedRun, MismatchError, OutputError
from directrix.models.files import write_atomically
from directrix.models.locks import locked
from directrix.reading import json_text
from directrix.reading import tensors as stored_tensors
from directrix.reading.source import MEBIBYTE, Source

if TYPE_CHECKING:
    from torch import Tensor

SETTINGS = "settings.json"
# What is in the folder besides what a user put there.
_OWN = re.compile(r"settings\.json|(?:latents-\d+|trajectory-\d+|fit|judged-\w+|recorded-\w+)\.safetensors")
CHECKSUM = "sha256"
# A tensor for files that need none: without any, old versions of safetensors write what nobody can read.
_NOTHING = "nothing"
# Settings by the names that earlier versions had for them.
RENAMED = {"kept_prompts": "retained_prompts"}


class Checkpoint:
    """A checkpoint folder, opened for one set of settings; without a folder it saves nothing.

    settings: None where every file is known by its name alone.

    OutputError if the folder can't be written, MismatchError if it is of other settings, DirectionFileError if it does
    not say which.
    """

    def __init__(self, folder: Path | str | None = None, settings: Mapping[str, Any] | None = None) -> None:
        self.folder = None if folder is None else Path(folder)
        self._settings: dict[str, Any] | None = None
        if self.folder is None or settings is None:
            return
        wanted = json.loads(json.dumps(settings))
        path = self.folder / SETTINGS
        wanted_file, remedy = "the settings of a discovery.", "another checkpoint folder, or delete this one."
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            found = json_text.read(Source(path, DirectionFileError, wanted_file, remedy)) if path.exists() else None
        except OSError as error:
            raise OutputError(
                f"The checkpoint folder {self.folder} can't be used ({error.strerror or error}).",
                "a folder that can be made and written.",
                "another checkpoint folder.",
            ) from error
        if found is None:
            self._settings = wanted
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
        path = self._path(name)
        if path is None or not path.exists():
            return None
        source = Source(
            path,
            DirectionFileError,
            "a file written by discover.",
            "delete it; the rest of the folder stays, and what it contained is made again.",
            most=4096 * MEBIBYTE,
        )
        metadata, tensors = stored_tensors.read(source)
        facts = json_text.parsed(metadata.get("directrix", ""), source, " > metadata")
        if not isinstance(facts, dict):
            raise source.wrong("is damaged: its metadata are no JSON object")
        tensors.pop(_NOTHING, None)
        # Files of version 0.2 and before have no checksum.
        sha256 = facts.pop(CHECKSUM, None)
        if sha256 is not None and sha256 != stored_tensors.checksum(facts, tensors):
            raise source.wrong("is damaged: its values are not those that were saved")
        return tensors, facts

    def save(self, name: str, tensors: Mapping[str, Tensor], **facts: Any) -> None:
        """Saves tensors and facts under ``name``, in place of what was there; OutputError if it can't."""
        import torch
        from safetensors.torch import save

        path = self._path(name)
        if path is not None:
            contents = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
            described = {**facts, CHECKSUM: stored_tensors.checksum(json.loads(json.dumps(facts)), contents)}
            self.begin()
            stored = contents or {_NOTHING: torch.zeros(1)}
            write_atomically(path, save(stored, {"directrix": json.dumps(described)}))

    def begin(self) -> None:
        """Writes the settings, where they are not there yet; `save` does so itself. OutputError if it can't."""
        if self.folder is not None and self._settings is not None:
            write_atomically(self.folder / SETTINGS, json.dumps(self._settings, indent=1).encode())
            self._settings = None

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

    def locked(self) -> AbstractContextManager[None]:
        """Within, nobody else works on the folder. Raises OutputError where somebody does."""
        return nullcontext() if self.folder is None else locked(self.folder, again=True, temporary=True)

    def remove(self) -> None:
        """Removes the files that discoveries and calibrations write, and the folder where nothing else is in it."""
        if self.folder is None or not self.folder.is_dir():
            return
        with self.locked():
            for path in self.folder.iterdir():
                if _OWN.fullmatch(path.name):
                    path.unlink(missing_ok=True)

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
