"""The whole training, stage by stage; a stage that is done is not done again, one that was killed goes on."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, SD3Transformer2DModel, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import CLIPModel, CLIPTextModelWithProjection, CLIPTokenizer

from directrix.errors import ModelError
from directrix.experiments.emoji_world.art import Art, fetch
from directrix.experiments.emoji_world.caption import caption
from directrix.experiments.emoji_world.scene import draw
from directrix.experiments.emoji_world.training import (
    autoencoder,
    clip,
    judge,
    loop,
    noise_prediction,
    pairs,
    rectified_flow,
    tokenizer,
)
from directrix.experiments.emoji_world.training.assembly import Networks, assemble, text_tower
from directrix.experiments.emoji_world.training.config import Config, Data, Fit, read
from directrix.experiments.emoji_world.training.data import Renders, render_all, scenes_of
from directrix.experiments.emoji_world.training.pairs import Pairs
from directrix.measurement.judges.emoji_network import JudgeNetwork
from directrix.measurement.judges.emoji_strided_network import StridedNetwork
from directrix.models.files import write_atomically
from directrix.progress import Progress, silent

# Networks start from torch's own first seed, whatever was drawn before.
INITIAL_SEED = 67280421310721
JUDGE_FILE, HELD_OUT_JUDGE_FILE, PAIRS_FILE = "judge.safetensors", "judge-held-out.safetensors", "pairs.safetensors"
CPU = torch.device("cpu")


def train(
    folder: Path,
    art_folder: Path,
    config: Config | None = None,
    progress: Progress = silent,
    fetch_art: bool = True,
    device: torch.device = CPU,
) -> Path:
    """Train every part from the art and write the finished models to ``folder / "model"``, which is returned.

    ``folder`` keeps checkpoints: the same call goes on where a killed one stopped. ``fetch_art=False`` takes
    ``art_folder`` as it is. On a CUDA device networks compute in bfloat16 as far as autocast lets them.
    """
    config = config or read("default")
    _claim(folder, config)
    art = Art(fetch(art_folder) if fetch_art else art_folder)
    rng = np.random.default_rng(0)
    captions = [caption(draw(rng), rng) for _ in range(config.captions_for_tokenizer)]
    tokens = tokenizer.build(captions, folder / "tokenizer", config.text_length)
    run = _Run(folder, config, art, tokens, progress, device)
    clip_model = run.stage("clip_model", CLIPModel, run.clip)
    clip_model = run.stage("sight_model", CLIPModel, lambda: run.sight(clip_model))
    vae = run.stage("vae_model", AutoencoderKL, run.vae)
    vae = run.stage("decoder_model", AutoencoderKL, lambda: run.decoder(vae))
    judges = run.judge(), run.second_judge()
    words: Any = text_tower(clip_model, CLIPTextModelWithProjection)
    words.to(device)
    unet = run.stage("unet_model", UNet2DConditionModel, lambda: run.unet(words, vae))
    transformer = run.stage("transformer_model", SD3Transformer2DModel, lambda: run.transformer(words, vae))
    return assemble(folder / "model", tokens, Networks(clip_model, vae, unet, transformer, *judges))


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
    device: torch.device = CPU

    def stage(self, name: str, kind: Any, make: Callable[[], Any]) -> Any:
        """A network, read from its file even where it was just trained: so a killed run ends as an unbroken one."""
        done = self.folder / name
        if not done.exists():
            torch.manual_seed(INITIAL_SEED)
            _publish(done, make().save_pretrained)
        return kind.from_pretrained(done).float().to(self.device)

    def fit(self, network: nn.Module, loss: Callable[[int], Tensor], fit: Fit, name: str, label: str) -> None:
        loop.train(network.to(self.device), loss, fit.schedule, self.folder / name, label, self.progress)

    def renders(self, kind: str, part: Data, label: str) -> Renders:
        scenes = scenes_of(kind, part.count, part.data_seed)
        return render_all(scenes, self.art, self.progress, f"renders for {label}").to(self.device)

    def clip(self) -> CLIPModel:
        config, part = self.config, self.config.clip
        model = clip.build(self.tokens, config.text_width, config.text_layers, config.vision_layers)
        batches = clip.HardBatches("groups", part, self.art, self.progress, self.device)
        tower = clip.Labelled(model)
        self.fit(tower, clip.label_loss(tower, batches.data, config.vision), config.vision, "vision_run", "CLIP vision")
        self.fit(model, clip.caption_loss(model, self.tokens, batches, part, True), part, "clip_run", "CLIP")
        return model

    def sight(self, model: CLIPModel) -> CLIPModel:
        """The same CLIP with a better vision tower; the text tower, all that denoisers see of it, does not change."""
        part = self.config.sight
        batches = clip.HardBatches("sight_groups", part, self.art, self.progress, self.device)
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
        parts: list[Any] = [vae.eval().post_quant_conv, vae.decoder]
        layers = nn.ModuleList(parts)
        # Again a second run at a rate that falls, here on other renders.
        for name, part in (("decoder_run", self.config.decoder), ("fine_decoder_run", self.config.fine_decoder)):
            data = self.renders("even", part, "decoder")
            self.fit(layers, autoencoder.decoder_loss(vae, data, part), part, name, "decoder")
        return vae

    def judge(self) -> JudgeNetwork:
        part = self.config.judge

        def make() -> JudgeNetwork:
            network = JudgeNetwork(self.config.judge_channels)
            data = self.renders("even", part, "judge")
            self.fit(network, judge.loss(network, data, part), part, "judge_run", "judge")
            return network

        return self.network(JUDGE_FILE, JudgeNetwork(self.config.judge_channels), make)

    def second_judge(self) -> StridedNetwork:
        """The judge to which nothing is fitted: another network, other renders."""
        part, channels = self.config.held_out_judge, self.config.held_out_judge_channels

        def make() -> StridedNetwork:
            network = StridedNetwork(channels, normalised=True)
            data = self.renders("mixed", part, "held-out judge")
            self.fit(
                network, judge.second_judge_loss(network, data, part), part, "held_out_judge_run", "held-out judge"
            )
            return judge.settled(network, data, part)

        return self.network(HELD_OUT_JUDGE_FILE, StridedNetwork(channels), make)

    def network(self, name: str, empty: Any, make: Callable[[], Any]) -> Any:
        """A network of ours, read from its file as in ``stage``; its weights go into ``empty``."""
        done = self.folder / name
        if not done.exists():
            torch.manual_seed(INITIAL_SEED)
            state = make().state_dict()
            _publish(done, lambda path: save_file(state, path))
        empty.load_state_dict(load_file(done))
        return empty.to(self.device).eval()

    def pairs(self, vae: AutoencoderKL) -> Pairs:
        """What both denoisers learn from, rendered and encoded once."""
        done, config = self.folder / PAIRS_FILE, self.config
        if not done.exists():
            found = [
                pairs.encode(
                    self.renders(kind, part, "denoisers"),
                    vae.eval(),
                    self.tokens,
                    config.views,
                    part.data_seed,
                    self.progress,
                )
                for kind, part in config.pairs.items()
            ]
            _publish(done, lambda path: save_file(vars(pairs.joined(found)), path))
        return Pairs(**load_file(done, str(self.device)))

    def unet(self, words: CLIPTextModelWithProjection, vae: AutoencoderKL) -> UNet2DConditionModel:
        fit = self.config.unet
        unet: Any = noise_prediction.build(self.config.unet_channels, self.config.text_width)
        # Convolutions are faster so on a GPU; files are in the usual order.
        unet.to(memory_format=torch.channels_last)
        self.fit(unet, noise_prediction.loss(unet, words, self.pairs(vae), fit), fit, "unet_run", "U-Net")
        return unet.to(memory_format=torch.contiguous_format)

    def transformer(self, words: CLIPTextModelWithProjection, vae: AutoencoderKL) -> SD3Transformer2DModel:
        config, fit = self.config, self.config.transformer
        transformer = rectified_flow.build(config.transformer_layers, config.transformer_heads, words.config)
        loss = rectified_flow.loss(transformer, words, self.pairs(vae), fit)
        self.fit(transformer, loss, fit, "transformer_run", "transformer")
        return transformer


def _publish(path: Path, save: Callable[[Path], Any]) -> None:
    """Write beside, then rename: what has its final name is complete."""
    partial = path.with_name(path.name + ".partial")
    if partial.is_dir():
        shutil.rmtree(partial)
    save(partial)
    partial.rename(path)
