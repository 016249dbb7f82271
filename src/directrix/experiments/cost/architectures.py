"""Denoisers at their true size with random weights: what they cost can be measured without downloading them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor, nn

from directrix.checks import one_of
from directrix.discovery.conditioning import Conditioning, flat
from directrix.errors import ModelError

STATE = "state"
# Of the free memory, what the weights may take; the rest is for what they compute.
SHARE = 0.8


@dataclass(frozen=True)
class Architecture:
    """A denoiser's class, configuration and the shapes of what it is given for one image (see architectures.yaml)."""

    name: str
    source: str
    class_name: str
    config: Mapping[str, Any]
    inputs: Mapping[str, Any]
    shared: Mapping[str, Any] = field(default_factory=dict)

    def network(self, device: torch.device | str = "meta", dtype: torch.dtype = torch.float32) -> nn.Module:
        """The denoiser in eval mode; on "meta" without weights, elsewhere with random ones.

        Raises:
            ModelError: there is no room for the weights on the device.
        """
        import diffusers

        where = torch.device(device)
        with torch.device("meta"):
            network: nn.Module = getattr(diffusers, self.class_name)(**self.config)
        network = network.to(dtype).eval().requires_grad_(False)
        if where.type == "meta":
            return network
        self._check_room(network, where)
        return _filled(network, where)

    def state(self, device: torch.device) -> Tensor:
        """Random latents of one image, float32 (1, ...)."""
        return torch.randn(1, *self.inputs[STATE], generator=_generator()).to(device)

    def conditioning(self, device: torch.device, dtype: torch.dtype) -> Conditioning:
        """Random values for everything that a prompt tells the denoiser: one row."""
        source = _generator()
        rest = {name: shape for name, shape in self.inputs.items() if name != STATE}
        rows = {path: torch.randn(1, *shape, generator=source) for path, shape in flat(rest).items()}
        shared = {path: torch.randn(*shape, generator=source) for path, shape in flat(self.shared).items()}
        return Conditioning(
            {path: each.to(device, dtype) for path, each in rows.items()},
            {path: each.to(device, dtype) for path, each in shared.items()},
        )

    def smaller(self) -> Architecture:
        """The same for images of an eighth of the height and width; the network is the same."""
        first, *size = self.inputs[STATE]
        if len(size) == 2:
            return replace(self, inputs={**self.inputs, STATE: [first, *(each // 8 for each in size)]})
        # Latents as a row of tokens, each with a place of its own.
        shared = {
            name: [first // 64 if count == first else count, *rest] for name, (count, *rest) in self.shared.items()
        }
        return replace(self, inputs={**self.inputs, STATE: [first // 64, *size]}, shared=shared)

    def _check_room(self, network: nn.Module, device: torch.device) -> None:
        needed = weight_bytes(network)
        on_gpu = device.type == "cuda"
        free = torch.cuda.mem_get_info(device)[0] if on_gpu else psutil.virtual_memory().available
        if needed > SHARE * free:
            raise ModelError(
                f"The weights of {self.name} take {needed:,} bytes, and {free:,} bytes are free on {device}.",
                f"at least {math.ceil(needed / SHARE):,} free bytes: some are needed to compute with.",
                "--dtype bfloat16, a smaller --config, or a machine with more memory.",
            )


@cache
def _all() -> Mapping[str, Architecture]:
    import yaml

    read = yaml.safe_load(Path(__file__).with_name("architectures.yaml").read_text(encoding="utf-8"))
    return {name: Architecture(name, class_name=each.pop("class"), **each) for name, each in read.items()}


def architecture(name: str) -> Architecture:
    """One of architectures.yaml; ModelError, with the nearest, where there is none."""
    return _all()[one_of("configuration", name, _all(), error=ModelError)]


def weight_bytes(network: nn.Module) -> int:
    """Bytes that parameters and buffers take."""
    return sum(each.numel() * each.element_size() for each in (*network.parameters(), *network.buffers()))


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@torch.no_grad()
def _filled(network: nn.Module, device: torch.device) -> nn.Module:
    """Random weights in place of those that a network on "meta" lacks.

    Scaled so that activations neither vanish nor grow: numbers near the smallest ones are slow on a CPU.
    """
    # Buffers are computed by the modules themselves, and not on "meta".
    plain = {name for name, _ in network.named_buffers()}
    network.to_empty(device=device)
    noise = (torch.rand(2**20, generator=_generator()) - 0.5).to(device) * math.sqrt(12)
    for name, weight in network.named_parameters():
        if weight.ndim < 2:
            weight.fill_(1.0 if name.endswith("weight") else 0.0)
            continue
        scale = 1 / math.sqrt(weight[0].numel())
        values = weight.view(-1)
        for first in range(0, values.numel(), noise.numel()):
            part = values[first : first + noise.numel()]
            part.copy_(noise[: part.numel()] * scale)
    for name, buffer in network.named_buffers():
        if name in plain:
            buffer.zero_()
    return network
