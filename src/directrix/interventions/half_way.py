"""Reading images while they are drawn: one step of each call of the pipeline, by probes or by a judge's look.

A probe reads the activations of that step. A preview looks at what the denoiser predicts there. Neither makes a further
pass of the denoiser. What is then steered, is steered from the next step on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from directrix.directions.collection import Effect
from directrix.directions.direction import Direction
from directrix.errors import MismatchError, StrengthError
from directrix.interventions.preview import Preview, seen_of
from directrix.interventions.probe import Probe
from directrix.interventions.reading import Reading
from directrix.interventions.steering import Steering
from directrix.models import activations, predicted_image
from directrix.models.denoiser_calls import DenoiserCall, Scope
from directrix.models.fingerprint import fits
from directrix.models.steerable import SteerableModel

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

# The first step at this share of them or later is read, unless another is asked for.
READ_AT = 0.5


class HalfWay:
    """Reads one step of each call of the pipeline, and remembers what was made of it.

    Args:
        scope: the calls that are meant.
        readers: by attribute.
        begin: the first step at this share of all steps, or later, is read.
        deal: makes something of the readings, one of each image; asked once a call.
    """

    def __init__(
        self,
        scope: Scope,
        readers: Mapping[str, Probe | Preview],
        begin: float,
        deal: Callable[[Sequence[Reading]], Any],
    ) -> None:
        self._scope, self._readers, self._begin, self._deal = scope, readers, begin, deal

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Within, it reads.

        Raises:
            MismatchError: a probe of another model, or a compiled one, whose images cannot be looked at.
            PolicyError: a preview without a judge.
            StrengthError: (while drawing) nothing could be read.
        """
        previews = {name: each for name, each in self._readers.items() if isinstance(each, Preview)}
        for each in previews.values():
            each.looking()
        with ExitStack() as stack:
            stack.enter_context(self._scope.opened())
            for attribute, reader in self._readers.items():
                if isinstance(reader, Probe):
                    _check(attribute, reader, self._scope.model)
                    see = partial(self._read, attribute, reader)
                    stack.enter_context(activations.read(self._scope.model, reader.site, see, self._scope))
            if previews:
                see = partial(self._seen, previews)
                stack.enter_context(predicted_image.looked_at(self._scope, self._now, see))
            yield

    def dealt(self) -> Any:
        """What was made of the readings of the pipeline's present call; None before that."""
        return self._scope.recall("dealt", lambda: None)

    def _now(self) -> DenoiserCall | None:
        """The present call where it is to be read."""
        call = self._scope.now()
        if call is None or self.dealt() is not None:
            return None
        if not self._scope.recall("begun", lambda: False):
            self._scope.remember("begun", True)
            self._scope.at_end(self._check_read)
        return None if call.step.fraction < self._begin else call

    def _read(self, attribute: str, probe: Probe, h: Tensor) -> None:
        call = self._now()
        rows = None if call is None else branch_rows(h, call, probe.branch)
        if call is None or rows is None:
            return
        time = float(call.step.timestep)
        shares = probe.shares(rows, time)
        if shares is None:
            raise StrengthError(
                f"The probe of '{attribute}' reads no step near {time:g}.",
                "steps such as it was fitted at.",
                "more steps, or a probe fitted with as many.",
            )
        self._known(
            attribute,
            [
                {name: round(value, 4) for name, value in zip(probe.categories, each, strict=True)}
                for each in shares.tolist()
            ],
        )

    def _seen(self, previews: Mapping[str, Preview], images: Sequence[Image.Image]) -> None:
        readings = seen_of(previews, images)
        for attribute in previews:
            self._known(attribute, [each[attribute] for each in readings])

    def _known(self, attribute: str, likelihoods: Sequence[Mapping[str, float]]) -> None:
        known = self._scope.recall("read", dict)
        known[attribute] = likelihoods
        if len(known) == len(self._readers):
            readings = [dict(zip(known, each, strict=True)) for each in zip(*known.values(), strict=True)]
            self._scope.remember("dealt", self._deal(readings))

    def _check_read(self) -> None:
        if self.dealt() is None:
            raise StrengthError(
                f"No step of these images is at {self._begin:g} of all steps or later, so nothing was read.",
                "two steps or more.",
                "more steps, or a policy without closed_loop.",
            )


def branch_rows(h: Tensor, call: DenoiserCall, branch: str) -> Tensor | None:
    """The rows of a branch of guidance, "conditional" or "unconditional"; None in a call that holds others.

    Raises:
        StrengthError: the unconditional branch without guidance.
    """
    guided, layout = call.layout
    parts = layout.split("-") if guided else ["conditional"]
    if branch in parts:
        return h.split(h.shape[0] // len(parts))[parts.index(branch)]
    if guided:
        return None
    raise StrengthError(f"Without guidance there is no {branch} branch to read.", "a guidance scale above 1.")


def _check(attribute: str, probe: Probe, model: SteerableModel) -> None:
    if not fits(probe.model.fingerprint, model.denoiser):
        raise MismatchError(
            f"The probe of '{attribute}' belongs to the model '{probe.model.name}'.",
            "a probe that was fitted with this very model.",
            "fit it anew: directrix fit-probe.",
        )


def largest(effects: Iterable[Effect]) -> dict[Direction, float]:
    """All directions of these effects, each at the largest of its strengths."""
    found: dict[Direction, float] = {}
    for effect in effects:
        for direction, strength in effect.items():
            found[direction] = max(strength, found.get(direction, strength), key=abs)
    return found


class DealtSteering(Steering):
    """Steering whose strengths are known once the images were read: by direction, one of each image.

    directions: the largest strength of each. factor: of all strengths.
    """

    def __init__(
        self, directions: Mapping[Direction, float], reader: HalfWay, factor: float = 1.0, **settings: Any
    ) -> None:
        super().__init__({each: factor * strength for each, strength in directions.items()}, **settings)
        self._reader, self._factor = reader, factor

    def key(self) -> Any:
        """What the strengths of the present call are."""
        dealt = self._reader.dealt()
        return None if dealt is None else tuple(dealt.items())

    def now(self, direction: Direction) -> float | tuple[float, ...]:
        """See `Steering.now`."""
        dealt = (self._reader.dealt() or {}).get(direction, ())
        return tuple(self._factor * strength for strength in dealt) or 0.0
