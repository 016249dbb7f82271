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
from torch import Tensor, nn
from transformers import CLIPImageProcessor, CLIPModel, CLIPTextModel, CLIPTokenizer

from directrix.errors import ModelError
from directrix.experiments.emoji_world.art import Art, fetch
from directrix.experiments.emoji_world.caption import caption
from directrix.experiments.emoji_world.scene import draw
from directrix.experiments.emoji_world.training import autoencoder, clip, denoiser, judge, loop, tokenizer
from directrix.experiments.emoji_world.training.config import Config, Part, read, shared
from directrix.experiments.emoji_world.training.data import Renders, render_all, scenes_of
from directrix.measurement.judges.emoji import RESIDUAL, STRIDED
from directrix.measurement.judges.emoji_network import HEADS, JudgeNetwork
from directrix.measurement.judges.emoji_strided_network import StridedNetwork
from directrix.models.files import write_atomically
from directrix.progress import Progress, silent

# Networks start from torch's own first seed, whatever was drawn before.
INITIAL_SEED = 67280421310721
PIPELINE, CLIP_FOLDER, JUDGE_FILE = "pipeline", "clip", "judge.safetensors"
HELD_OUT_JUDGE_FILE = "judge-held-out.safetensors"


def train(
    folder: Path, art_folder: Path, config: Config | None = None, progress: Progress = silent, fetch_art: bool = True
) -> Path:
    """Train every part from the art and write the finished model to ``folder / "model"``, which is returned.

    ``folder`` keeps checkpoints: the same call goes on where a killed one stopped. ``fetch_art=False`` takes
    ``art_folder`` as it is.
    """
    config = config or read("default")
    _claim(folder, config)
    art = Art(fetch(art_folder) if fetch_art else art_folder)
    rng = np.random.default_rng(0)
    captions = [caption(draw(rng), rng) for _ in range(config.captions_for_tokenizer)]
    tokens = tokenizer.build(captions, folder / "tokenizer", config.text_length)
    run = _Run(folder, config, art, tokens, progress)
    clip_model = run.stage("clip_model", CLIPModel, run.clip)
    clip_model = run.stage("sight_model", CLIPModel, lambda: run.sight(clip_model))
    vae = run.stage("vae_model", AutoencoderKL, run.vae)
    vae = run.stage("decoder_model", AutoencoderKL, lambda: run.decoder(vae))
    networks = (run.judge(), run.held_out_judge())
    unet = run.stage("unet_model", UNet2DConditionModel, lambda: run.unet(clip_model, vae))
    return assemble(folder / "model", tokens, clip_model, vae, unet, *networks)


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
    """The stages; each trains its network from the beginning, or from the last checkpoint."""

    folder: Path
    config: Config
    art: Art
    tokens: CLIPTokenizer
    progress: Progress

    def stage(self, name: str, kind: Any, make: Callable[[], Any]) -> Any:
        """The network that an earlier run left, or a new one."""
        done = self.folder / name
        if done.exists():
            return kind.from_pretrained(done).float()
        torch.manual_seed(INITIAL_SEED)
        network = make()
        _publish(done, network.save_pretrained)
        return network

    def fit(
        self, network: nn.Module, loss: Callable[[int], Tensor], part: Part, name: str, label: str, until: Any = None
    ) -> None:
        loop.train(network, loss, part.schedule, self.folder / name, label, self.progress, until)

    def renders(self, kind: str, part: Part, label: str) -> Renders:
        scenes = scenes_of(kind, part.count, part.data_seed)
        return render_all(scenes, self.art, self.progress, f"renders for {label}")

    def clip(self) -> CLIPModel:
        config, part = self.config, self.config.clip
        model = clip.build(self.tokens, config.text_width, config.text_layers, config.vision_layers)
        batches = clip.HardBatches("groups", part, self.art, self.progress)
        tower = clip.Labelled(model)
        self.fit(tower, clip.label_loss(tower, batches.data, config.vision), config.vision, "vision_run", "CLIP vision")
        self.fit(model, clip.caption_loss(model, self.tokens, batches, part, True), part, "clip_run", "CLIP")
        return model

    def sight(self, model: CLIPModel) -> CLIPModel:
        """The same CLIP with a better vision tower; the text tower, all that the U-Net sees of it, does not change."""
        part = self.config.sight
        batches = clip.HardBatches("sight_groups", part, self.art, self.progress)
        tower = nn.ModuleList([model.vision_model, model.visual_projection])
        self.fit(tower, clip.caption_loss(model, self.tokens, batches, part, False), part, "sight_run", "CLIP sight")
        return model

    def vae(self) -> AutoencoderKL:
        config = self.config
        vae = autoencoder.build(config.vae_channels)
        data = self.renders("biased", config.vae, "VAE")
        # A second run at a high rate that falls again: it is what makes faces crisp.
        for name, part in (("vae_run", config.vae), ("crisp_vae_run", config.crisp_vae)):
            self.fit(vae, autoencoder.loss(vae, data, part), part, name, "VAE")
        autoencoder.set_scale(vae, data)
        return vae

    def decoder(self, vae: AutoencoderKL) -> AutoencoderKL:
        """The same VAE with a better decoder; the encoder, all that the denoisers see of it, does not change."""
        part = self.config.decoder
        data = self.renders("even", part, "decoder")
        parts: list[Any] = [vae.eval().post_quant_conv, vae.decoder]
        layers = nn.ModuleList(parts)
        self.fit(layers, autoencoder.decoder_loss(vae, data, part), part, "decoder_run", "decoder")
        return vae

    def judge(self) -> JudgeNetwork:
        part = self.config.judge

        def make() -> JudgeNetwork:
            network = JudgeNetwork(self.config.judge_channels)
            data = self.renders("even", part, "judge")
            self.fit(network, judge.loss(network, data, part), part, "judge_run", "judge")
            return network

        return self.network(JUDGE_FILE, JudgeNetwork(self.config.judge_channels), make)

    def held_out_judge(self) -> StridedNetwork:
        """The judge to which nothing is fitted: another network, other renders."""
        part, channels = self.config.held_out_judge, self.config.held_out_judge_channels

        def make() -> StridedNetwork:
            network = StridedNetwork(channels, normalised=True)
            data = self.renders("mixed", part, "held-out judge")
            self.fit(network, judge.held_out_loss(network, data, part), part, "held_out_judge_run", "held-out judge")
            return judge.settled(network, data, part)

        return self.network(HELD_OUT_JUDGE_FILE, StridedNetwork(channels), make)

    def network(self, name: str, empty: Any, make: Callable[[], Any]) -> Any:
        """A network of ours that an earlier run left, in `empty`, or a new one."""
        done = self.folder / name
        if done.exists():
            empty.load_state_dict(load_file(done))
            return empty.eval()
        torch.manual_seed(INITIAL_SEED)
        network = make()
        _publish(done, lambda path: save_file(network.state_dict(), path))
        return network

    def unet(self, clip_model: CLIPModel, vae: AutoencoderKL) -> UNet2DConditionModel:
        config = self.config
        unet = denoiser.build(config.unet_channels, config.text_width)
        words = text_tower(clip_model)
        # One run, whose later steps see other scenes, and two short ones. A finished one needs only its weights.
        for name, part, kind, until, noisy in (
            ("unet_run", config.unet, "biased", config.unet_turn, False),
            ("unet_run", config.telling_unet, "telling", config.telling_unet.schedule.steps, False),
            ("rare_unet_run", config.rare_unet, "rare", config.rare_unet.schedule.steps, False),
            ("last_unet_run", config.last_unet, "last", config.last_unet.schedule.steps, True),
        ):
            if loop.finished(unet, until, self.folder / name):
                continue
            data = self.renders(kind, part, "U-Net")
            pairs = denoiser.encode(data, vae.eval(), words, self.tokens, config.views, part.seed, self.progress)
            self.fit(unet, denoiser.loss(unet, pairs, part, noisy), part, name, "U-Net", until)
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
    prefix = "" if next(iter(tower.state_dict())) in state else "text_model."
    tower.load_state_dict({prefix + name: value for name, value in state.items()})
    return tower.eval()


def assemble(
    folder: Path,
    tokens: CLIPTokenizer,
    clip_model: CLIPModel,
    vae: AutoencoderKL,
    unet: UNet2DConditionModel,
    network: JudgeNetwork,
    held_out: StridedNetwork,
) -> Path:
    """Write the parts of the shipped model in half precision: pipeline, CLIP, both judges."""
    scheduler: Any = DPMSolverMultistepScheduler(**shared("noise"), timestep_spacing="trailing", steps_offset=1)
    left_out: dict[str, Any] = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    pipeline = StableDiffusionPipeline(
        vae=vae, text_encoder=text_tower(clip_model), tokenizer=tokens, unet=unet, scheduler=scheduler, **left_out
    )
    pipeline.to(torch.float16).save_pretrained(folder / PIPELINE)
    clip_model.half().save_pretrained(folder / CLIP_FOLDER)
    tokens.save_pretrained(folder / CLIP_FOLDER)
    _for_older_readers(folder)
    images: dict[str, Any] = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    CLIPImageProcessor(size={"shortest_edge": 64}, crop_size=64, **images).save_pretrained(folder / CLIP_FOLDER)
    # The text encoder must load as float32 by default, as the rest of the pipeline does.
    for config in (folder / PIPELINE / "text_encoder" / "config.json", folder / CLIP_FOLDER / "config.json"):
        settings = json.loads(config.read_text(encoding="utf-8"))
        for part in (settings, settings.get("text_config", {}), settings.get("vision_config", {})):
            part["dtype"] = "float32"
        config.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    write_judge(network, RESIDUAL, folder / JUDGE_FILE)
    write_judge(held_out, STRIDED, folder / HELD_OUT_JUDGE_FILE)
    return folder


def write_judge(network: JudgeNetwork | StridedNetwork, kind: str, file: Path) -> None:
    """Write a judge in half precision, as `EmojiJudge.load` reads it."""
    state = {name: value.half().contiguous() for name, value in network.state_dict().items()}
    settings = {"channels": list(network.channels), "heads": {head: list(names) for head, names in HEADS.items()}}
    save_file(state, file, {"judge": json.dumps({"network": kind, **settings})})


def _for_older_readers(folder: Path) -> None:
    """Names and files by which transformers 4 finds what 5 wrote; 5 reads both.

    Where it does not find a tensor it draws one at random and only warns.
    """
    encoder, prefix = folder / PIPELINE / "text_encoder" / "model.safetensors", "text_model."
    named = {f"{prefix}{name.removeprefix(prefix)}": value for name, value in load_file(encoder).items()}
    save_file(named, encoder, {"format": "pt"})
    for place in (folder / PIPELINE / "tokenizer", folder / CLIP_FOLDER):
        tokenizer.write_parts(place)
