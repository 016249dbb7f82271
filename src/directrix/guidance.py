"""Which half of guidance the denoiser is asked about at present.

Most pipelines put both halves into one batch; some call the denoiser twice a step; some have the guidance scale built
in, or none. Some say so, some only pass it on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any, NamedTuple

from directrix import _hooks, families, sites
from directrix.errors import StrengthError


class Call(NamedTuple):
    """One call of the denoiser: whether the picture is guided, and how the call's batch is laid out (`strength`)."""

    guided: bool
    layout: str


class Guidance:
    """Follows a pipeline's calls of its denoiser.

    Args:
        guided: whether the batch holds both halves; None to find out.
    """

    def __init__(self, pipeline: Any, guided: bool | None = None) -> None:
        self._pipeline = pipeline
        self._given = guided
        self._layout = families.guidance_layout(pipeline)
        self._told: bool | None = None
        self._half = "conditional"
        self._seen: tuple[Any, Any] | None = None
        self._alone = False
        self._partial = False

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Within, calls are followed; nothing is left behind.

        Raises:
            StrengthError: a pipeline whose batches have three parts.
        """
        network = sites.denoiser(self._pipeline)
        name = type(self._pipeline).__name__
        if self._given is None and ("PAG" in name or "InstructPix2Pix" in name):
            raise StrengthError(
                f"The batches of {name} have three parts, of which two cannot be told apart.",
                "a pipeline with two halves of guidance or none.",
                "the pipeline of the same model without it.",
            )
        with ExitStack() as stack:
            # A U-Net's pipeline says all that there is to know.
            if sites.blocks(network):
                stack.enter_context(_hooks.before_call(network, self._see))
                stack.enter_context(self._listening())
            yield

    def now(self) -> Call:
        """The present call.

        Raises:
            StrengthError: nobody can tell whether it is guided.
        """
        if self._layout == "two-calls":
            if self._given is False or (self._half == "conditional" and self._alone):
                return Call(False, "conditional")
            return Call(True, self._half)
        if self._partial:
            return Call(True, "conditional")
        return Call(self._guided(), self._layout)

    def _guided(self) -> bool:
        if self._given is not None:
            return self._given
        if self._told is not None and _declared(self._pipeline) is None:
            return self._told
        return is_guided(self._pipeline)

    def _see(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        # A third call without some layers, of the conditional half alone (Stable Diffusion 3.5).
        self._partial = kwargs.get("skip_layers") is not None
        if self._layout != "two-calls":
            return
        state = kwargs.get("hidden_states", args[0] if args else None)
        time = kwargs.get("timestep")
        # The second call of a step is about the very same state at the same time.
        again = self._half == "conditional" and self._seen is not None and _same(self._seen, (state, time))
        first = self._seen is None
        declared = getattr(type(self._pipeline), "do_classifier_free_guidance", None) is not None
        self._alone = (
            not bool(self._pipeline.do_classifier_free_guidance)
            if declared
            else not first and not again and self._half == "conditional"
        )
        self._half = "unconditional" if again else "conditional"
        self._seen = (state, time)

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """Pipelines that do not say whether they guide (PixArt, Lumina before diffusers 0.31) tell `encode_prompt`."""
        original = getattr(self._pipeline, "encode_prompt", None)
        own = "encode_prompt" in vars(self._pipeline)
        if original is None or self._layout == "two-calls":
            yield
            return

        @wraps(original)
        def listening(*args: Any, **kwargs: Any) -> Any:
            given = kwargs.get("do_classifier_free_guidance", args[1] if len(args) > 1 else None)
            self._told = given if isinstance(given, bool) else self._told
            return original(*args, **kwargs)

        self._pipeline.encode_prompt = listening
        try:
            yield
        finally:
            if own:
                self._pipeline.encode_prompt = original
            else:
                del self._pipeline.encode_prompt


def is_guided(pipeline: Any) -> bool:
    """Whether the denoiser's batch holds both halves of guidance now; StrengthError where nobody can tell."""
    if families.guidance_layout(pipeline) == "none":
        return False
    if not hasattr(type(pipeline), "do_classifier_free_guidance"):
        raise StrengthError(
            f"{type(pipeline).__name__} does not say whether its batch holds both halves of guidance.",
            "a pipeline with `do_classifier_free_guidance`.",
            "guided=True or guided=False.",
        )
    # None where the pipeline was never called: somebody calls the denoiser itself.
    return bool(_declared(pipeline))


def _declared(pipeline: Any) -> bool | None:
    """What the pipeline says of its present call; None where it says nothing."""
    if not hasattr(type(pipeline), "do_classifier_free_guidance"):
        return None
    try:
        return bool(pipeline.do_classifier_free_guidance)
    except AttributeError:
        return None


def _same(one: tuple[Any, Any], other: tuple[Any, Any]) -> bool:
    import torch

    pairs = zip(one, other, strict=True)
    return all(
        isinstance(a, torch.Tensor)
        and isinstance(b, torch.Tensor)
        and a.shape == b.shape
        and torch.equal(a, b)
        for a, b in pairs
    )
