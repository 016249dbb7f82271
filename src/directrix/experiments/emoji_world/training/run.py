"""The whole training, stage by stage; a stage that is done is not done again, one that was killed goes on."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPImageProcessor, CLIPModel, CLIPTextModel, CLIPTokenizer

from directrix.errors import ModelError
from directrix.experiments.emoji_world.art import Art, fetch
from directrix.experiments.emoji_world.caption import caption
from directrix.experiments.emoji_world.scene import draw
from directrix.experiments.emoji_world.training import autoencoder, clip, denoiser, judge, tokenizer
from directrix.experiments.emoji_world.training.config import Config, default
from directrix.experiments.emoji_world.training.data import (
    biased_scenes,
    even_scenes,
    last_scenes,
    rare_scenes,
    render_all,
    telling_scenes,
)
from directrix.experiments.emoji_world.training.loop import finished
from directrix.measurement.judges.emoji_network import HEADS, JudgeNetwork
from directrix.models.files import write_atomically
from directrix.progress import Progress, silent

# Networks start from torch's own first seed, whatever was drawn before.
INITIAL_SEED = 67280421310721
PIPELINE, CLIP_FOLDER, JUDGE_FILE = "pipeline", "clip", "judge.safetensors"


def train(
    folder: Path, art_folder: Path, config: Config | None = None, progress: Progress = silent, fetch_art: bool = True
) -> Path:
    """Train every part from the art and write the finished model to ``folder / "model"``, which is returned.

    ``folder`` keeps checkpoints: the same call goes on where a killed one stopped. ``fetch_art=False`` takes
    ``art_folder`` as it is.
    """
    config = config or default()
    _claim(folder, config)
    art = Art(fetch(art_folder) if fetch_art else art_folder)
    tokens = _tokenizer(config, folder)
    clip_model = _clip(config, folder, art, tokens, progress)
    clip_model = _sight(config, folder, art, tokens, clip_model, progress)
    vae = _vae(config, folder, art, progress)
    network = _judge(config, folder, art, progress)
    unet = _unet(config, folder, art, tokens, clip_model, vae, progress)
    return assemble(folder / "model", tokens, clip_model, vae, unet, network)


def _claim(folder: Path, config: Config) -> None:
    """Write the configuration beside the checkpoints, and refuse a folder that belongs to another one."""
    note = folder / "config.json"
    wanted = json.loads(json.dumps(asdict(config)))
    if note.exists() and json.loads(note.read_text(encoding="utf-8")) != wanted:
        raise ModelError(
            f"The training in '{folder}' was begun with another configuration.",
            "the folder of a run with this one, or an empty folder.",
            "another folder, or remove this one.",
        )
    write_atomically(note, (json.dumps(wanted, indent=2) + "\n").encode())


def _tokenizer(config: Config, folder: Path) -> CLIPTokenizer:
    rng = np.random.default_rng(0)
    captions = [caption(draw(rng), rng) for _ in range(config.captions_for_tokenizer)]
    return tokenizer.build(captions, folder / "tokenizer", config.text_length)


def _clip(config: Config, folder: Path, art: Art, tokens: CLIPTokenizer, progress: Progress) -> CLIPModel:
    done = folder / "clip_model"
    if done.exists():
        return CLIPModel.from_pretrained(done).float()
    part = config.clip
    torch.manual_seed(INITIAL_SEED)
    model = clip.build(tokens, config.text_width, config.text_layers, config.vision_layers)
    batches = clip.HardBatches(part.count, part.data_seed, art, progress)
    sight = config.vision
    clip.warm_up(model, batches.data, sight.schedule, sight.batch_size, sight.seed, folder / "vision_run", progress)
    clip.fit(model, tokens, batches, part.schedule, part.seed, folder / "clip_run", progress)
    _publish(done, model.save_pretrained)
    return model


def _sight(
    config: Config, folder: Path, art: Art, tokens: CLIPTokenizer, clip_model: CLIPModel, progress: Progress
) -> CLIPModel:
    """The same CLIP with a better vision tower; the text tower, all that the U-Net sees of it, does not change."""
    done = folder / "sight_model"
    if done.exists():
        return CLIPModel.from_pretrained(done).float()
    part = config.sight
    batches = clip.HardBatches(part.count, part.data_seed, art, progress, clip.SIGHT_GROUPS)
    clip.sharpen(clip_model, tokens, batches, part.schedule, part.seed, folder / "sight_run", progress)
    _publish(done, clip_model.save_pretrained)
    return clip_model


def _vae(config: Config, folder: Path, art: Art, progress: Progress) -> AutoencoderKL:
    done = folder / "vae_model"
    if done.exists():
        return AutoencoderKL.from_pretrained(done)
    part, again = config.vae, config.crisp_vae
    data = render_all(biased_scenes(part.count, part.data_seed), art, progress, "renders for VAE")
    torch.manual_seed(INITIAL_SEED)
    vae = autoencoder.build(config.vae_channels)
    autoencoder.fit(vae, data, part.schedule, part.batch_size, part.seed, folder / "vae_run", progress)
    # A second run at a high rate that falls again: it is what makes faces crisp.
    autoencoder.fit(vae, data, again.schedule, again.batch_size, again.seed, folder / "crisp_vae_run", progress)
    _publish(done, vae.save_pretrained)
    return vae


def _judge(config: Config, folder: Path, art: Art, progress: Progress) -> JudgeNetwork:
    network = JudgeNetwork(config.judge_channels)
    done = folder / JUDGE_FILE
    if done.exists():
        network.load_state_dict(load_file(done))
        return network.eval()
    part = config.judge
    torch.manual_seed(INITIAL_SEED)
    network = JudgeNetwork(config.judge_channels)
    data = render_all(even_scenes(part.count, part.data_seed), art, progress, "renders for judge")
    judge.fit(network, data, part.schedule, part.batch_size, part.seed, folder / "judge_run", progress)
    _publish(done, lambda path: save_file(network.state_dict(), path))
    return network


def _unet(
    config: Config,
    folder: Path,
    art: Art,
    tokens: CLIPTokenizer,
    clip_model: CLIPModel,
    vae: AutoencoderKL,
    progress: Progress,
) -> UNet2DConditionModel:
    done = folder / "unet_model"
    if done.exists():
        return UNet2DConditionModel.from_pretrained(done)
    torch.manual_seed(INITIAL_SEED)
    unet = denoiser.build(config.unet_channels, text_width=config.text_width)
    text_encoder = text_tower(clip_model)
    # One run, whose later steps see other scenes, and two short ones. A finished one needs no data, only its weights.
    for name, part, scenes, until, noisy in (
        ("unet_run", config.unet, biased_scenes, config.unet_turn, False),
        ("unet_run", config.telling_unet, telling_scenes, config.telling_unet.schedule.steps, False),
        ("rare_unet_run", config.rare_unet, rare_scenes, config.rare_unet.schedule.steps, False),
        ("last_unet_run", config.last_unet, last_scenes, config.last_unet.schedule.steps, True),
    ):
        run = folder / name
        if finished(unet, until, run):
            continue
        data = render_all(scenes(part.count, part.data_seed), art, progress, "renders for U-Net")
        pairs = denoiser.encode(data, vae.eval(), text_encoder, tokens, config.views, part.seed, progress)
        denoiser.fit(unet, pairs, part.schedule, part.batch_size, part.seed, run, progress, until, noisy)
    _publish(done, unet.save_pretrained)
    return unet


def _publish(path: Path, save: Callable[[Path], Any]) -> None:
    """Write beside, then rename: what has its final name is complete."""
    partial = path.with_name(path.name + ".partial")
    if partial.is_dir():
        shutil.rmtree(partial)
    save(partial)
    partial.rename(path)


def text_tower(clip_model: CLIPModel) -> CLIPTextModel:
    """The text half of a CLIPModel as the CLIPTextModel that a StableDiffusionPipeline wants."""
    text_config: Any = clip_model.config.text_config
    tower = CLIPTextModel(text_config)
    state = clip_model.text_model.state_dict()
    wanted = tower.state_dict()
    prefix = "" if next(iter(wanted)) in state else "text_model."
    tower.load_state_dict({prefix + name: value for name, value in state.items()})
    return tower.eval()


def assemble(
    folder: Path,
    tokens: CLIPTokenizer,
    clip_model: CLIPModel,
    vae: AutoencoderKL,
    unet: UNet2DConditionModel,
    network: JudgeNetwork,
) -> Path:
    """Write the three parts of the shipped model in half precision: pipeline, CLIP, judge."""
    scheduler: Any = DPMSolverMultistepScheduler(**denoiser.NOISE_SCHEDULE, timestep_spacing="trailing", steps_offset=1)
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_tower(clip_model),
        tokenizer=tokens,
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,  # type: ignore[arg-type]
        feature_extractor=None,  # type: ignore[arg-type]
        requires_safety_checker=False,
    )
    pipeline.to(torch.float16).save_pretrained(folder / PIPELINE)
    clip_model.half().save_pretrained(folder / CLIP_FOLDER)
    tokens.save_pretrained(folder / CLIP_FOLDER)
    _for_older_readers(folder)
    CLIPImageProcessor(
        size={"shortest_edge": 64}, crop_size=64, image_mean=[0.5] * 3, image_std=[0.5] * 3
    ).save_pretrained(folder / CLIP_FOLDER)
    # The text encoder must load as float32 by default, as the rest of the pipeline does.
    for config in (folder / PIPELINE / "text_encoder" / "config.json", folder / CLIP_FOLDER / "config.json"):
        settings = json.loads(config.read_text(encoding="utf-8"))
        settings["dtype"] = "float32"
        for part in ("text_config", "vision_config"):
            if part in settings:
                settings[part]["dtype"] = "float32"
        config.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    state = {name: value.half().contiguous() for name, value in network.state_dict().items()}
    settings = {"channels": list(network.channels), "heads": {head: list(names) for head, names in HEADS.items()}}
    save_file(state, folder / JUDGE_FILE, {"judge": json.dumps(settings)})
    return folder


def _for_older_readers(folder: Path) -> None:
    """Names and files by which transformers 4 finds what 5 wrote; 5 reads both.

    Where it does not find a tensor it draws one at random and only warns.
    """
    encoder = folder / PIPELINE / "text_encoder" / "model.safetensors"
    tensors = load_file(encoder)
    prefix = "text_model."
    named = {f"{prefix}{name.removeprefix(prefix)}": value for name, value in tensors.items()}
    save_file(named, encoder, {"format": "pt"})
    for place in (folder / PIPELINE / "tokenizer", folder / CLIP_FOLDER):
        tokenizer.write_parts(place)
