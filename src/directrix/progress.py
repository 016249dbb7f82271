"""Progress of long work, without a word about how it is shown.

    with progress(total, "Drawing images") as bar:
        bar.advance(8)

`silent` is the default everywhere; `bars` shows a bar with the time left, for the command line.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, runtime_checkable


class Task:
    """One piece of work that is under way; this one shows nothing."""

    def advance(self, n: int = 1) -> None:
        """Says that `n` more units are done."""


@runtime_checkable
class Progress(Protocol):
    """Starts a task of `total` units; use as a context manager."""

    def __call__(self, total: int, label: str) -> AbstractContextManager[Task]: ...


@contextmanager
def silent(total: int, label: str) -> Iterator[Task]:
    """Shows nothing."""
    yield Task()


def labelled(progress: Progress, prefix: str) -> Progress:
    """The same progress with `prefix` before every label, such as "steered: drawing images"."""

    def prefixed(total: int, label: str) -> AbstractContextManager[Task]:
        return progress(total, prefix + label[:1].lower() + label[1:])

    return prefixed


@contextmanager
def bars(total: int, label: str) -> Iterator[Task]:
    """Shows a bar with the time left on standard error."""
    from tqdm import tqdm

    class Bar(Task):
        def advance(self, n: int = 1) -> None:
            shown.update(n)

    # One inside another goes when it is done.
    with tqdm(total=total, desc=label, dynamic_ncols=True, leave=None) as shown:
        yield Bar()
