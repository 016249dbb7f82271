"""Sizes and lengths of a training run; ``default()`` is the whole one, ``tiny()`` is for tests."""

from dataclasses import dataclass

from directrix.experiments.emoji_world.training.loop import Schedule


@dataclass(frozen=True)
class Part:
    """How one network is trained: pictures or batches of pictures, its schedule, batch size and seeds."""

    count: int
    schedule: Schedule
    batch_size: int
    data_seed: int
    seed: int


@dataclass(frozen=True)
class Config:
    """A whole run. ``clip.count`` counts batches of hard groups; the other counts are pictures.

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
    """About five hours on two CPU cores; the shipped weights are of such a run."""
    return Config(
        text_length=48,
        text_width=192,
        text_layers=4,
        vision_layers=5,
        vae_channels=(32, 64, 96),
        unet_channels=(64, 128, 256),
        judge_channels=(24, 48, 96, 128),
        captions_for_tokenizer=30_000,
        views=3,
        vision=Part(200, Schedule(1200, 1e-3, decay=0.5, weight_decay=0.05), 64, 2, 2),
        clip=Part(200, Schedule(500, 6e-4, decay=0.6, weight_decay=0.05), 118, 2, 2),
        sight=Part(300, Schedule(1700, 5e-4, decay=0.7, weight_decay=0.05), 126, 22, 22),
        vae=Part(24_000, Schedule(2400, 1.5e-3, decay=0.5, weight_decay=0.0), 8, 1, 1),
        crisp_vae=Part(24_000, Schedule(2200, 1.2e-3, decay=0.6, weight_decay=0.0), 8, 1, 4),
        judge=Part(16_000, Schedule(1500, 2e-3), 64, 11, 0),
        unet=Part(32_000, Schedule(12_000, 8e-4, decay=0.36), 48, 3, 3),
        unet_turn=6_800,
        telling_unet=Part(24_000, Schedule(12_000, 8e-4, decay=0.36), 48, 5, 5),
        rare_unet=Part(9_000, Schedule(1400, 8e-4, decay=0.8), 48, 7, 7),
        last_unet=Part(16_000, Schedule(5500, 8e-4, decay=0.8), 48, 9, 9),
    )


def tiny() -> Config:
    """A run of seconds whose networks learn nothing: every step of the way, at its smallest."""
    return Config(
        text_length=48,
        text_width=48,
        text_layers=1,
        vision_layers=1,
        vae_channels=(16, 16, 16),
        unet_channels=(16, 16, 32),
        judge_channels=(8, 8, 8, 8),
        captions_for_tokenizer=200,
        views=2,
        vision=Part(1, Schedule(2, 1e-3), 8, 2, 2),
        clip=Part(1, Schedule(2, 1e-3), 118, 2, 2),
        sight=Part(1, Schedule(2, 1e-3), 118, 22, 22),
        vae=Part(16, Schedule(3, 1e-3), 4, 1, 1),
        crisp_vae=Part(16, Schedule(3, 1e-3), 4, 1, 4),
        judge=Part(16, Schedule(3, 1e-3), 4, 11, 0),
        unet=Part(16, Schedule(4, 1e-3), 4, 3, 3),
        unet_turn=2,
        telling_unet=Part(16, Schedule(4, 1e-3), 4, 5, 5),
        rare_unet=Part(16, Schedule(2, 1e-3), 4, 7, 7),
        last_unet=Part(16, Schedule(2, 1e-3), 4, 9, 9),
    )
