"""Images that a loop draws again, since they are not yet what it is for: one turn after the other.

Each turn draws only those images again that the one before left as something else. What is steered in it, and what is
found of the images then, is the loop's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from PIL import Image


class Loop(Protocol):
    """What looks at images, and steers those that need it; see `directrix.interventions.protocol` for most of it.

    most: how many turns it has.
    """

    @property
    def name(self) -> str: ...
    @property
    def config(self) -> Mapping[str, Any]: ...
    @property
    def most(self) -> int: ...
    def select(self, images: Sequence[int], total: int) -> Loop: ...
    def found(self) -> list[dict[str, Any]]: ...
    def look(self, images: Sequence[Image.Image | None], last: bool = False) -> list[bool]: ...
    def forming(self) -> list[bool]: ...
    def again(self, pipeline: Any) -> AbstractContextManager[Any]:
        """Steers the pipeline where images are drawn again, by what was found of them."""
        ...


class Turn:
    """An intervention of the images that a loop draws again.

    number: of the turn, the first is 0.
    """

    def __init__(self, loop: Loop, number: int = 0) -> None:
        self._loop, self._number = loop, number

    @property
    def name(self) -> str:
        """The loop's."""
        return self._loop.name

    @property
    def config(self) -> Mapping[str, Any]:
        """The loop's."""
        return self._loop.config

    def select(self, images: Sequence[int], total: int) -> Turn:
        """The same for some images of the run."""
        return Turn(self._loop.select(images, total), self._number)

    def found(self) -> list[dict[str, Any]]:
        """The loop's."""
        return self._loop.found()

    def look(self, images: Sequence[Image.Image | None], last: bool = False) -> list[bool]:
        """The loop's."""
        return self._loop.look(images, last)

    def forming(self) -> list[bool]:
        """Of each image whether it is drawn once more; after the last turn none is."""
        return [each and self._number + 1 < self._loop.most for each in self._loop.forming()]

    def next_turn(self) -> Turn | None:
        """The next one; None after the last."""
        return Turn(self._loop, self._number + 1) if self._number + 1 < self._loop.most else None

    def applied(self, pipeline: Any) -> AbstractContextManager[Any]:
        """See `Loop.again`."""
        return self._loop.again(pipeline)
