"""Sizes and lengths of a training run, read from config.yaml."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from directrix.experiments.emoji_world.training.loop import Part, Schedule


@dataclass(frozen=True)
class Config:
    """A whole run. ``clip.count`` counts batches of hard groups; the other counts are images.

    ``telling_unet`` is the same run as ``unet`` from step ``unet_turn`` on, on other scenes; ``rare_unet`` and
    ``last_unet`` are short runs after it.
    """

    text_length: int
    text_width: int
    text_layers: int
    vision_layers: int
    vae_channels: tuple[int, ...]
    unet_channels: tuple[int, ...]
    judge_channels: tuple[int, ...]
    captions_for_tokenizer: int
    views: int
    vision: Part
    clip: Part
    sight: Part
    vae: Part
    crisp_vae: Part
    judge: Part
    unet: Part
    unet_turn: int
    telling_unet: Part
    rare_unet: Part
    last_unet: Part


def default() -> Config:
    """The whole run."""
    return _read("default")


def tiny() -> Config:
    """A run of seconds, for tests."""
    return _read("tiny")


def _read(name: str) -> Config:
    given = yaml.safe_load(Path(__file__).with_name("config.yaml").read_text(encoding="utf-8"))[name]
    values: dict[str, Any] = {}
    for key, value in given.items():
        if isinstance(value, dict):
            values[key] = Part(**{**value, "schedule": Schedule(**value["schedule"])})
        else:
            values[key] = tuple(value) if isinstance(value, list) else value
    return Config(**values)
