"""Interventions: whatever changes a pipeline's pictures for a while and leaves no trace.

Steering and every rival method are interventions, so that code that draws or measures need not know which is
which.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Intervention(Protocol):
    """What every intervention offers."""

    @property
    def name(self) -> str:
        """A short name for tables."""
        ...

    @property
    def config(self) -> Mapping[str, Any]:
        """All settings, as JSON values: two interventions with equal settings draw equal pictures."""
        ...

    def applied(self, pipeline: Any) -> AbstractContextManager[Any]:
        """A context within which the pipeline's pictures are changed."""
        ...


def select(intervention: Intervention, images: Sequence[int], total: int) -> Intervention:
    """The intervention for some images of a run.

    One whose settings differ from image to image has a method `select(images, total)`; any other is returned
    as it is.

    Args:
        images: positions of the images in the run.
        total: number of images in the run.
    """
    chooser = getattr(intervention, "select", None)
    return intervention if chooser is None else chooser(images, total)


class _Composed:
    def __init__(self, parts: Sequence[Intervention]) -> None:
        self._parts = tuple(parts)

    @property
    def name(self) -> str:
        return " + ".join(part.name for part in self._parts) or "none"

    @property
    def config(self) -> Mapping[str, Any]:
        return {"method": "composed", "parts": [dict(part.config) for part in self._parts]}

    @contextmanager
    def applied(self, pipeline: Any) -> Iterator[Any]:
        with ExitStack() as stack:
            for part in self._parts:
                stack.enter_context(part.applied(pipeline))
            yield pipeline

    def select(self, images: Sequence[int], total: int) -> Intervention:
        return _Composed([select(part, images, total) for part in self._parts])


def compose(*interventions: Intervention) -> Intervention:
    """Several interventions at once, entered in order. None at all changes nothing."""
    return interventions[0] if len(interventions) == 1 else _Composed(interventions)
