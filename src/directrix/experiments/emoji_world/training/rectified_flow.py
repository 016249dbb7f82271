"""The transformer of `emoji-sd3`, built as Stable Diffusion 3's, which predicts the velocity from data to noise."""

from collections.abc import Callable
from typing import Any

import torch
from diffusers import SD3Transformer2DModel
from torch import Tensor
from torch.nn import functional
from transformers import CLIPTextModelWithProjection

from directrix.experiments.emoji_world.training.config import Fit, shared
from directrix.experiments.emoji_world.training.loop import precision
from directrix.experiments.emoji_world.training.pairs import Pairs, drawn

# The pipeline's scheduler gives times 0 to 1 as 0 to this.
TIMESTEPS = 1000


def build(layers: int, heads: int, words: Any) -> SD3Transformer2DModel:
    """An MMDiT with random weights for 4 x 16 x 16 latents; ``words`` is the configuration of a text encoder."""
    settings = shared("transformer")
    return SD3Transformer2DModel(
        num_layers=layers,
        num_attention_heads=heads,
        caption_projection_dim=heads * settings["attention_head_dim"],
        joint_attention_dim=2 * words.hidden_size,
        pooled_projection_dim=2 * words.projection_dim,
        **settings,
    )


@torch.no_grad()
def conditions(words: CLIPTextModelWithProjection, captions: Tensor) -> dict[str, Tensor]:
    """What StableDiffusion3Pipeline makes of token ids (B, length) where ``words`` is both of its text encoders.

    Both encoders' states lie side by side (B, 2 length, 2 width). As many zeros follow where the third, which it
    lacks, would have its own: so its calls have ``max_sequence_length=length``. The pooled embeddings are
    (B, 2 projection).
    """
    encoded = words(captions, output_hidden_states=True)
    states = encoded.hidden_states[-2].repeat(1, 1, 2)
    states = torch.cat([states, torch.zeros_like(states)], dim=1)
    return {"encoder_hidden_states": states, "pooled_projections": encoded.text_embeds.repeat(1, 2)}


def loss(
    transformer: SD3Transformer2DModel, words: CLIPTextModelWithProjection, pairs: Pairs, fit: Fit
) -> Callable[[int], Tensor]:
    """Of a step: of the predicted velocity (Liu et al. 2023) at logit-normal times (Esser et al. 2024)."""
    batch_of, device = drawn(pairs, fit), pairs.latents.device

    def of_step(step: int) -> Tensor:
        clean, captions, noise, generator = batch_of(step)
        times = torch.randn(len(clean), generator=generator, device=device).sigmoid()
        given = conditions(words, captions)
        noised = torch.lerp(clean, noise, times[:, None, None, None])
        with precision(device):
            predicted: Any = transformer(hidden_states=noised, timestep=times * TIMESTEPS, **given)
        return functional.mse_loss(predicted.sample.float(), noise - clean)

    return of_step
