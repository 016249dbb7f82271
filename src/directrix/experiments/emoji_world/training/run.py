"""The whole training, stage by stage; a stage that is done is not done again, one that was killed goes on."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
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
from directrix.experiments.emoji_world.scene import Scene, draw
from directrix.experiments.emoji_world.training import autoencoder, clip, denoiser, judge, tokenizer
from directrix.experiments.emoji_world.training.config import Config, default
from directrix.experiments.emoji_world.training.data import (
    Renders,
    biased_scenes,
    even_scenes,
    last_scenes,
    rare_scenes,
    render_all,
    telling_scenes,
)
from directrix.experiments.emoji_world.training.loop import Part, finished
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
    rng = np.random.default_rng(0)
    captions = [caption(draw(rng), rng) for _ in range(config.captions_for_tokenizer)]
    tokens = tokenizer.build(captions, folder / "tokenizer", config.text_length)
    run = _Run(folder, config, art, tokens, progress)
    clip_model = run.sight(run.clip())
    vae = run.vae()
    network = run.judge()
    unet = run.unet(clip_model, vae)
    return assemble(folder / "model", tokens, clip_model, vae, unet, network)


def _claim(folder: Path, config: Config) -> None:
    """Write the configuration beside the checkpoints, and refuse a folder of another one."""
    note = folder / "config.json"
    wanted = json.loads(json.dumps(asdict(config)))
    if note.exists() and json.loads(note.read_text(encoding="utf-8")) != wanted:
        raise ModelError(
            f"The training in '{folder}' was begun with another configuration.",
            "the folder of a run with this one, or an empty folder.",
            "another folder, or remove this one.",
        )
    write_atomically(note, (json.dumps(wanted, indent=2) + "\n").encode())


@dataclass(frozen=True)
class _Run:
    """The stages; each returns its network, trained now or before."""

    folder: Path
    config: Config
    art: Art
    tokens: CLIPTokenizer
    progress: Progress

    def renders(self, scenes: Callable[[int, int], list[Scene]], part: Part, label: str) -> Renders:
        return render_all(scenes(part.count, part.data_seed), self.art, self.progress, f"renders for {label}")

    def clip(self) -> CLIPModel:
        done, config, part = self.folder / "clip_model", self.config, self.config.clip
        if done.exists():
            return CLIPModel.from_pretrained(done).float()
        torch.manual_seed(INITIAL_SEED)
        model = clip.build(self.tokens, config.text_width, config.text_layers, config.vision_layers)
        batches = clip.HardBatches(part.count, part.data_seed, self.art, self.progress)
        clip.warm_up(model, batches.data, config.vision, self.folder / "vision_run", self.progress)
        clip.fit(model, self.tokens, batches, part, self.folder / "clip_run", self.progress)
        _publish(done, model.save_pretrained)
        return model

    def sight(self, model: CLIPModel) -> CLIPModel:
        """The same CLIP with a better vision tower; the text tower, all that the U-Net sees of it, does not change."""
        done, part = self.folder / "sight_model", self.config.sight
        if done.exists():
            return CLIPModel.from_pretrained(done).float()
        batches = clip.HardBatches(part.count, part.data_seed, self.art, self.progress, clip.SIGHT_GROUPS)
        clip.sharpen(model, self.tokens, batches, part, self.folder / "sight_run", self.progress)
        _publish(done, model.save_pretrained)
        return model

    def vae(self) -> AutoencoderKL:
        done, part = self.folder / "vae_model", self.config.vae
        if done.exists():
            return AutoencoderKL.from_pretrained(done)
        data = self.renders(biased_scenes, part, "VAE")
        torch.manual_seed(INITIAL_SEED)
        vae = autoencoder.build(self.config.vae_channels)
        autoencoder.fit(vae, data, part, self.folder / "vae_run", self.progress)
        # A second run at a high rate that falls again: it is what makes faces crisp.
        autoencoder.fit(vae, data, self.config.crisp_vae, self.folder / "crisp_vae_run", self.progress)
        _publish(done, vae.save_pretrained)
        return vae

    def judge(self) -> JudgeNetwork:
        done, part = self.folder / JUDGE_FILE, self.config.judge
        if done.exists():
            network = JudgeNetwork(self.config.judge_channels)
            network.load_state_dict(load_file(done))
            return network.eval()
        torch.manual_seed(INITIAL_SEED)
        network = JudgeNetwork(self.config.judge_channels)
        judge.fit(network, self.renders(even_scenes, part, "judge"), part, self.folder / "judge_run", self.progress)
        _publish(done, lambda path: save_file(network.state_dict(), path))
        return network

    def unet(self, clip_model: CLIPModel, vae: AutoencoderKL) -> UNet2DConditionModel:
        done, config = self.folder / "unet_model", self.config
        if done.exists():
            return UNet2DConditionModel.from_pretrained(done)
        torch.manual_seed(INITIAL_SEED)
        unet = denoiser.build(config.unet_channels, text_width=config.text_width)
        words = text_tower(clip_model)
        # One run, whose later steps see other scenes, and two short ones. A finished one needs only its weights.
        for name, part, scenes, until, noisy in (
            ("unet_run", config.unet, biased_scenes, config.unet_turn, False),
            ("unet_run", config.telling_unet, telling_scenes, config.telling_unet.schedule.steps, False),
            ("rare_unet_run", config.rare_unet, rare_scenes, config.rare_unet.schedule.steps, False),
            ("last_unet_run", config.last_unet, last_scenes, config.last_unet.schedule.steps, True),
        ):
            run = self.folder / name
            if finished(unet, until, run):
                continue
            data = self.renders(scenes, part, "U-Net")
            pairs = denoiser.encode(data, vae.eval(), words, self.tokens, config.views, part.seed, self.progress)
            denoiser.fit(unet, pairs, part, run, self.progress, until, noisy)
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
