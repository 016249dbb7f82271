"""What surrounds a run: a frozen model, and numbers that come out the same again.

Randomness is a function of what it is for, not of what was drawn before. Every random number of a discovery comes from
a generator made of (seed, purpose, index), so nothing has to be remembered to resume a run: step 1,700 draws the same
numbers whether or not the program was stopped at step 1,000.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import chain, repeat
from typing import Any

import torch
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0
from torch import nn

from directrix.discovery.restored import lasting_weights, restored, without_cache
from directrix.models import hooks
from directrix.models.steerable import SteerableModel

# Pairs of tokens up to which a CPU computes attention in plain steps: 256 tokens among themselves.
SHORT = 256 * 256


def generator(seed: int, *purpose: str | int) -> torch.Generator:
    """A CPU generator for one purpose, such as ``generator(0, "step", 17)``.

    On the CPU whatever the model's device, so that all devices draw the same numbers. The words of a purpose decide the
    numbers: they must never change.
    """
    digest = hashlib.sha256(json.dumps([seed, *purpose]).encode()).digest()
    return torch.Generator("cpu").manual_seed(int.from_bytes(digest[:8], "little") >> 1)


@contextmanager
def frozen(model: SteerableModel) -> Iterator[None]:
    """Within: every network of the pipeline is in eval mode and no parameter requires a gradient.

    Afterwards every flag is what it was, also after an exception, and so is all else of the pipeline (`restored`);
    weights are never touched.
    """
    networks = [part for part in model.pipeline.components.values() if isinstance(part, nn.Module)]
    training = [(module, module.training) for network in networks for module in network.modules()]
    weights = [weight for network in networks for weight in network.parameters()]
    requires_grad = [(weight, weight.requires_grad) for weight in weights]
    # cuDNN may take a faster algorithm whose sums come in any order; then the same seed gives another direction.
    deterministic = torch.backends.cudnn.deterministic
    try:
        for network in networks:
            network.eval()
            network.requires_grad_(False)
        torch.backends.cudnn.deterministic = True
        network = model.denoiser
        with (
            restored(model.pipeline),
            without_cache(network),
            own_attention(network),
            with_hooks(network),
            lasting_weights(network),
            # Compiled networks run as they are written: gradients and recordings go through hooks that a graph hides.
            torch.compiler.set_stance("force_eager"),
        ):
            yield
    finally:
        torch.backends.cudnn.deterministic = deterministic
        # module.train(flag) would also set the children, whose own flags may differ.
        for module, flag in training:
            module.training = flag
        for weight, flag in requires_grad:
            weight.requires_grad_(flag)


@contextmanager
def own_attention(network: Any) -> Iterator[None]:
    """Within: attention without image prompts, and on a CPU in plain steps where sequences are short.

    An IP-Adapter's image prompt is given with each call, and a direction is a difference between words; so it is taken
    out and put back. A LoRA stays: it is part of what the model knows.

    On a CPU the gradient of attention in plain steps is about twice as fast as the fused kernel's, but it holds a
    number for each pair of tokens: with 64 x 64 latents half a gigabyte for each layer. So the fused kernel attends
    long sequences. Processors of somebody else's are left alone.
    """
    config: Any = getattr(network, "config", None)
    adapted = getattr(config, "encoder_hid_dim_type", None) == "ip_image_proj"
    processors = dict(getattr(network, "attn_processors", {}))
    projection = getattr(network, "encoder_hid_proj", None)
    own = dict(processors)
    if adapted:
        for name, each in processors.items():
            if type(each).__name__.startswith("IPAdapter"):
                own[name] = AttnProcessor2_0() if "2_0" in type(each).__name__ else AttnProcessor()
    fused = bool(own) and all(type(each) is AttnProcessor2_0 for each in own.values())
    short = network.device.type == "cpu" and fused
    try:
        if adapted:
            network.encoder_hid_proj = None
            config.encoder_hid_dim_type = None
        if adapted or short:
            network.set_attn_processor(_ByLength() if short else own)
        yield
    finally:
        if adapted:
            network.encoder_hid_proj = projection
            config.encoder_hid_dim_type = "ip_image_proj"
        if adapted or short:
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


@contextmanager
def with_hooks(network: Any) -> Iterator[None]:
    """Within: parts of the network that are checkpointed are run again with the hooks that they were run with.

    A part under gradient checkpointing is run again during the backward pass. By then the hooks of the forward pass are
    gone, and without them it would be another function.
    """
    changed = []
    try:
        for module in network.modules():
            checkpoint = getattr(module, "_gradient_checkpointing_func", None)
            if checkpoint is not None and getattr(module, "gradient_checkpointing", False):
                changed.append((module, checkpoint))
                module._gradient_checkpointing_func = _reopening(checkpoint)
        yield
    finally:
        for module, checkpoint in changed:
            module._gradient_checkpointing_func = checkpoint


def _reopening(checkpoint: Callable[..., Any]) -> Callable[..., Any]:
    def call(part: Callable[..., Any], *args: Any) -> Any:
        # The first run is the forward pass, in which they are open anyway.
        contexts = chain([nullcontext], repeat(hooks.retained()))

        def run(*args: Any) -> Any:
            with next(contexts)():
                return part(*args)

        return checkpoint(run, *args)

    return call
