"""Sizes, lengths and schedules of a training run, read from config.yaml."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from directrix.checks import validated

WARM_UP = 100


@dataclass(frozen=True)
class Schedule:
    """Steps of Adam: the learning rate is constant after warm-up, then falls linearly over the last ``decay``."""

    steps: int
    learning_rate: float
    decay: float = 0.35
    weight_decay: float = 0.01

    def rate(self, step: int) -> float:
        falling = max(1.0, self.steps * self.decay)
        return self.learning_rate * min(1.0, (step + 1) / min(WARM_UP, self.steps), (self.steps - step) / falling)


@dataclass(frozen=True)
class Part:
    """How one network is trained: images or batches of images, its schedule, batch size and seeds."""

    count: int
    schedule: Schedule
    batch_size: int
    data_seed: int
    seed: int


@dataclass(frozen=True)
class Config:
    """A whole run; see config.yaml."""

    text_length: int
    text_width: int
    text_layers: int
    vision_layers: int
    vae_channels: tuple[int, ...]
    unet_channels: tuple[int, ...]
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
    judge: Part
    held_out_judge: Part
    unet: Part
    unet_turn: int
    telling_unet: Part
    rare_unet: Part
    last_unet: Part


def read(name: str) -> Config:
    """A run by its name in config.yaml: "default", or "tiny" for one of seconds."""
    return validated(Config, _content()[name], f"config.yaml > {name}")


def shared(name: str) -> dict[str, Any]:
    """Settings that every run shares."""
    return _content()["shared"][name]


@cache
def _content() -> dict[str, Any]:
    return yaml.safe_load(Path(__file__).with_name("config.yaml").read_text(encoding="utf-8"))
