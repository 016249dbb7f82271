"""What a denoiser was asked about, learnt from runs that differ in one thing: it knows nothing of directrix.

A row of a denoiser's batch whose text changes with prompt i alone belongs to image i, and is conditional. A token that
changes with the seed alone belongs to the image.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

NETWORKS = ("unet", "transformer", "transformer_2", "unconditional_transformer")
Leaves = dict[str, Any]


def leaves(value: Any, name: str = "") -> Leaves:
    """All tensors in there by a dotted name; a list of tensors is one leaf with a tensor for each row."""
    if isinstance(value, torch.Tensor):
        return {name: value.detach().clone()}
    if isinstance(value, list) and value and all(isinstance(each, torch.Tensor) and each.ndim < 3 for each in value):
        return {name: [each.detach().clone() for each in value]}
    if isinstance(value, Mapping):
        parts: Any = value.items()
    elif isinstance(value, list | tuple):
        parts = enumerate(value)
    else:
        return {}
    return {key: leaf for part, inner in parts for key, leaf in leaves(inner, f"{name}.{part}").items()}


def rows_of(leaf: Any) -> list[torch.Tensor]:
    """A flat vector for each row."""
    return [each.flatten().float() for each in leaf] if isinstance(leaf, list) or leaf.ndim else []


def same(one: Any, other: Any) -> bool:
    """Whether two leaves are equal to the bit."""
    a, b = (each if isinstance(each, list) else [each] for each in (one, other))
    return len(a) == len(b) and all(x.shape == y.shape and torch.equal(x, y) for x, y in zip(a, b, strict=True))


@dataclass
class Call:
    """One call of a denoiser: its arguments, what its first block was given, and the site's outputs."""

    network: str
    step: int
    given: Leaves
    entry: Leaves = field(default_factory=dict)
    before: list[Leaves] = field(default_factory=list)
    after: list[Leaves] = field(default_factory=list)


class Enough(Exception):
    """Ends a run after the steps that are of interest."""


class Recorder:
    """Records the calls of a pipeline's denoisers.

    Args:
        site: name of the module whose outputs are recorded; None for none.
        until: how many steps to let pass; None for all.
        tokens_first: whether the site and the first block are given (tokens, rows, channels).
    """

    def __init__(
        self, pipeline: Any, site: str | None = None, until: int | None = None, tokens_first: bool = False
    ) -> None:
        self.pipeline, self.site, self.until = pipeline, site, until
        self.calls: list[Call] = []
        self.steps = 0
        self._tokens_first = tokens_first
        self._handles: list[Any] = []

    def networks(self) -> Iterator[tuple[str, Any]]:
        for name in NETWORKS:
            network = getattr(self.pipeline, name, None)
            if isinstance(network, torch.nn.Module):
                yield name, network

    @contextmanager
    def recording(self) -> Iterator[Recorder]:
        schedulers = {
            id(each): each for name, each in vars(self.pipeline).items() if name.endswith("scheduler") and each
        }
        for scheduler in schedulers.values():
            if hasattr(scheduler, "step"):
                scheduler.step = self._counted(scheduler.step)
        for name, network in self.networks():
            self._keep(network.register_forward_pre_hook(functools.partial(self._called, name), with_kwargs=True))
            if self.site is not None:
                first = self.site.rpartition(".")[0] + ".0" if self.site.rpartition(".")[2].isdigit() else self.site
                entry = network.get_submodule(first)
                self._keep(entry.register_forward_pre_hook(self._entered, with_kwargs=True))
                self._keep(network.get_submodule(self.site).register_forward_hook(self._output("before")))
        try:
            yield self
        except Enough:
            pass
        finally:
            for handle in self._handles:
                handle.remove()
            for scheduler in schedulers.values():
                vars(scheduler).pop("step", None)

    def afterwards(self) -> None:
        """From now on what comes after the hooks that were registered since is recorded too."""
        for _, network in self.networks():
            self._keep(network.get_submodule(self.site or "").register_forward_hook(self._output("after")))

    def _keep(self, handle: Any) -> None:
        self._handles.append(handle)

    def _counted(self, step: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(step)
        def counted(*args: Any, **kwargs: Any) -> Any:
            if not self.calls:
                # That of a network which comes before.
                return step(*args, **kwargs)
            self.steps += 1
            if self.until is not None and self.steps >= self.until:
                raise Enough
            return step(*args, **kwargs)

        return counted

    def _called(self, name: str, _module: Any, args: Any, kwargs: Any) -> None:
        self.calls.append(Call(name, self.steps, leaves({**dict(enumerate(args)), **kwargs})))

    def _entered(self, _module: Any, args: Any, kwargs: Any) -> None:
        self.calls[-1].entry = self.calls[-1].entry or self._rows_first({**dict(enumerate(args)), **kwargs})

    def _rows_first(self, value: Any) -> Leaves:
        swapped = self._tokens_first
        return {
            name: leaf.transpose(0, 1) if swapped and leaf.ndim == 3 else leaf for name, leaf in leaves(value).items()
        }

    def _output(self, when: str) -> Callable[..., None]:
        def shown(_module: Any, _args: Any, output: Any) -> None:
            getattr(self.calls[-1], when).append(self._rows_first({"out": output}))

        return shown


def run(pipeline: Any, arguments: Mapping[str, Any]) -> Any:
    """What the pipeline draws, also where it takes random numbers from nobody's generator."""
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        return pipeline(**arguments)


def recorded(pipeline: Any, arguments: Mapping[str, Any], **options: Any) -> Recorder:
    """The calls of a run with these arguments."""
    recorder = Recorder(pipeline, **options)
    with recorder.recording():
        run(pipeline, arguments)
    return recorder


class Oracle:
    """Tells whose row is whose in any call of a pipeline.

    Args:
        plain: a run of two steps (and two prompts).
        prompts: for each prompt the first step of a run in which it is another.
        seed: the first step of a run with another seed.
        negative: the first step of a run with another negative prompt; None where there is none.
        tokens: whether the site's outputs are tokens.
    """

    def __init__(
        self, plain: Recorder, prompts: list[Recorder], seed: Recorder, negative: Recorder | None, tokens: bool
    ) -> None:
        first = [call for call in plain.calls if call.step == 0]
        assert first, "the denoiser was never called"
        for each in (*prompts, seed, *([negative] if negative else [])):
            assert len(each.calls) == len(first), "the number of calls depends on words"
        self.names = self._text_names(plain, prompts)
        assert self.names, "nothing that the denoiser is given changes with the prompt"
        self.contents: list[tuple[int | None, list[torch.Tensor]]] = []
        self.tokens: dict[tuple[Any, ...], torch.Tensor] = {}
        self.texts: dict[tuple[Any, ...], torch.Tensor] = {}
        for place, call in enumerate(first):
            rows = self._texts(call)
            labels: list[int | None] = [None] * len(rows)
            for prompt, run in enumerate(prompts):
                for row, (one, other) in enumerate(zip(rows, self._texts(run.calls[place]), strict=True)):
                    if not same(one, other):
                        assert labels[row] is None, "a row belongs to two prompts"
                        labels[row] = prompt
            if negative is not None:
                for row, (one, other) in enumerate(zip(rows, self._texts(negative.calls[place]), strict=True)):
                    assert labels[row] is None or same(one, other), "a row changes with the prompt and the negative one"
            self.contents += zip(labels, rows, strict=True)
            if tokens:
                self._see_tokens(call, seed.calls[place], prompts, place, labels)

    @property
    def guided(self) -> bool:
        """Whether there are rows that no prompt changes."""
        return any(label is None for label, _ in self.contents)

    def labels(self, call: Call) -> list[int | None]:
        """For each row the prompt that it is conditional on, None for the unconditional branch."""

        def label(row: list[torch.Tensor]) -> int | None:
            alike = [
                (max(float((a - b).abs().max()) for a, b in zip(row, content, strict=True)), place)
                for place, (_, content) in enumerate(self.contents)
                if all(a.shape == b.shape for a, b in zip(row, content, strict=True))
            ]
            assert alike, "a text state of unknown length"
            return self.contents[min(alike)[1]][0]

        return [label(row) for row in self._texts(call)]

    def _text_names(self, plain: Recorder, prompts: list[Recorder]) -> list[str]:
        later = [call for call in plain.calls if call.step == 1]
        found: dict[str, None] = {}
        for place, call in enumerate(call for call in plain.calls if call.step == 0):
            for name, leaf in call.given.items():
                changed = any(
                    name in run.calls[place].given and not same(leaf, run.calls[place].given[name]) for run in prompts
                )
                # What also changes from step to step is no text: the outputs of a ControlNet, say.
                moving = place < len(later) and name in later[place].given and not same(leaf, later[place].given[name])
                if changed and not moving:
                    found[name] = None
        return list(found)

    def _texts(self, call: Call) -> list[list[torch.Tensor]]:
        """For each row all of its text."""
        found = [rows_of(call.given[name]) for name in self.names if name in call.given]
        assert found, "a call without text"
        count = max(len(each) for each in found)
        rows = [list(row) for row in zip(*(each for each in found if len(each) == count), strict=True)]
        # Some are given a video's text once for each of its frames.
        videos = next((leaf for leaf in call.given.values() if not isinstance(leaf, list) and leaf.ndim == 5), rows)
        return rows[:: max(1, len(rows) // len(videos))]

    def _see_tokens(
        self, call: Call, seed: Call, prompts: list[Recorder], place: int, labels: list[int | None]
    ) -> None:
        for name, leaf in call.entry.items():
            other = seed.entry.get(name)
            if isinstance(leaf, list) or other is None or leaf.shape != other.shape or leaf.ndim < 3:
                continue
            image = (leaf != other).flatten(2).any(-1) if leaf.ndim == 3 else (leaf != other).any(-1)
            if not image.any():
                continue
            text = torch.zeros_like(image)
            for run in prompts:
                words = run.calls[place].entry[name]
                if words.shape == leaf.shape:
                    text |= (leaf != words).any(-1)
            for row in range(len(leaf)):
                label = labels[row * len(labels) // len(leaf)]
                self.tokens[(label, *leaf.shape[1:])] = image[row]
                self.texts[(label, *leaf.shape[1:])] = text[row] & ~image[row]
