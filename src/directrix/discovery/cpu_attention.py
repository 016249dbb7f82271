"""Attention on a CPU, with a gradient.

In plain steps its gradient is about twice as fast there as the fused kernel's, but it holds a number for each pair of
tokens: with 64 x 64 latents half a gigabyte for each layer. So short sequences are attended in plain steps, long ones
by the fused kernel.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0

# Pairs of tokens up to which attention is computed in plain steps: 256 tokens among themselves.
SHORT = 256 * 256


@contextmanager
def plain_where_short(network: Any) -> Iterator[None]:
    """Within, on a CPU: short sequences are attended in plain steps. Processors of somebody else's are left alone."""
    processors = dict(getattr(network, "attn_processors", {}))
    fused = bool(processors) and all(type(each) is AttnProcessor2_0 for each in processors.values())
    if network.device.type != "cpu" or not fused:
        yield
        return
    network.set_attn_processor(_ByLength())
    try:
        yield
    finally:
        network.set_attn_processor(processors)


class _ByLength:
    def __init__(self) -> None:
        self._plain, self._fused = AttnProcessor(), AttnProcessor2_0()

    def __call__(
        self,
        attn: Any,
        hidden_states: Any,
        encoder_hidden_states: Any = None,
        attention_mask: Any = None,
        temb: Any = None,
    ) -> Any:
        tokens = hidden_states.shape[1] if hidden_states.ndim == 3 else hidden_states[0, 0].numel()
        others = tokens if encoder_hidden_states is None else encoder_hidden_states.shape[1]
        processor = self._plain if tokens * others <= SHORT else self._fused
        return processor(attn, hidden_states, encoder_hidden_states, attention_mask, temb)
