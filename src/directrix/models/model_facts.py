"""What must be known about a model beside its weights, and the model cards, which know some of it better."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from directrix.errors import ModelError
from directrix.models.identity import ModelIdentity

LARGEST = 16_384


@dataclass(frozen=True)
class ModelFacts:
    """What must be known about a model.

    Args:
        identity: name, revision, fingerprint.
        prediction_type: "epsilon", "v_prediction" or "flow_prediction"; another word for what cannot be noised.
        latent_shape: (C, H, W) of one image's latents at the model's own size.
        guidance_scale, num_inference_steps: for its images.
        learning_rate: for directions, if the model's card gives one.
        subjects: noun phrases that stand in for "a person" where directions are calibrated; some that the model is
            biased about, and none where the card names none.
        arguments: further ones of the pipeline's call, such as max_sequence_length.
        site: the one that the card names in place of the default of its structure.
    """

    identity: ModelIdentity
    prediction_type: str
    latent_shape: tuple[int, int, int]
    guidance_scale: float
    num_inference_steps: int
    learning_rate: float | None
    subjects: tuple[str, ...] = ()
    site: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)


def latent_shape(channels: Any, size: Any) -> tuple[int, int, int]:
    """(C, H, W) as a model's configuration says it; size: of both sides, or of each.

    Raises ModelError for what is no size.
    """
    shape = (channels, *(size if isinstance(size, list | tuple) else (size, size)))
    if len(shape) != 3 or not all(type(each) is int and 1 <= each <= LARGEST for each in shape):
        raise ModelError(
            f"The model's configuration says that its latents have {channels!r} channels and the size {size!r}.",
            f"whole numbers from 1 to {LARGEST:,}.",
            "the model's files as they were published.",
        )
    return shape


@cache
def cards() -> Mapping[str, Mapping[str, Any]]:
    """The model cards, by name."""
    import yaml

    return yaml.safe_load(Path(__file__).with_name("cards.yaml").read_text(encoding="utf-8"))
