"""Writing the finished networks as the folders that are shipped: two pipelines, a CLIP and two judges."""

import json
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from diffusers import (
    AutoencoderKL,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import load_file, save_file
from transformers import CLIPImageProcessor, CLIPModel, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from directrix.experiments.emoji_world.training import tokenizer
from directrix.experiments.emoji_world.training.config import shared
from directrix.measurement.judges.emoji import RESIDUAL, STRIDED
from directrix.measurement.judges.emoji_network import HEADS, JudgeNetwork
from directrix.measurement.judges.emoji_strided_network import StridedNetwork
from directrix.models import embedded

UNET_PIPELINE, TRANSFORMER_PIPELINE = "emoji/pipeline", "emoji-sd3/pipeline"
CLIP_FOLDER = "emoji/clip"
JUDGE_FILE, HELD_OUT_JUDGE_FILE = "emoji/judge.safetensors", "emoji/judge-held-out.safetensors"

Tower = TypeVar("Tower", CLIPTextModel, CLIPTextModelWithProjection)


class Networks(NamedTuple):
    """All that was trained."""

    clip: CLIPModel
    vae: AutoencoderKL
    unet: UNet2DConditionModel
    transformer: SD3Transformer2DModel
    judge: JudgeNetwork
    held_out_judge: StridedNetwork


def text_tower(clip_model: CLIPModel, kind: type[Tower]) -> Tower:
    """The text half of a CLIPModel as the class that a pipeline wants: Stable Diffusion's or Stable Diffusion 3's."""
    text_config: Any = clip_model.config.text_config
    tower = kind(text_config)
    state = clip_model.text_model.state_dict()
    prefix = "" if next(iter(tower.state_dict())) in state else "text_model."
    state = {prefix + name: value for name, value in state.items()}
    if kind is CLIPTextModelWithProjection:
        state["text_projection.weight"] = clip_model.text_projection.weight
    tower.load_state_dict(state)
    return tower.eval()


def assemble(folder: Path, tokens: CLIPTokenizer, networks: Networks) -> Path:
    """Write all parts in half precision, laid out as the package's own ``models/weights``."""
    left_out: dict[str, Any] = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    scheduler: Any = DPMSolverMultistepScheduler(**shared("noise"), timestep_spacing="trailing", steps_offset=1)
    encoder, vae = text_tower(networks.clip, CLIPTextModel), networks.vae
    StableDiffusionPipeline(
        vae=vae, text_encoder=encoder, tokenizer=tokens, unet=networks.unet, scheduler=scheduler, **left_out
    ).to(torch.float16).save_pretrained(folder / UNET_PIPELINE)
    # The other pipeline adds the shift to every latent.
    vae.register_to_config(shift_factor=0.0)
    words: dict[str, Any] = {"text_encoder_3": None, "tokenizer_3": None}
    for number in ("", "_2"):
        words |= {f"text_encoder{number}": text_tower(networks.clip, CLIPTextModelWithProjection)}
        words |= {f"tokenizer{number}": tokens}
    StableDiffusion3Pipeline(
        vae=vae, transformer=networks.transformer, scheduler=FlowMatchEulerDiscreteScheduler(shift=1.0), **words
    ).to(torch.float16).save_pretrained(folder / TRANSFORMER_PIPELINE)
    networks.clip.half().save_pretrained(folder / CLIP_FOLDER)
    tokens.save_pretrained(folder / CLIP_FOLDER)
    images: dict[str, Any] = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    CLIPImageProcessor(size={"shortest_edge": 64}, crop_size=64, **images).save_pretrained(folder / CLIP_FOLDER)
    _for_every_reader(folder)
    _write_judge(networks.judge, RESIDUAL, folder / JUDGE_FILE)
    _write_judge(networks.held_out_judge, STRIDED, folder / HELD_OUT_JUDGE_FILE)
    embedded.write_checksums(folder)
    return folder


def _write_judge(network: JudgeNetwork | StridedNetwork, kind: str, file: Path) -> None:
    """Write a judge in half precision, as `EmojiJudge.load` reads it."""
    state = {name: value.half().contiguous() for name, value in network.state_dict().items()}
    settings = {"channels": list(network.channels), "heads": {head: list(names) for head, names in HEADS.items()}}
    save_file(state, file, {"judge": json.dumps({"network": kind, **settings})})


def _for_every_reader(folder: Path) -> None:
    """Names, files and settings by which transformers 4 loads what 5 wrote, and both load it as float32."""
    for weights in folder.glob("*/pipeline/text_encoder*/model.safetensors"):
        # Where transformers 4 does not find a tensor it draws one at random and only warns.
        names = {name: name if name.startswith("text_") else f"text_model.{name}" for name in load_file(weights)}
        save_file({names[name]: value for name, value in load_file(weights).items()}, weights, {"format": "pt"})
    for whole in folder.rglob("tokenizer.json"):
        tokenizer.write_parts(whole.parent)
    for config in folder.rglob("config.json"):
        settings = json.loads(config.read_text(encoding="utf-8"))
        # Where a stage's network lay.
        settings.pop("_name_or_path", None)
        if "model_type" in settings:
            for part in (settings, settings.get("text_config", {}), settings.get("vision_config", {})):
                part["dtype"] = "float32"
        config.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
