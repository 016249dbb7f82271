"""What a judge said of a set of images, stored by what was asked for, so that a stopped measurement goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from directrix.checks import validated
from directrix.discovery.checkpoint import Checkpoint
from directrix.errors import DirectionFileError
from directrix.measurement.judges.base import Judge, Verdict, Verdicts
from directrix.models.steerable import SteerableModel

if TYPE_CHECKING:
    from PIL.Image import Image


class _Stored(BaseModel, strict=False, extra="ignore"):
    verdicts: list[dict[str, Verdict]]


def name_of(kind: str, model: SteerableModel, judge: Judge, asked: Mapping[str, Any]) -> str | None:
    """The name under which a checkpoint has it; None where the judge does not say its settings."""
    config = getattr(judge, "config", None)
    if config is None:
        return None
    wanted = {
        **asked,
        "model": model.identity.fingerprint,
        "scheduler": f"{type(model.scheduler).__name__} {sorted(dict(model.scheduler.config).items())}",
        "dtype": str(model.denoiser.dtype),
        "judge": {"name": judge.name, **dict(config)},
    }
    return f"{kind}-{hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()[:24]}"


def judged(
    checkpoint: Checkpoint,
    model: SteerableModel,
    judge: Judge,
    asked: Mapping[str, Any],
    drawn: Callable[[], Sequence[Image]],
) -> Verdicts:
    """The verdicts of the images that `drawn` gives, or those that the checkpoint has of what was `asked`.

    asked: all that decides the images, beside the model, as JSON values.
    """
    name = None if checkpoint.folder is None else name_of("judged", model, judge, asked)
    if name is None:
        return judge.label(drawn())
    saved = checkpoint.load(name)
    if saved is not None:
        return validated(_Stored, saved[1], f"'{checkpoint.folder}/{name}.safetensors'", DirectionFileError).verdicts
    verdicts = judge.label(drawn())
    checkpoint.save(name, {}, verdicts=[{key: list(each) for key, each in row.items()} for row in verdicts])
    return verdicts


def asked_of(prompts: Sequence[str], images_per_prompt: int, interventions: Any, **settings: Any) -> dict[str, Any]:
    """What `generate` is asked for, as JSON values."""
    given = interventions if isinstance(interventions, list | tuple) else [interventions]
    steered = [dict(each.config) for each in given]
    return {"prompts": list(prompts), "images": images_per_prompt, "interventions": steered, **settings}
