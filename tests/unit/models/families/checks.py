"""Steers a class of pipelines and compares what its site puts out with what the oracle says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch

from directrix import models
from directrix.directions.direction import Direction
from directrix.errors import DirectrixError, first_line
from directrix.interventions.steering import steer
from directrix.models import sites
from unit.models.families.oracle import Oracle, Recorder, recorded, run

# All of one length, as the number of tokens must not depend on the prompt.
PROMPTS, OTHERS = ("a red apple", "a big chair"), ("a tan apple", "a low chair")
NEGATIVE, OTHER_NEGATIVE = "ugly", "grim"


class Per(NamedTuple):
    """An argument that depends on the number of prompts and of steps."""

    make: Callable[[int, int], Any]


@dataclass(frozen=True)
class Row:
    """A class: how it is built, and what its call is given.

    Args:
        build: makes the components, of which the class takes those that it knows.
        call: arguments of its call.
        parts: components that the class needs beside or in place of those, by name.
        on, off: arguments that switch guidance on and off; None for a class that cannot.
        each: names of arguments of which there must be one for each prompt.
        single: whether its call takes one prompt alone.
        negative: whether it is given a negative prompt where it takes one.
        windows: whether its steps follow one another, so that a window of them means something.
        more: whether it draws more images of a prompt where it takes their number.
        tokens_first: whether its blocks are given (tokens, rows, channels).
    """

    build: Callable[[], dict[str, Any]]
    call: Mapping[str, Any] = field(default_factory=dict)
    parts: Mapping[str, Callable[[], Any]] = field(default_factory=dict)
    on: Mapping[str, Any] = field(default_factory=lambda: {"guidance_scale": 5.0})
    off: Mapping[str, Any] | None = field(default_factory=lambda: {"guidance_scale": 1.0})
    each: tuple[str, ...] = ()
    single: bool = False
    negative: bool = True
    windows: bool = True
    more: bool = True
    tokens_first: bool = False


class Verdict(NamedTuple):
    """What a check found: "right", "refused" (with a sentence) or "wrong"."""

    check: str
    result: str
    why: str


class Wrong(Exception):
    """An image was drawn, and not the one that was asked for."""


def arguments(case: Any, row: Row, count: int = 2, **changes: Any) -> dict[str, Any]:
    """What the class's call is given for so many prompts."""
    known = models.SteerableModel.of(case).parameters
    prompts = list(PROMPTS[:count])
    given: dict[str, Any] = {"num_inference_steps": 4, "output_type": "latent", **row.on, **row.call, **changes}
    given.setdefault("prompt", prompts)
    if row.negative and "negative_prompt" in known:
        given.setdefault("negative_prompt", [NEGATIVE] * count)
    steps = given["num_inference_steps"]
    given |= {name: value.make(count, steps) for name, value in given.items() if isinstance(value, Per)}
    given |= {name: [given[name]] * count for name in row.each if name in given}
    if row.single:
        given |= {name: given[name][0] for name in ("prompt", "negative_prompt") if name in given}
    given["generator"] = torch.Generator().manual_seed(given.pop("seed", 0))
    if "kwargs" not in known:
        for name in ("output_type", "num_inference_steps", "generator"):
            if name not in known:
                given.pop(name)
    return given


def images_of(output: Any) -> torch.Tensor:
    """What was drawn, as one tensor."""
    first = next(iter(output.values())) if isinstance(output, Mapping) else output
    if isinstance(first, tuple):
        first = first[0]
    if isinstance(first, list):
        import numpy as np

        flat = [torch.as_tensor(np.asarray(each)) for each in first]
        return torch.stack([each.float() for each in flat])
    return torch.as_tensor(first).detach().clone()


class Survey:
    """All checks of one pipeline."""

    def __init__(self, pipeline: Any, row: Row) -> None:
        self.pipeline, self.row = pipeline, row
        self.count = 1 if row.single else 2
        self.known = models.SteerableModel.of(pipeline).parameters
        self.site = sites.find(pipeline)
        tensor = torch.randn(self.site.channels, generator=torch.Generator().manual_seed(5))
        self.direction = Direction("random", tensor, self.site, models.identity(pipeline))
        self.plain = images_of(run(pipeline, arguments(pipeline, row, self.count, num_inference_steps=2)))
        assert bool(self.plain.isfinite().all()), "not finite: these parts draw no image"
        self.oracle = self._oracle()

    def verdicts(self) -> Iterator[Verdict]:
        """That of each check which the call allows."""
        two, row = self.count == 2, self.row
        guided = self.oracle.guided
        checks: dict[str, Callable[[], None]] = {"one prompt": lambda: self._rows(1)}
        if two:
            checks["two prompts"] = self._per_image
        per_prompt = next((name for name in self.known if name in PER_PROMPT), None)
        if per_prompt and row.more and self._draws_two(per_prompt):
            checks["two images"] = lambda: self._rows(1, per_prompt=2, **{per_prompt: 2})
        if guided and row.off is not None:
            checks["unguided"] = lambda: self._rows(self.count, **(row.off or {}))
        for start, stop in ((0.5, 1.0), (0.0, 0.25), (0.0, 0.5)) if row.windows else ():
            checks[f"steps {start:g} to {stop:g}"] = lambda start=start, stop=stop: self._window(start, stop)
        if guided:
            checks["unconditional"] = lambda: self._rows(self.count, branch="unconditional")
        checks["strength 0"] = self._nothing
        for name, check in checks.items():
            try:
                check()
            except DirectrixError as error:
                yield Verdict(name, "refused", error.happened)
            except Wrong as error:
                yield Verdict(name, "wrong", str(error))
            except Exception as error:
                yield Verdict(name, "wrong", f"{type(error).__name__}: {first_line(error)}")
            else:
                yield Verdict(name, "right", "")

    def _oracle(self) -> Oracle:
        def first(until: int = 1, **changes: Any) -> Recorder:
            given = arguments(self.pipeline, self.row, self.count, **changes)
            return recorded(self.pipeline, given, site=self.site.name, until=until, tokens_first=self.row.tokens_first)

        prompts = [
            first(
                prompt=[OTHERS[place] if place == other else each for place, each in enumerate(PROMPTS[: self.count])]
            )
            for other in range(self.count)
        ]
        if self.row.single:
            prompts = [first(prompt=[OTHERS[0]])]
        given = arguments(self.pipeline, self.row, self.count)
        negative = first(negative_prompt=[OTHER_NEGATIVE] * self.count) if "negative_prompt" in given else None
        return Oracle(first(2), prompts, first(seed=1), negative, self.site.layout == "channels-last")

    def _draws_two(self, name: str) -> bool:
        """Whether the class heeds how many images of a prompt it is asked for; some video pipelines draw one."""
        first = recorded(self.pipeline, arguments(self.pipeline, self.row, 1, **{name: 2}), until=1).calls
        return max(self.oracle.labels(call).count(0) for call in first) > 1

    def _draw(
        self, count: int, strength: Any = 1.5, branch: str = "conditional", window: Any = (0.0, 1.0), **changes: Any
    ) -> tuple[Recorder, torch.Tensor]:
        """A steered run, with what comes before and after the hooks, and what it drew."""
        recorder = Recorder(self.pipeline, self.site.name, tokens_first=self.row.tokens_first)
        with recorder.recording(), steer(self.pipeline, {self.direction: strength}, branch, *window):
            recorder.afterwards()
            output = run(self.pipeline, arguments(self.pipeline, self.row, count, **changes))
        return recorder, images_of(output)

    def _rows(self, count: int, per_prompt: int = 1, branch: str = "conditional", **changes: Any) -> None:
        strengths = [1.5 - 0.5 * image for image in range(count * per_prompt)]
        changes = {"num_inference_steps": 2} | changes
        recorder, _ = self._draw(count, strengths if len(strengths) > 1 else 1.5, branch, **changes)
        if not self._changed(recorder, strengths, per_prompt, branch):
            raise Wrong("no row was steered")

    def _per_image(self) -> None:
        recorder, steered = self._draw(2, [0.0, 1.5], num_inference_steps=2)
        self._changed(recorder, [0.0, 1.5], 1, "conditional")
        if len(self.plain) == 2 and not torch.equal(self.plain[0], steered[0]):
            raise Wrong("the image of strength 0 has other bits")
        if len(self.plain) == 2 and torch.equal(self.plain[1], steered[1]):
            raise Wrong("the image of strength 1.5 is the unsteered one")

    def _nothing(self) -> None:
        _, steered = self._draw(self.count, 0.0, num_inference_steps=2)
        if not torch.equal(self.plain, steered):
            raise Wrong("strength 0 gives other bits")

    def _window(self, start: float, stop: float) -> None:
        recorder, _ = self._draw(1, window=(start, stop))
        total = max(call.step for call in recorder.calls) + 1
        inside = [step for step in range(total) if start <= step / total < stop]
        steered = {call.step for call in recorder.calls if any(map(_differ, call.before, call.after))}
        if sorted(steered) != inside:
            raise Wrong(f"of {total} steps {sorted(steered)} were steered, not {inside}")
        self._changed(recorder, [1.5], 1, "conditional", inside)

    def _changed(
        self, recorder: Recorder, strengths: Sequence[float], per_prompt: int, branch: str, steps: Any = None
    ) -> bool:
        """Whether any row was to be steered; raises Wrong for one that is not as it must be."""
        any_row = False
        for number, call in enumerate(recorder.calls):
            labels = self.oracle.labels(call)
            images = _images(labels, per_prompt, len(strengths))
            for before, after in zip(call.before, call.after, strict=True):
                name, h = self._image(before, labels)
                for other in before:
                    if other != name and not torch.equal(before[other], after[other]):
                        raise Wrong(f"call {number}: the text stream is steered")
                if len(h) % len(labels):
                    raise Wrong(f"call {number}: {len(h)} rows for {len(labels)} texts")
                for place in range(len(h)):
                    row = place * len(labels) // len(h)
                    conditional = labels[row] is not None
                    wanted = (branch == "conditional") == conditional and (steps is None or call.step in steps)
                    strength = strengths[images[row]] if wanted else 0.0
                    any_row |= strength != 0
                    self._check_row(f"call {number} row {place}", h[place], after[name][place], strength, labels[row])
        return any_row

    def _image(self, out: Mapping[str, Any], labels: Sequence[int | None]) -> tuple[str, torch.Tensor]:
        """The image's stream among the outputs."""
        if self.site.layout == "channels-first":
            return next(iter(out.items()))
        for name, leaf in out.items():
            if any((label, *leaf.shape[1:]) in self.oracle.tokens for label in labels):
                return name, leaf
        raise Wrong(f"oracle: none of {[tuple(each.shape) for each in out.values()]} is the image's")

    def _check_row(self, where: str, h: torch.Tensor, new: torch.Tensor, strength: float, label: int | None) -> None:
        direction = strength * self.direction.tensor
        if self.site.layout == "channels-first":
            wanted = h + direction.reshape(-1, *[1] * (h.ndim - 1))
            good = torch.equal(h, new) if strength == 0 else torch.allclose(new, wanted, atol=1e-4, rtol=1e-4)
        elif strength == 0:
            good = torch.equal(h, new)
        else:
            key = (label, *h.shape)
            if key not in self.oracle.tokens:
                raise Wrong(f"oracle: no tokens known of {key}")
            image, text = self.oracle.tokens[key], self.oracle.texts[key]
            close = torch.isclose(new, h + direction, atol=1e-4, rtol=1e-4).all(-1)
            kept = (new == h).all(-1)
            good = bool(close[image].all() and kept[text].all() and (close | kept).all())
            if not good and bool(kept.all()):
                raise Wrong(f"{where} was not steered")
            if not good and bool(close.all()):
                raise Wrong(f"{where}: the text's tokens were steered as well")
            if not good:
                raise Wrong(
                    f"{where}: {int(close[image].sum())} of {int(image.sum())} image tokens were steered, "
                    f"{int((~kept[~image]).sum())} of {int((~image).sum())} others"
                )
        if not good:
            state = "was not steered" if torch.equal(h, new) else "was steered" if strength == 0 else "has another sum"
            raise Wrong(f"{where} ({'unconditional' if label is None else f'prompt {label}'}) {state}")


PER_PROMPT = ("num_images_per_prompt", "num_videos_per_prompt")


def _images(labels: Sequence[int | None], per_prompt: int, total: int) -> list[int]:
    """The image that each row belongs to: prompts times images per prompt, in order."""
    seen: dict[int | None, int] = {}
    found = []
    for label in labels:
        occurrence = seen[label] = seen.get(label, -1) + 1
        found.append(occurrence % total if label is None else label * per_prompt + occurrence % per_prompt)
    return found


def _differ(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    return any(not torch.equal(before[name], after[name]) for name in before)


def result(verdicts: Sequence[Verdict]) -> tuple[str, str]:
    """The class's result of its checks, and why."""
    of = {kind: [each for each in verdicts if each.result == kind] for kind in ("wrong", "refused")}
    for kind, found in of.items():
        if found:
            which = "" if len(found) == len(verdicts) else ", ".join(each.check for each in found) + ": "
            return kind, which + found[0].why
    return "right", ""
