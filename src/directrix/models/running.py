"""Which call of which pipeline is running, in this thread and task.

Pipelines may share one denoiser, and several of their calls may run at once. So the classes of the pipelines that are
steered at present say when a call begins and ends (`followed`), in a context variable: each thread and each asyncio
task has its own. What a pipeline knows of its own call (its latents, its prompt embeddings, its step) stands in the
local variables of its functions; `local_variables` reads them, and changes nothing.
"""

from __future__ import annotations

import re
import sys
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, wraps
from threading import RLock
from typing import Any
from weakref import WeakMethod, ref

# Whatever opens or closes hooks, or changes a class, has it: torch numbers its hooks without one.
LOCK = RLock()
_NETWORKS = re.compile(r"[/\\](torch[/\\]nn|diffusers[/\\](models|hooks)|directrix[/\\](models|interventions))[/\\]")


class Run:
    """One call of a pipeline.

    state: what each intervention remembers of it; it goes when the call ends.
    """

    def __init__(self, pipeline: Any) -> None:
        self.pipeline = pipeline
        self.state: dict[Any, Any] = {}


_RUNNING: ContextVar[tuple[Run, ...]] = ContextVar("directrix_running", default=())


class _Followed:
    """A class of pipelines whose calls are followed: by whom, and what its `__call__` is otherwise."""

    def __init__(self, pipeline_class: type) -> None:
        self.own = "__call__" in vars(pipeline_class)
        self.original = pipeline_class.__call__
        # Weakly, so that a pipeline with a lasting steering can go.
        self.by: list[tuple[Any, WeakMethod[Any], WeakMethod[Any]]] = []


_FOLLOWED: dict[type, _Followed] = {}


def running(pipeline: Any) -> Run | None:
    """The call of the pipeline that is running here; None where there is none."""
    return next((run for run in _RUNNING.get() if run.pipeline is pipeline), None)


def somebody_else(pipeline: Any) -> Any:
    """The pipeline whose call the code that runs here belongs to, where that is neither this one nor a part of it."""
    callers = (values["self"] for _, values in _methods() if isinstance(values["self"], _pipelines()))
    # A call may call another pipeline, in a callback say: the innermost one counts.
    caller = next(callers, None)
    if caller is None and _RUNNING.get():
        caller = _RUNNING.get()[-1].pipeline
    return None if caller is pipeline or any(each is caller for each in vars(pipeline).values()) else caller


def is_followed(pipeline: Any) -> bool:
    """Whether somebody follows the pipeline's calls."""
    with LOCK:
        return any(each[0]() is pipeline for found in _FOLLOWED.values() for each in found.by)


@contextmanager
def followed(pipeline: Any, begin: Callable[[Run], None], end: Callable[[Run], None]) -> Iterator[None]:
    """Within, `begin(run)` is called when a call of the pipeline begins, and `end(run)` when it has ended well.

    Both are methods, which whoever follows keeps alive. What they raise, the call raises. The pipeline's class is what
    it was when the last one who follows it leaves.
    """
    pipeline_class = type(pipeline)
    entry = (ref(pipeline), WeakMethod(begin), WeakMethod(end))
    with LOCK:
        found = _FOLLOWED.get(pipeline_class)
        if found is None:
            found = _Followed(pipeline_class)
            pipeline_class.__call__ = _following(found)  # pyright: ignore[reportAttributeAccessIssue]
            _FOLLOWED[pipeline_class] = found
        found.by.append(entry)
    try:
        yield
    finally:
        with LOCK:
            del found.by[next(place for place, each in enumerate(found.by) if each is entry)]
            if not found.by:
                del _FOLLOWED[pipeline_class]
                if found.own:
                    pipeline_class.__call__ = found.original  # pyright: ignore[reportAttributeAccessIssue]
                else:
                    del pipeline_class.__call__


def local_variables(pipeline: Any) -> Mapping[str, Any]:
    """The local variables of the pipeline's functions that run here, those of the innermost first; empty for none.

    Where a combined pipeline calls one of its parts, they are the part's.
    """
    found: list[Mapping[str, Any]] = []
    for name, values in _methods():
        owner = values["self"]
        if found and owner is not found[0]["self"]:
            continue
        if found or owner is pipeline or isinstance(owner, _pipelines()):
            found.append(values)
            if name == "__call__":
                break
    if len(found) == 1:
        return found[0]
    return ChainMap(*found) if found else {}  # pyright: ignore[reportArgumentType]


@cache
def _pipelines() -> tuple[type, ...]:
    import diffusers

    # The oldest supported diffusers has no modular ones.
    names = ("DiffusionPipeline", "ModularPipeline")
    return tuple(getattr(diffusers, name) for name in names if hasattr(diffusers, name))


def _following(followed: _Followed) -> Callable[..., Any]:
    original = followed.original

    @wraps(original)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        runs = _RUNNING.get()
        # A class and the one it inherits from may both be followed: then it is one call.
        run = runs[-1] if runs and runs[-1].pipeline is self else Run(self)
        mine = [each[1:] for each in tuple(followed.by) if each[0]() is self]
        token = _RUNNING.set((*runs, run))
        try:
            for begin, _ in mine:
                _tell(begin, run)
            result = original(self, *args, **kwargs)
            for _, end in mine:
                _tell(end, run)
            return result
        finally:
            _RUNNING.reset(token)

    return call


def _tell(method: WeakMethod[Any], run: Run) -> None:
    found = method()
    if found is not None:
        found(run)


def _methods() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Name and local variables of the methods that run here, from the innermost one, without those of networks."""
    frame = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if code.co_argcount and code.co_varnames[0] == "self" and not _NETWORKS.search(code.co_filename):
            values = frame.f_locals
            if "self" in values:
                yield code.co_name, values
        frame = frame.f_back
