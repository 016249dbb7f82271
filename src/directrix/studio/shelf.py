"""The shelf: directions that visitors found and saved, a file each, in a folder of the studio's own."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from directrix.errors import DirectionFileError, DirectrixError
from directrix.reading.names import file_stem

if TYPE_CHECKING:
    from directrix.directions.direction import Direction

LOG = logging.getLogger(__name__)
MOST = 12  # directions of a model
LONGEST = 40  # characters of a name
_NAME = re.compile(r"\w([\w .+-]*[\w+-])?")


def named(text: object) -> str:
    """The name that somebody typed, without spaces around it. Raises DirectrixError where it names no file."""
    name = " ".join(text.split()) if isinstance(text, str) else ""
    if len(name) > LONGEST or not _NAME.fullmatch(name):
        expected = f"1 to {LONGEST} letters, digits, spaces and hyphens."
        raise DirectrixError("This is no name for a direction." if name else "There is no name.", expected, "a knight.")
    return name


class Shelf:
    """Saved directions, by model and name. One process has the folder.

    Args:
        folder: made when the first direction is saved; holds a folder for each model.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, dict[str, Direction]] = {}
        self._lock = threading.RLock()

    def directions(self, model: str) -> Mapping[str, Direction]:
        """Those of a model; files that cannot be read are left out, which the terminal says."""
        from directrix.directions.direction import Direction

        with self._lock:
            if model not in self._known:
                found: dict[str, Direction] = {}
                for path in sorted(self._of(model).glob("*.safetensors"))[:MOST]:
                    try:
                        direction = Direction.load(path)
                    except DirectionFileError as error:
                        LOG.warning("%s It is left out.", error)
                    else:
                        # The file's name is what nobody else can have.
                        found[path.stem] = direction.with_(name=path.stem)
                self._known[model] = found
            return dict(self._known[model])

    def save(self, model: str, direction: Direction, name: str, taken: Iterable[str] = ()) -> None:
        """Saves a direction under a name. Raises DirectrixError: a name that is taken or makes no sense, or no place.

        taken: names of other directions.
        """
        name = named(name)
        with self._lock:
            there = self.directions(model)
            if len(there) >= MOST:
                happened = f"{len(there)} directions are saved already."
                raise DirectrixError(happened, f"at most {MOST} of a model.", "delete one of them.")
            self._free(name, [*there, *taken])
            direction = direction.with_(name=name)
            self._of(model).mkdir(parents=True, exist_ok=True)
            direction.save(self._path(model, name))
            self._known[model][name] = direction

    def rename(self, model: str, old: str, new: str, taken: Iterable[str] = ()) -> None:
        """Gives a direction another name. Raises what `save` raises, and DirectrixError where it is not there."""
        new = named(new)
        with self._lock:
            direction = self.direction(model, old)
            self._free(new, [name for name in (*self.directions(model), *taken) if name != old])
            if new != old:
                self._path(model, old).rename(self._path(model, new))
                direction = direction.with_(name=new)
                direction.save(self._path(model, new))
                del self._known[model][old]
                self._known[model][new] = direction

    def delete(self, model: str, name: str) -> None:
        """Deletes a direction's file. Raises DirectrixError where it is not there."""
        with self._lock:
            self.direction(model, name)
            self._path(model, name).unlink(missing_ok=True)
            del self._known[model][name]

    def direction(self, model: str, name: str) -> Direction:
        """A saved direction. Raises DirectrixError where it is not there, or no longer."""
        found = self.directions(model).get(name) if isinstance(name, str) else None
        if found is None:
            raise DirectrixError("This direction is not saved here.", "one of the list.", "reload the page.")
        return found

    def file(self, model: str, name: str | None) -> Path | None:
        """The file of a saved direction; None where there is none."""
        return self._path(model, name) if name in self.directions(model) and name is not None else None

    def _free(self, name: str, taken: Iterable[str]) -> None:
        if file_stem(name).lower() in {file_stem(each).lower() for each in taken}:
            raise DirectrixError(f"There is a direction '{name}' already.", "another name.", f"{name} 2.")

    def _of(self, model: str) -> Path:
        return self._folder / file_stem(model)

    def _path(self, model: str, name: str) -> Path:
        return self._of(model) / f"{file_stem(name)}.safetensors"
