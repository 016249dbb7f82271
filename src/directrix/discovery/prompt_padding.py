"""How far the neutral prompts are padded where a method trains.

    "model"      to the model's length, as in inference
    "longest"    to the longest of the batch alone, as the paper's authors train

CLIP reads from left to right, so what pads a prompt changes none of its tokens' states: padding less leaves states out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from directrix.discovery.conditioning import Conditioning
from directrix.errors import ModelError
from directrix.models.steerable import SteerableModel

if TYPE_CHECKING:
    from torch import Tensor

    from directrix.discovery.frozen_denoiser import FrozenDenoiser

PADDINGS = ("model", "longest")
_STATES = ("encoder_hidden_states",)


def goes_with(model: SteerableModel) -> bool:
    """Whether prompts can be padded less: where CLIP's states alone are what the denoiser is given of them."""
    encoders = [getattr(model.pipeline, f"text_encoder{each}", None) for each in ("", "_2", "_3")]
    configs: list[Any] = [each.config for each in encoders if each is not None]
    return [each.model_type for each in configs] == ["clip_text_model"]


def check(model: SteerableModel) -> None:
    """ModelError unless prompts can be padded to the longest of a batch."""
    if not goes_with(model):
        raise ModelError(
            f"{model.name} cannot be given prompts that are padded to the longest of a batch.",
            "a model that reads prompts by one CLIP text encoder.",
            "padding='model' (--padding model).",
        )


def longest(denoiser: FrozenDenoiser, prompts: Sequence[str]) -> Callable[[Tensor], Conditioning]:
    """What gives the rows of some prompts, by their places (B,), as long as the longest of them."""
    rows, counts = denoiser.encode(prompts), [len(denoiser.tokens(each)) for each in prompts]

    def of_batch(places: Tensor) -> Conditioning:
        tokens = max(counts[place] for place in places.tolist())
        chosen = rows[places]
        return Conditioning({**chosen.rows, _STATES: chosen.rows[_STATES][:, :tokens]}, chosen.shared)

    return of_batch
