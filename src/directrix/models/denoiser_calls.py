"""The denoiser's present call, as an intervention sees it: whose it is, its rows, its step and its image tokens.

A `Scope` is where an intervention acts: in calls of its own pipeline that are made in the context it was opened in (the
same thread and task, and the tasks that these start). Each call is looked at once, when it begins.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from functools import cache, cached_property, partial
from threading import local
from typing import TYPE_CHECKING, Any
from weakref import ref

from directrix.errors import MismatchError, ModelError, StrengthError
from directrix.models import branches, hooks, running
from directrix.models.image_tokens import ImageTokens
from directrix.models.steerable import SteerableModel
from directrix.models.step_caches import leaves_out_unconditional
from directrix.models.step_clock import Step, StepClock

if TYPE_CHECKING:
    from torch import nn

# The scopes that were opened in this context.
_OPEN: ContextVar[tuple[ref[Any], ...]] = ContextVar("directrix_open", default=())


class DenoiserCall:
    """One call of a denoiser.

    arguments: by name, the state first.
    """

    def __init__(self, scope: Scope, network: nn.Module, arguments: Mapping[str, Any], memory: _Memory) -> None:
        self.network, self.arguments = network, arguments
        self._scope, self._memory, self._count = scope, memory, memory.calls

    @cached_property
    def _values(self) -> Mapping[str, Any]:
        # Only while the call lasts: then the pipeline's functions go on.
        return running.local_variables(self._scope.model.pipeline) if self._memory.run else {}

    @cached_property
    def rows(self) -> int:
        """Of the batch that the blocks are given."""
        given = branches.row_count(next(iter(self.arguments.values())))
        return given // 2 if leaves_out_unconditional(self.network) else given

    @cached_property
    def layout(self) -> tuple[bool, str]:
        """Whether there are two branches of guidance, and which of them are in this call (`directions.strength`)."""
        guided, layout = self._memory.layout(self._scope, self)
        return guided, layout.partition("-")[2] if leaves_out_unconditional(self.network) else layout

    @cached_property
    def step(self) -> Step:
        """The present step; StrengthError where it cannot be known."""
        return self._memory.clock.now(self._values, self.arguments.get("timestep"))

    @property
    def place(self) -> str:
        """Which step this is, for people, counted from 1; which call where the step cannot be known."""
        try:
            return f"step {self.step.index + 1} of {self.step.count}"
        except StrengthError:
            return f"call {self._count} of the denoiser"

    @cached_property
    def tokens(self) -> ImageTokens:
        """Which tokens are the image's."""
        return ImageTokens(self.network, self.arguments)


class _Memory:
    """What a scope remembers of one call of its pipeline."""

    def __init__(self, scope: Scope, run: running.Run | None) -> None:
        self.run = run
        self.clock = StepClock(scope.model)
        self.call: DenoiserCall | None = None
        self.other_branch = False
        self.known: dict[str, Any] = {}
        self.checks: list[Callable[[], None]] = []
        self.calls = 0
        self._layouts: list[tuple[int, tuple[Any, ...], tuple[bool, str]]] = []

    def layout(self, scope: Scope, call: DenoiserCall) -> tuple[bool, str]:
        """See `DenoiserCall.layout`."""
        if self.run is None:
            # Somebody calls the denoiser itself.
            if scope.guided is None and not scope.model.declares_guidance:
                raise StrengthError(
                    f"{scope.model.name} does not say whether a call of its denoiser holds both branches of guidance.",
                    "a call of the pipeline, which shows it.",
                    "guided=True or guided=False.",
                )
            return (True, "unconditional-conditional") if scope.guided else (False, "conditional")
        others = list(call.arguments.values())[1:]
        texts = tuple(each for each in others if isinstance(each, list) or getattr(each, "ndim", 0) > 2)
        for rows, same, found in self._layouts:
            if rows == call.rows and len(same) == len(texts) and all(a is b for a, b in zip(same, texts, strict=True)):
                return found
        pipeline = call._values.get("self", scope.model.pipeline)
        layout, guided = branches.layout_of(pipeline, call.arguments, call._values)
        self.other_branch |= layout != "conditional"
        found = (guided or self.other_branch, layout)
        if scope.guided is not None and scope.guided != found[0]:
            raise StrengthError(
                f"guided={scope.guided} was asked for, but {scope.model.name} draws with{'' if found[0] else 'out'} "
                "both branches of guidance.",
                "guided=None, which asks the pipeline.",
                "leave `guided` out.",
            )
        # A step has two calls at most; more would keep tensors that nobody needs.
        self._layouts = [(call.rows, texts, found), *self._layouts[:1]]
        return found


class Scope:
    """Where an intervention acts.

    Args:
        guided: whether calls of the denoiser itself hold both branches of guidance; a pipeline's own calls show it.
        everywhere: in all threads and tasks, as what is attached to the pipeline.
    """

    def __init__(self, model: SteerableModel, guided: bool | None = None, everywhere: bool = False) -> None:
        self.model = SteerableModel.of(model)
        self.guided = guided
        self._everywhere = everywhere
        self._mark = ref(self)
        self._direct = local()
        self._networks: list[nn.Module] = []
        self._watching: list[Callable[[DenoiserCall], None]] = []
        self._said: set[str] = set()
        self._closed_from_outside = False

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Within, it acts; StrengthError for a modular pipeline, whose blocks call the denoiser in their own ways."""
        if any(each.__name__ == "ModularPipeline" for each in type(self.model.pipeline).__mro__):
            raise StrengthError(
                f"{self.model.name} is a modular pipeline, whose guider decides the branches.",
                "a pipeline that is not modular.",
                "directrix.guiders.Steered(directions, pipeline.guider).install(pipeline).",
            )
        self._networks = self.model.denoisers
        with ExitStack() as stack:
            if any("__call__" in vars(each) for each in type(self.model.pipeline).__mro__):
                stack.enter_context(running.followed(self.model.pipeline, self._begin, self._end))
            for network in self._networks:
                see = partial(self._see, network)
                stack.enter_context(hooks.before_call(network, see, compiled=self.model.compiled))
            if not self._everywhere:
                # What was closed in another context is still listed in this one, until it is gone.
                _OPEN.set((*(each for each in _OPEN.get() if each() is not None), self._mark))
            stack.callback(self._leave)
            yield

    def watch(self, see: Callable[[DenoiserCall], None]) -> None:
        """Shows each call that it acts on to `see`, before the denoiser runs."""
        self._watching.append(see)

    def recall(self, name: str, otherwise: Callable[[], Any]) -> Any:
        """What was remembered under a name in the pipeline's present call, which is `otherwise()` at first."""
        known = self._known()
        if name not in known:
            known[name] = otherwise()
        return known[name]

    def remember(self, name: str, value: Any) -> None:
        """Remembers a value until the pipeline's present call ends."""
        self._known()[name] = value

    def at_end(self, check: Callable[[], None]) -> None:
        """Calls `check` when the pipeline's call ends; at once where none runs."""
        memory = self._memory()
        if memory is None or memory.run is None:
            check()
        else:
            memory.checks.append(check)

    def now(self) -> DenoiserCall | None:
        """The present call; None where it is somebody else's."""
        memory = self._memory()
        return None if memory is None else memory.call

    def _known(self) -> dict[str, Any]:
        memory = self._memory()
        return {} if memory is None else memory.known

    def _leave(self) -> None:
        self._closed_from_outside = running.running(self.model.pipeline) is None
        _OPEN.set(tuple(each for each in _OPEN.get() if each is not self._mark))

    def _memory(self) -> _Memory | None:
        """What is remembered of the call that runs here; None where it is somebody else's."""
        if not self._everywhere and self._mark not in _OPEN.get():
            return None
        run = running.running(self.model.pipeline)
        if run is not None:
            if self not in run.state:
                run.state[self] = _Memory(self, run)
            return run.state[self]
        if running.somebody_else(self.model.pipeline) is not None:
            return None
        if not hasattr(self._direct, "memory"):
            self._direct.memory = _Memory(self, None)
        return self._direct.memory

    def _see(self, network: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        memory = self._memory()
        if memory is None:
            return
        other = None if memory.run is None else running.somebody_else(self.model.pipeline)
        if other is not None:
            memory.call = None
            if not running.is_followed(other):
                self._say(
                    f"A call of {type(other).__name__} within a call of {self.model.name} is not steered. Open the "
                    "steering for this pipeline too."
                )
            return
        memory.calls += 1
        memory.call = DenoiserCall(self, network, by_name(network, args, kwargs), memory)
        for see in self._watching:
            see(memory.call)

    def _end(self, run: running.Run) -> None:
        if self not in run.state:
            return
        if self._closed_from_outside:
            self._say(
                f"The steering of {self.model.name} was closed or changed in another thread or task during a call: "
                "its images are steered in a part of their steps."
            )
        for check in run.state[self].checks:
            check()

    def _begin(self, run: running.Run) -> None:
        """A call of the pipeline begins."""
        now = self.model.denoisers
        if len(now) != len(self._networks) or any(a is not b for a, b in zip(now, self._networks, strict=True)):
            raise MismatchError(
                "The pipeline has another denoiser than when its steering was opened.",
                "the one that the hooks are on.",
                "open `steer` (or load the directions) again after a denoiser was replaced.",
            )
        if self._memory() is None:
            self._say(
                f"A call of {self.model.name} is not steered: its steering was opened in another thread or task. "
                "Open it where the pipeline is called, or use directrix.attach, which acts in all threads."
            )

    def _say(self, what: str) -> None:
        """Warns, once for each text."""
        if what not in self._said:
            self._said.add(what)
            warnings.warn(what, RuntimeWarning, stacklevel=5)


@cache
def parameters(network_class: type) -> tuple[str, ...]:
    """Names of the arguments of a denoiser's call, in order."""
    return tuple(inspect.signature(network_class.forward).parameters)[1:]  # pyright: ignore


def by_name(network: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call of the network by name, the state first."""
    names = parameters(type(network))
    named = {**dict(zip(names, args, strict=False)), **kwargs}
    first = next((name for name in names if name in named), None)
    if first is None:
        raise ModelError(
            f"{type(network).__name__} was called without a state.", "a denoiser of diffusers.", "another model."
        )
    return {first: named.pop(first), **named}
