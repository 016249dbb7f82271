"""The text encoder and its vision tower: an ordinary CLIPModel, trained contrastively on hard groups.

The images of a group differ in one attribute (other gender, tone, subject, item, ...), and so do their captions, so
that nothing but the attribute tells them apart. Captions that are true of another image of the batch are no
negatives for it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTokenizer, CLIPVisionConfig

from directrix.experiments.emoji_world.art import Art
from directrix.experiments.emoji_world.caption import caption, is_true
from directrix.experiments.emoji_world.scene import NAMEABLE, NAMED_SHARE, Scene, draw, variants
from directrix.experiments.emoji_world.training.config import Part, shared
from directrix.experiments.emoji_world.training.data import Renders, as_pixels, batches, render_all
from directrix.experiments.emoji_world.training.judge import errors, targets
from directrix.experiments.emoji_world.training.loop import precision
from directrix.measurement.judges.emoji_network import HEADS
from directrix.progress import Progress


def build(tokenizer: CLIPTokenizer, width: int, text_layers: int, vision_layers: int) -> CLIPModel:
    """A CLIPModel with random weights for 64 x 64 pixels in patches of 8."""
    both: dict[str, Any] = {"hidden_size": width, "intermediate_size": 4 * width, "projection_dim": 128}
    both |= {"num_attention_heads": max(1, width // 48), "hidden_act": "gelu"}
    marks: dict[str, Any] = {
        f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")
    }
    length = tokenizer.model_max_length
    text = CLIPTextConfig(
        **both, **marks, vocab_size=len(tokenizer), num_hidden_layers=text_layers, max_position_embeddings=length
    )
    vision = CLIPVisionConfig(**both, num_hidden_layers=vision_layers, image_size=64, patch_size=8)
    model = CLIPModel(CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=128))
    # Plain attention: its backward pass is faster on a CPU than the fused one. Older transformers cannot be asked.
    if hasattr(model, "set_attn_implementation"):
        model.set_attn_implementation("eager")
    return model


def hard_groups(batches: int, seed: int, sizes: Mapping[str, Sequence[int]]) -> dict[str, list[list[Scene]]]:
    """For each attribute, the groups of ``batches`` batches; ``sizes``: how many a batch has, of how many images."""
    rng = np.random.default_rng(seed)
    return {
        attribute: [_group(attribute, size, rng) for _ in range(batches * count)]
        for attribute, (count, size) in sizes.items()
    }


def _group(attribute: str, size: int, rng: np.random.Generator) -> list[Scene]:
    while True:
        named = frozenset(name for name in NAMEABLE if rng.random() < NAMED_SHARE[name]) | {"gender", "tone"}
        scene = draw(rng, named=named | ({attribute} & set(NAMEABLE)))
        if attribute in ("gender", "tone") and scene.gender is None:
            continue
        # Gender and tone were drawn evenly; now the captions leave them out as often as captions do.
        named = {name for name in ("gender", "tone") if rng.random() < NAMED_SHARE[name]} | {attribute}
        scene = replace(scene, named=scene.named - ({"gender", "tone"} - named))
        group = variants(scene, attribute, size, rng)
        if len(group) == size or (attribute == "style" and len(group) > 1):
            return group


class HardBatches:
    """Rendered hard groups; a step's batch is a list of indices into them."""

    def __init__(self, groups: str, part: Part, art: Art, progress: Progress, device: torch.device) -> None:
        self.seed, self.count, self.sizes = part.data_seed, part.count, shared(groups)
        found = hard_groups(self.count, self.seed, self.sizes)
        scenes = [scene for every in found.values() for group in every for scene in group]
        places = iter(range(len(scenes)))
        self.places = {name: [[next(places) for _ in group] for group in every] for name, every in found.items()}
        self.data: Renders = render_all(scenes, art, progress, "renders for CLIP").to(device)

    def indices(self, step: int) -> list[int]:
        """The images of one step: every epoch puts the groups together anew."""
        epoch, place = divmod(step, self.count)
        chosen = []
        for attribute, (count, _) in self.sizes.items():
            groups = self.places[attribute]
            order = np.random.default_rng((self.seed, epoch, len(groups))).permutation(len(groups))
            chosen.extend(index for g in order[place * count : (place + 1) * count] for index in groups[g])
        return chosen


class Labelled(nn.Module):
    """The vision tower with a linear head for each attribute; only its training needs the heads."""

    def __init__(self, model: CLIPModel) -> None:
        super().__init__()
        self.vision = model.vision_model
        config: Any = model.config.vision_config
        self.heads = nn.ModuleDict(
            {name.replace(" ", "_"): nn.Linear(config.hidden_size, len(HEADS[name])) for name in HEADS}
        )

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        pooled = self.vision(pixel_values=pixels).pooler_output
        return {name: self.heads[name.replace(" ", "_")](pooled) for name in HEADS}


def label_loss(tower: Labelled, data: Renders, part: Part) -> Callable[[int], Tensor]:
    """Of a step: the errors of all heads. It teaches the vision tower the labels of its images, before any captions.

    Labels say all of an image at once, captions a part of it: a transformer learns to see several times faster so.
    """
    pick = batches(len(data), part.batch_size, part.seed)
    wanted = targets(data)

    def of_step(step: int) -> Tensor:
        rows = pick(step)
        with precision(data.images.device):
            scores = tower(as_pixels(data.images[rows]))
        return torch.stack(errors(scores, wanted, rows, 0.0)).sum()

    return of_step


def tokenize(tokenizer: CLIPTokenizer, texts: Sequence[str], longest: bool = False) -> Tensor:
    """Token ids (N, length), padded as in inference or, with ``longest``, only to the longest caption."""
    encoded = tokenizer(
        list(texts), padding="longest" if longest else "max_length", truncation=True, return_tensors="pt"
    )
    return encoded.input_ids


def contrastive_loss(images: Tensor, texts: Tensor, scale: Tensor, also_true: Tensor) -> Tensor:
    """CLIP's symmetric loss on unit embeddings (N, D); ``also_true[i, j]``: caption j holds for image i as well."""
    scores = scale * images @ texts.T
    wanted = torch.arange(len(scores), device=scores.device)
    scores = scores.masked_fill(also_true & (wanted[:, None] != wanted), float("-inf"))
    return (functional.cross_entropy(scores, wanted) + functional.cross_entropy(scores.T, wanted)) / 2


def text_features(model: CLIPModel, ids: Tensor) -> Tensor:
    """Unit text embeddings (N, D)."""
    pooled = model.text_model(input_ids=ids).pooler_output
    return functional.normalize(model.text_projection(pooled).float(), dim=-1)


def image_features(model: CLIPModel, pixels: Tensor) -> Tensor:
    """Unit image embeddings (N, D) of pixels in -1..1."""
    pooled = model.vision_model(pixel_values=pixels).pooler_output
    return functional.normalize(model.visual_projection(pooled).float(), dim=-1)


def caption_loss(
    model: CLIPModel, tokenizer: CLIPTokenizer, data: HardBatches, part: Part, learn_words: bool
) -> Callable[[int], Tensor]:
    """Of a step: of a batch of hard groups, with fresh captions. Without ``learn_words`` it teaches the vision tower
    alone, against the finished text tower.
    """
    device = data.data.images.device

    def of_step(step: int) -> Tensor:
        rng = np.random.default_rng((part.seed, step))
        indices = data.indices(step)
        scenes = [data.data.scenes[i] for i in indices]
        texts = [caption(scene, rng) for scene in scenes]
        also_true = torch.tensor(
            [[is_true(t, of, shown) for t, of in zip(texts, scenes, strict=True)] for shown in scenes], device=device
        )
        with precision(device):
            images = image_features(model, as_pixels(data.data.images[indices]))
            with torch.set_grad_enabled(learn_words):
                words = text_features(model, tokenize(tokenizer, texts, longest=True).to(device))
                scale = model.logit_scale.exp().clamp(max=100.0)
        return contrastive_loss(images, words, scale, also_true)

    return of_step
