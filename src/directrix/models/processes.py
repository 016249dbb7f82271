"""The processes of one launch that share a run's work, as `accelerate launch` and torchrun start them.

Nothing is shared before a program calls `join`, since a script may start processes for work of its own. All processes
call the same functions in the same order, and see the same folders. What they tell each other is small: rows, verdicts
and features, over gloo, whatever the model runs on. Where one fails, the launcher ends the others.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar

from directrix.errors import DirectrixError, first_line

_T = TypeVar("_T")
# One process may draw for as long as it likes while the others wait.
_PATIENCE = timedelta(days=30)


class Processes(NamedTuple):
    """How many there are, and which this is: `rank` over all machines, `local_rank` on its own."""

    count: int = 1
    rank: int = 0
    local_rank: int = 0


_joined: tuple[Processes, Any] = (Processes(), None)


def joined() -> Processes:
    """The processes that share their work with this one; itself alone before `join`."""
    return _joined[0]


def join() -> Processes:
    """Shares work with the other processes of the launch from now on, where there are others.

    Raises:
        DirectrixError: the environment does not say how the processes find each other, or they don't.
    """
    global _joined
    try:
        found = Processes(*(int(os.environ.get(name, least)) for name, least in _VARIABLES))
        if found.count > 1 and _joined[1] is None:
            from torch import distributed

            if not distributed.is_initialized():
                distributed.init_process_group("gloo", timeout=_PATIENCE)
            _joined = found, distributed.new_group(backend="gloo", timeout=_PATIENCE)
    except (ValueError, RuntimeError) as error:
        raise DirectrixError(
            f"The processes of this launch do not find each other ({first_line(error)}).",
            "the environment that `accelerate launch` and torchrun make.",
            "start the command with one of them, or unset WORLD_SIZE.",
        ) from error
    return joined()


_VARIABLES = (("WORLD_SIZE", 1), ("RANK", 0), ("LOCAL_RANK", 0))


def leave() -> None:
    """Ends what `join` began; of all processes, or of one that fails."""
    global _joined
    if _joined[1] is not None:
        from torch import distributed

        _joined = (Processes(), None)
        distributed.destroy_process_group()


def together(part: _T) -> list[_T]:
    """What each process gives, in their order; waits for all of them."""
    processes, group = _joined
    parts: list[Any] = [part] * processes.count
    if group is not None:
        from torch import distributed

        with _all_there():
            distributed.all_gather_object(parts, part, group=group)
    return parts


def first(work: Callable[[], _T]) -> _T:
    """What the work gives, which the first process does alone. Where it raises, the others exit with its code."""
    processes, group = _joined
    if group is None:
        return work()
    from torch import distributed

    given: list[Any] = [None, None]
    try:
        if processes.rank == 0:
            given[0] = work()
    except DirectrixError as error:
        given[1] = error.exit_code
        raise
    finally:
        with _all_there():
            distributed.broadcast_object_list(given, src=0, group=group)
    if given[1] is not None:
        raise SystemExit(given[1])
    return given[0]


@contextmanager
def _all_there() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise DirectrixError(
            "Another process of this launch ended before the work was done.",
            "all of them, up to the end.",
            "the same command again: it goes on where it stopped.",
        ) from error
