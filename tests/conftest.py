"""A tiny random Stable Diffusion pipeline, built from configurations only: nothing is downloaded."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# On a busy machine examples take as long as they take; a test must not fail for that.
settings.register_profile("directrix", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# `make fuzz`: see tests/fuzz/limits.py.
settings.register_profile("fuzz", settings.get_profile("directrix"), max_examples=3400, print_blob=True)
settings.load_profile("directrix")

# Before torch is imported: tests must not fight for the cores, and no test may ask the network.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"


def _byte_symbols() -> list[str]:
    """The 256 printable symbols that byte-level BPE writes bytes as."""
    plain = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    moved = [chr(256 + index) for index in range(256 - len(plain))]
    return [chr(each) for each in plain] + moved


def write_tokenizer(folder: Path) -> None:
    """Writes vocab.json and merges.txt of a CLIP tokenizer that spells every word byte by byte."""
    symbols = _byte_symbols()
    tokens = [*symbols, *(symbol + "</w>" for symbol in symbols), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({token: index for index, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")


def build_pipeline(tokenizer_folder: Path, prediction_type: str = "epsilon", seed: int = 0) -> Any:
    """A random StableDiffusionPipeline: latents (4, 8, 8), images 16 x 16, mid block (32, 4, 4)."""
    import torch
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    if not (tokenizer_folder / "vocab.json").exists():
        write_tokenizer(tokenizer_folder)
    tokenizer = CLIPTokenizer(
        str(tokenizer_folder / "vocab.json"), str(tokenizer_folder / "merges.txt"), model_max_length=32
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = UNet2DConditionModel(
            sample_size=8,
            in_channels=4,
            out_channels=4,
            block_out_channels=(32, 32),
            layers_per_block=1,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=32,
            attention_head_dim=4,
            norm_num_groups=8,
        )
        vae = AutoencoderKL(
            in_channels=3,
            out_channels=3,
            block_out_channels=(16, 16),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            latent_channels=4,
            norm_num_groups=4,
            sample_size=16,
        )
        text_encoder = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(tokenizer),
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=4,
                max_position_embeddings=32,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
            )
        )
    pipeline = StableDiffusionPipeline(
        vae=vae.eval(),
        text_encoder=text_encoder.eval(),
        tokenizer=tokenizer,
        unet=unet.eval(),
        scheduler=DDIMScheduler(
            beta_schedule="scaled_linear", prediction_type=prediction_type, clip_sample=False, steps_offset=1
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the tiny tokenizer's files."""
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder)
    return folder


@pytest.fixture(scope="session")
def make_pipeline(tokenizer_folder: Path) -> Callable[..., Any]:
    """Builds a fresh tiny pipeline: make_pipeline(prediction_type="epsilon", seed=0)."""
    return lambda prediction_type="epsilon", seed=0: build_pipeline(tokenizer_folder, prediction_type, seed)


def _image_processor() -> Any:
    """The class of image processors that needs no torchvision; transformers 4 has no other."""
    import transformers

    return getattr(transformers, "CLIPImageProcessorPil", None) or transformers.CLIPImageProcessor


@pytest.fixture(scope="session")
def image_processor() -> Any:
    """Makes CLIP's image processor."""
    return _image_processor()


def build_clip(tokenizer_folder: Path, end_mark: int | None = None) -> tuple[Any, Any, Any]:
    """A random CLIPModel for 16 x 16 pixels, 24 tokens and 8 features, its tokenizer and its image processor."""
    import torch
    from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

    # No length of its own, as some checkpoints have it: the model's must do.
    tokenizer = CLIPTokenizer.from_pretrained(tokenizer_folder)
    processor = _image_processor()(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})
    towers = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "projection_dim": 8,
        "attention_dropout": 0.5,
    }
    text = {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 24,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id if end_mark is None else end_mark,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {"image_size": 16, "patch_size": 8}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = CLIPModel(CLIPConfig(text_config=towers | text, vision_config=towers | vision, projection_dim=8))
        # As at the beginning of a training all scores would be nearly alike.
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.data.normal_(std=0.2)
    return model, tokenizer, processor


@pytest.fixture(scope="session")
def make_clip(tokenizer_folder: Path) -> Callable[..., tuple[Any, Any, Any]]:
    """Builds a fresh tiny CLIP: make_clip(end_mark=None) -> model, tokenizer, image processor."""
    return lambda end_mark=None: build_clip(tokenizer_folder, end_mark)


def draw_portrait(seed: int = 12) -> Any:
    """A drawn head and shoulders, 320 x 320, in which a detector of faces sees one."""
    import numpy as np
    from PIL import Image, ImageDraw, ImageFilter

    rng = np.random.default_rng(seed)

    def colour(low: int, high: int) -> tuple[int, ...]:
        return tuple(int(value) for value in rng.integers(low, high, 3))

    image = Image.new("RGB", (320, 320), colour(60, 220))
    draw = ImageDraw.Draw(image)
    x, y, w = 160 + int(rng.integers(-20, 20)), 130, int(rng.integers(40, 70))
    h = int(1.3 * w)

    def ellipse(left: float, top: float, right: float, bottom: float, fill: Any) -> None:
        draw.ellipse((x + left * w, y + top * h, x + right * w, y + bottom * h), fill=fill)

    ellipse(-1.35, -1.25, 1.35, 1.5, colour(10, 90))
    draw.rectangle((x - 0.35 * w, y + 0.7 * h, x + 0.35 * w, y + 1.5 * h), fill=(205, 150, 125))
    ellipse(-2.2, 1.3, 2.2, 4, colour(0, 255))
    ellipse(-1, -1, 1, 1, (224, 172, 145))
    for side in (-0.42, 0.42):
        ellipse(side - 0.2, -0.23, side + 0.2, -0.07, "white")
        ellipse(side - 0.09, -0.22, side + 0.09, -0.08, (50, 30, 20))
        brow = (x + (side - 0.28) * w, y - 0.42 * h, x + (side + 0.28) * w, y - 0.15 * h)
        draw.arc(brow, 200, 340, fill=(60, 40, 30), width=4)
    nose = [(x, y - 0.05 * h), (x - 0.12 * w, y + 0.25 * h), (x + 0.12 * w, y + 0.25 * h)]
    draw.polygon(nose, fill=(200, 145, 120))
    ellipse(-0.35, 0.45, 0.35, 0.62, (190, 60, 70))
    return image.filter(ImageFilter.GaussianBlur(1.5))


@pytest.fixture(scope="session")
def make_portrait() -> Callable[..., Any]:
    """Draws a portrait: make_portrait(seed=12) -> PIL image."""
    return draw_portrait


@pytest.fixture(scope="session")
def pipeline(make_pipeline: Callable[..., Any]) -> Any:
    """One tiny pipeline for all tests that leave it as it was."""
    return make_pipeline()


@pytest.fixture(scope="session")
def v_pipeline(make_pipeline: Callable[..., Any]) -> Any:
    """The same with v prediction."""
    return make_pipeline("v_prediction")


@pytest.fixture(scope="session")
def other_pipeline(make_pipeline: Callable[..., Any]) -> Any:
    """The same structure with other weights."""
    return make_pipeline(seed=1)


@pytest.fixture(scope="session")
def make_direction(pipeline: Any) -> Callable[..., Any]:
    """Builds random directions: make_direction("woman", seed=0, shape=(32, 4, 4), scale=1.0, of=pipeline)."""

    def make(
        name: str = "woman", seed: int = 0, shape: tuple[int, ...] = (32, 4, 4), scale: float = 1.0, of: Any = None
    ):
        import torch

        from directrix import models
        from directrix.directions.direction import Direction
        from directrix.models import sites

        owner = pipeline if of is None else of
        tensor = scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed))
        return Direction(name, tensor, sites.find(owner), models.identity(owner))

    return make


@pytest.fixture(scope="session")
def drawings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stand-in emoji art: a disc of its own colour for every drawing that the world needs."""
    from PIL import Image, ImageDraw

    from directrix.experiments.emoji_world.art import needed_codes

    folder = tmp_path_factory.mktemp("art")
    for number, (style, code) in enumerate(needed_codes()):
        (folder / style).mkdir(exist_ok=True)
        sprite = Image.new("RGBA", (24, 30), (0, 0, 0, 0))
        colour = (number * 37 % 256, number * 91 % 256, number * 53 % 256, 255)
        ImageDraw.Draw(sprite).ellipse((1, 1, 23, 29), fill=colour)
        sprite.save(folder / style / f"{code}.png")
    return folder
