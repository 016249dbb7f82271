"""Which branch of guidance the denoiser is asked about at present.

Most pipelines put both branches into one batch; some call the denoiser twice a step; some have the guidance scale built
in, or none. Some say so, some only pass it on.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import update_wrapper
from typing import Any, NamedTuple

from directrix.errors import StrengthError
from directrix.models import activations, sites
from directrix.models.steerable import SteerableModel


class Call(NamedTuple):
    """One call of the denoiser: whether the image is guided, and how the call's batch is laid out (`strength`)."""

    guided: bool
    layout: str


class Guidance:
    """Follows a pipeline's calls of its denoiser.

    Args:
        guided: whether the batch holds both branches; None to find out.
    """

    def __init__(self, model: SteerableModel, guided: bool | None = None) -> None:
        self._model = SteerableModel.of(model)
        self._pipeline = self._model.pipeline
        self._given = guided
        self._layout = self._model.guidance_layout
        self._stated: bool | None = None
        self._branch = "conditional"
        self._seen: tuple[Any, Any] | None = None
        self._alone = False
        self._partial = False

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Within, calls are followed; nothing is left behind.

        Raises:
            StrengthError: a pipeline whose batches have three parts.
        """
        name = self._model.name
        if self._given is None and ("PAG" in name or "InstructPix2Pix" in name):
            raise StrengthError(
                f"The batches of {name} have three parts, of which two cannot be told apart.",
                "a pipeline with two branches of guidance or none.",
                "the pipeline of the same model without it.",
            )
        with ExitStack() as stack:
            # A U-Net's pipeline says all that there is to know.
            streams = sites.blocks(self._model.denoiser)
            if streams:
                stack.enter_context(activations.before_call(self._model, self._see))
            if streams or not declares_guidance(self._pipeline):
                stack.enter_context(_listening(self._pipeline, self._hear))
            yield

    def now(self) -> Call:
        """The present call.

        Raises:
            StrengthError: nobody can tell whether it is guided.
        """
        if self._layout == "two-calls":
            if self._given is False or (self._branch == "conditional" and self._alone):
                return Call(False, "conditional")
            return Call(True, self._branch)
        if self._partial:
            return Call(True, "conditional")
        return Call(self._guided(), self._layout)

    def _guided(self) -> bool:
        if self._given is not None:
            return self._given
        declared = _declared(self._pipeline)
        if self._stated is not None and declared is None:
            return self._stated
        if self._layout != "none" and not declares_guidance(self._pipeline):
            raise StrengthError(
                f"{self._model.name} does not say whether its batch holds both branches of guidance.",
                "a pipeline with `do_classifier_free_guidance`.",
                "guided=True or guided=False.",
            )
        # None where the pipeline was never called: somebody calls the denoiser itself.
        return self._layout != "none" and bool(declared)

    def _hear(self, stated: bool | None) -> None:
        """A pipeline call begins: its first step is no second one, even if it is about the state of the last call's."""
        self._stated = self._stated if stated is None else stated
        self._branch, self._seen = "conditional", None

    def _see(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        # A third call without some layers, of the conditional branch alone (Stable Diffusion 3.5).
        self._partial = kwargs.get("skip_layers") is not None
        if self._layout != "two-calls":
            return
        state = kwargs.get("hidden_states", args[0] if args else None)
        time = kwargs.get("timestep")
        # The second call of a step is about the very same state at the same time.
        again = self._branch == "conditional" and self._seen is not None and _same(self._seen, (state, time))
        first = self._seen is None
        self._alone = (
            not bool(self._pipeline.do_classifier_free_guidance)
            if declares_guidance(self._pipeline)
            else not first and not again and self._branch == "conditional"
        )
        self._branch = "unconditional" if again else "conditional"
        self._seen = (state, time)


class _Ear:
    """Stands in for a pipeline's `encode_prompt`, with which every call begins, and tells all who listen of it."""

    def __init__(self, original: Callable[..., Any], own: bool) -> None:
        self.original, self.own = original, own
        self.listeners: list[Callable[[bool | None], None]] = []
        self._signature = inspect.signature(original)
        update_wrapper(self, original)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        guided = self._guided(args, kwargs)
        for hear in tuple(self.listeners):
            hear(guided)
        return self.original(*args, **kwargs)

    def _guided(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool | None:
        """What it is given about guidance; None where that is nothing."""
        try:
            guided = self._signature.bind(*args, **kwargs).arguments.get("do_classifier_free_guidance")
        except TypeError:
            # The call itself will say what is wrong with it.
            return None
        return None if guided is None else bool(guided)


@contextmanager
def _listening(pipeline: Any, hear: Callable[[bool | None], None]) -> Iterator[None]:
    """Within, `hear` learns when a pipeline call begins, and of its guidance what PixArt and its like tell nobody else.

    Several may listen, and leave in any order: the last one takes the ear away.
    """
    if not hasattr(pipeline, "encode_prompt"):
        yield
        return
    ear = pipeline.encode_prompt
    if not isinstance(ear, _Ear):
        ear = _Ear(ear, "encode_prompt" in vars(pipeline))
        pipeline.encode_prompt = ear
    ear.listeners.append(hear)
    try:
        yield
    finally:
        # By identity: bound methods are equal when their objects are.
        del ear.listeners[next(place for place, each in enumerate(ear.listeners) if each is hear)]
        if not ear.listeners and vars(pipeline).get("encode_prompt") is ear:
            if ear.own:
                pipeline.encode_prompt = ear.original
            else:
                del pipeline.encode_prompt


def declares_guidance(pipeline: Any) -> bool:
    """Whether the pipeline says by itself if it guides (`do_classifier_free_guidance`)."""
    return hasattr(type(pipeline), "do_classifier_free_guidance")


def tells_guidance(pipeline_class: type) -> bool:
    """Whether a pipeline's guidance can be known: it declares it, or its `encode_prompt` can be listened to."""
    return hasattr(pipeline_class, "do_classifier_free_guidance") or hasattr(pipeline_class, "encode_prompt")


def _declared(pipeline: Any) -> bool | None:
    """What the pipeline says of its present call; None where it says nothing."""
    if not declares_guidance(pipeline):
        return None
    try:
        # In diffusers 0.31 Lumina declares its guidance and fails when it is asked.
        return bool(pipeline.do_classifier_free_guidance)
    except AttributeError:
        return None


def _same(one: tuple[Any, Any], other: tuple[Any, Any]) -> bool:
    import torch

    pairs = zip(one, other, strict=True)
    return all(
        isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor) and a.shape == b.shape and torch.equal(a, b)
        for a, b in pairs
    )
