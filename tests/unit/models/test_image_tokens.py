"""Which part of a block's output is the image's."""

from __future__ import annotations

import diffusers
import pytest
import torch

from directrix.models import hooks


@pytest.mark.parametrize("text", [16, 7])
def test_a_text_as_long_as_its_image(text: int):
    """CogView4's blocks give two streams, whose shapes may be the same: the image's is edited."""
    if not hasattr(diffusers, "CogView4Transformer2DModel"):
        pytest.skip("this version of diffusers has no CogView4")
    transformer = diffusers.CogView4Transformer2DModel(
        patch_size=2,
        in_channels=4,
        out_channels=4,
        num_layers=2,
        attention_head_dim=4,
        num_attention_heads=4,
        text_embed_dim=8,
        time_embed_dim=8,
        condition_dim=4,
    )
    block = transformer.transformer_blocks[0]
    outputs: list[tuple[torch.Tensor, ...]] = []
    block.register_forward_hook(lambda _module, _args, output: outputs.append(output))
    size = torch.full((1, 2), 64.0)

    def call() -> None:
        transformer(torch.ones(1, 4, 8, 8), torch.ones(1, text, 8), torch.tensor([5]), size, size, torch.zeros(1, 2))

    with torch.no_grad(), hooks.edit_output(block, lambda h: h + 1):
        block.register_forward_hook(lambda _module, _args, output: outputs.append(output))
        call()
    (image, words), (edited, same) = outputs
    assert torch.equal(edited, image + 1)
    assert torch.equal(same, words)
