"""A pipeline's denoiser, frozen, to which vectors can be added at a site.

Of the whole model only the added vectors ever need a gradient. Its parameters don't require one, so
autograd's graph starts at the site, and the layers before it cost no memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from directrix import _hooks, sites
from directrix.discover.adapters import without_image_prompts
from directrix.errors import ModelError, SiteError

if TYPE_CHECKING:
    from torch import Tensor

    from directrix.sites import Site


@contextmanager
def frozen(pipeline: Any) -> Iterator[None]:
    """Within: every network of the pipeline is in eval mode and no parameter requires a gradient.

    Afterwards every flag is what it was, also after an exception; values are never touched.
    """
    networks = [part for part in pipeline.components.values() if isinstance(part, nn.Module)]
    training = [(module, module.training) for network in networks for module in network.modules()]
    weights = [weight for network in networks for weight in network.parameters()]
    requires_grad = [(weight, weight.requires_grad) for weight in weights]
    try:
        for network in networks:
            network.eval()
            network.requires_grad_(False)
        network = sites.denoiser(pipeline)
        with without_image_prompts(network), _plain_attention(network), _uncompiled():
            yield
    finally:
        # module.train(flag) would also set the children, whose own flags may differ.
        for module, flag in training:
            module.training = flag
        for weight, flag in requires_grad:
            weight.requires_grad_(flag)


@contextmanager
def _uncompiled() -> Iterator[None]:
    """Compiled networks run as they are written: gradients and recordings go through hooks that a graph hides."""
    stance = getattr(torch.compiler, "set_stance", None)
    if stance is None:  # before torch 2.6
        yield
        return
    with stance("force_eager"):
        yield


@contextmanager
def _plain_attention(network: Any) -> Iterator[None]:
    """On a CPU, attention in plain steps: its gradient is about twice as fast there as the fused kernel's.

    Processors of somebody else's (adapters') are left alone.
    """
    from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0

    processors = dict(getattr(network, "attn_processors", {}))
    fused = bool(processors) and all(type(each) is AttnProcessor2_0 for each in processors.values())
    if network.device.type != "cpu" or not fused:
        yield
        return
    network.set_attn_processor(AttnProcessor())
    try:
        yield
    finally:
        network.set_attn_processor(processors)


class FrozenDenoiser:
    """The denoiser of a pipeline, with counted evaluations. Use it within ``frozen(pipeline)``.

    forward, forward_backward: samples that went through the denoiser without, and with, a gradient.
    """

    def __init__(self, pipeline: Any, site: Site) -> None:
        self.network: nn.Module = sites.denoiser(pipeline)
        self.site_module = sites.module_of(pipeline, site)
        # With CPU offload the weights wait on the CPU, and pipeline.device says so; they run elsewhere.
        self.device: torch.device = getattr(pipeline, "_execution_device", pipeline.device)
        self.dtype: torch.dtype = next(self.network.parameters()).dtype
        self.forward = 0
        self.forward_backward = 0
        self._pipeline = pipeline
        if getattr(getattr(self.network, "config", None), "addition_embed_type", None) is not None:
            raise ModelError(
                "The denoiser wants more conditioning than a prompt's embedding (as SDXL does).",
                "a denoiser conditioned on the text embedding and the timestep alone.",
                "a model of the Stable Diffusion 1 or 2 family.",
            )

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> Tensor:
        """Embeddings (len(prompts), tokens, width), padded exactly as the pipeline does when it generates."""
        embeddings = self._pipeline.encode_prompt(list(prompts), self.device, 1, False)[0]
        return embeddings.to(self.device, self.dtype)

    @torch.no_grad()
    def predict(self, x_t: Tensor, timesteps: Tensor, embeddings: Tensor) -> Tensor:
        """The plain prediction, float32 of shape (N, c, h, w), without a gradient."""
        self.forward += len(x_t)
        return self._call(x_t, timesteps, embeddings)

    def steered(self, x_t: Tensor, timesteps: Tensor, embeddings: Tensor, addition: Tensor) -> Tensor:
        """The prediction with ``addition`` (N, C, H, W) added to the site's output, with its gradient.

        x_t: (N, c, h, w); timesteps: (N,) in [0, T); embeddings: (N, tokens, width).
        Returns float32 (N, c, h, w).
        """
        if torch.is_grad_enabled() and addition.requires_grad:
            self.forward_backward += len(x_t)
        else:
            self.forward += len(x_t)
        with _hooks.edit_output(self.site_module, lambda h: h + addition.to(h.device, h.dtype)):
            return self._call(x_t, timesteps, embeddings)

    @torch.no_grad()
    def site_output(self, x_t: Tensor, timesteps: Tensor, embeddings: Tensor) -> Tensor:
        """What the site puts out, float32 of shape (N, C, H, W); SiteError for any other layout."""
        seen: list[Tensor] = []
        self.forward += len(x_t)
        with _hooks.read_output(self.site_module, lambda h: seen.append(h.float())):
            self._call(x_t, timesteps, embeddings)
        if len(seen) != 1 or seen[0].ndim != 4:
            raise SiteError(
                f"The site puts out shapes {[tuple(h.shape) for h in seen]} in one pass.",
                "a module that runs once in each pass and puts out (batch, channels, height, width).",
                "the default site, the U-Net's mid block.",
            )
        return seen[0]

    def _call(self, x_t: Tensor, timesteps: Tensor, embeddings: Tensor) -> Tensor:
        return self.network(
            x_t.to(self.device, self.dtype),
            timesteps.to(self.device),
            encoder_hidden_states=embeddings,
            return_dict=False,
        )[0].float()
