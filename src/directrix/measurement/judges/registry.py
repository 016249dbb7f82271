"""Judges by name, as benchmarks and the command line ask for them; each is imported only when it is asked for."""

from __future__ import annotations

import importlib
import inspect
from typing import TYPE_CHECKING, Any, NamedTuple

from directrix.errors import DirectrixError, suggestion

if TYPE_CHECKING:
    from directrix.measurement.judges import Judge


class _Entry(NamedTuple):
    module: str
    cls: str
    argument: str | None = None  # what stands behind the colon, as the loader calls it
    required: bool = False


_JUDGES = {
    "emoji": _Entry("emoji", "EmojiJudge"),
    "clip": _Entry("clip", "ClipJudge", "checkpoint"),
    "nudenet": _Entry("nudenet", "NudeNetJudge", "model"),
    "q16": _Entry("q16", "Q16Judge", "prompts_file", required=True),
}
FORMS = "emoji, clip, clip:CHECKPOINT, nudenet, nudenet:MODEL.onnx, q16:FILE"


def load(name: str, **options: Any) -> Judge:
    """The judge of a name: "emoji", "clip", "clip:CHECKPOINT", "nudenet", "nudenet:MODEL.onnx" or "q16:FILE".

    ``options`` go to its class's ``load``: ``attributes`` for CLIP, ``thresholds`` for NudeNet, ``clip`` for Q16.

    Raises:
        DirectrixError: no judge of that name (the error names the nearest one), or no such option.
        ModelError: the judge's files or packages are not there.
    """
    kind, colon, argument = name.partition(":")
    entry = _JUDGES.get(kind)
    if entry is None:
        raise DirectrixError(f"There is no judge '{name}'.", FORMS + ".", suggestion(kind, _JUDGES))
    if colon and entry.argument is None:
        raise DirectrixError(f"The judge '{kind}' takes nothing behind its name.", FORMS + ".", f"'{kind}'.")
    if not argument and (colon or entry.required):
        raise DirectrixError(f"The judge '{name}' lacks what goes behind the colon.", FORMS + ".", f"'{kind}:...'.")
    cls = getattr(importlib.import_module(f"directrix.measurement.judges.{entry.module}"), entry.cls)
    known = _options(cls)
    for option in options:
        if option not in known:
            raise DirectrixError(
                f"The judge '{kind}' has no option '{option}'.",
                "an option of its load function.",
                suggestion(option, known),
            )
    if argument:
        options = {**options, str(entry.argument): argument}
    return cls.load(**options)


def _options(cls: Any) -> set[str]:
    """What a class's ``load`` takes, with what it hands on to the class where it takes any options."""
    parameters = inspect.signature(cls.load).parameters
    names = {name for name, each in parameters.items() if each.kind is not each.VAR_KEYWORD}
    if len(names) < len(parameters):
        names |= set(getattr(cls, "OPTIONS", ()))
    return names
