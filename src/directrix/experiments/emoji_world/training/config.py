"""Sizes, lengths and schedules of a training run, read from config.yaml."""

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from directrix.checks import validated


@dataclass(frozen=True)
class Schedule:
    """Steps of Adam: the learning rate is constant after warm-up, then falls over the last ``decay``.

    It falls in a straight line, or as half a cosine.
    """

    steps: int
    learning_rate: float
    decay: float = 0.35
    weight_decay: float = 0.01
    warm_up: int = 100
    cosine: bool = False

    def rate(self, step: int) -> float:
        left = min(1.0, (self.steps - step) / max(1.0, self.steps * self.decay))
        if self.cosine:
            left = (1 - math.cos(math.pi * left)) / 2
        return self.learning_rate * min((step + 1) / min(self.warm_up, self.steps), left)


@dataclass(frozen=True)
class Data:
    """What is rendered: how many images or batches of images, and the seed of their scenes."""

    count: int
    data_seed: int


@dataclass(frozen=True)
class Fit:
    """How a network is fitted to its data."""

    schedule: Schedule
    batch_size: int
    seed: int


@dataclass(frozen=True)
class Part(Fit, Data):
    """A network's data, and how it is fitted to them."""


@dataclass(frozen=True)
class Config:
    """A whole run; see config.yaml."""

    text_length: int
    text_width: int
    text_layers: int
    vision_layers: int
    vae_channels: tuple[int, ...]
    unet_channels: tuple[int, ...]
    transformer_layers: int
    transformer_heads: int
    judge_channels: tuple[int, ...]
    held_out_judge_channels: tuple[int, ...]
    captions_for_tokenizer: int
    views: int
    vision: Part
    clip: Part
    sight: Part
    vae: Part
    crisp_vae: Part
    decoder: Part
    fine_decoder: Part
    judge: Part
    held_out_judge: Part
    pairs: dict[str, Data]
    unet: Fit
    transformer: Fit


def read(name: str) -> Config:
    """A run by its name in config.yaml: "default", or "tiny" for one of seconds."""
    return validated(Config, _content()[name], f"config.yaml > {name}")


def shared(name: str) -> dict[str, Any]:
    """Settings that every run shares."""
    return _content()["shared"][name]


@cache
def _content() -> dict[str, Any]:
    return yaml.safe_load(Path(__file__).with_name("config.yaml").read_text(encoding="utf-8"))
