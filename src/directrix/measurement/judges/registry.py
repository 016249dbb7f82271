"""Judges by name, as benchmarks and the command line ask for them; each is imported only when it is asked for."""

from __future__ import annotations

import inspect
from typing import Any

from directrix.checks import one_of
from directrix.errors import DirectrixError
from directrix.measurement.judges.base import Judge
from directrix.registry import Registry

_HERE = "directrix.measurement.judges"
JUDGES = Registry(
    "judge",
    "directrix.judges",
    {
        "emoji": f"{_HERE}.emoji:EmojiJudge",
        "emoji-held-out": f"{_HERE}.emoji:HeldOutEmojiJudge",
        "clip": f"{_HERE}.clip:ClipJudge",
        "nudenet": f"{_HERE}.nudenet:NudeNetJudge",
        "q16": f"{_HERE}.q16:Q16Judge",
        "hf": f"{_HERE}.huggingface:HuggingFaceJudge",
    },
)
FORMS = (
    "emoji, emoji-held-out, clip, clip:CHECKPOINT, nudenet, nudenet:MODEL.onnx, q16:FILE, hf:OWNER/MODEL or "
    "hf:FOLDER, hf:MODEL@LABELS.yaml"
)


def load(name: str, **options: Any) -> Judge:
    """The judge of a name in one of `FORMS`, or one of another package (see `base.Judge`).

    `options` go to its class's `load`: `attributes` for CLIP, `thresholds` for NudeNet, `clip` for Q16, `labels` for a
    model of the Hugging Face hub.

    DirectrixError for no judge of that name (it names the nearest one) or no such option, and ModelError where the
    judge's files or packages are not there.
    """
    kind, colon, value = name.partition(":")
    entry = JUDGES.get(kind)
    argument = getattr(entry, "ARGUMENT", None)
    make = getattr(entry, "load", entry)
    parameters = inspect.signature(make).parameters
    if colon and argument is None:
        raise DirectrixError(f"The judge '{kind}' takes nothing behind its name.", FORMS + ".", f"'{kind}'.")
    required = argument is not None and parameters[argument].default in ("", inspect.Parameter.empty)
    if not value and (colon or required):
        raise DirectrixError(f"The judge '{name}' lacks what goes behind the colon.", FORMS + ".", f"'{kind}:...'.")
    known = {each for each, parameter in parameters.items() if parameter.kind is not parameter.VAR_KEYWORD}
    if len(known) < len(parameters):
        known |= set(getattr(entry, "OPTIONS", ()))
    for option in options:
        one_of("option", option, known)
    return make(**options, **({str(argument): value} if value else {}))
