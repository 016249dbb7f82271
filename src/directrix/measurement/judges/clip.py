"""CLIP: any checkpoint as features of images and texts, and a zero-shot judge by words, with no training.

All features have length 1. For an image with feature f and a label with text feature t, the label's score is s f·t
with s the model's own scale (the exponential of `logit_scale`), and the chances of an attribute's labels are the
softmax of their scores. A label's text feature is the mean of the normalised features of all its phrases in all
templates, normalised again: the recipe of Radford et al. (2021), "Learning Transferable Visual Models From Natural
Language Supervision", section 3.1.4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize

from directrix.checks import number
from directrix.errors import DirectrixError, ModelError
from directrix.measurement.judges.base import ChanceJudge, Phrases, batches, checked_phrases
from directrix.measurement.judges.pretrained import Pretrained
from directrix.models import EMBEDDED, embedded

CHECKPOINT = "openai/clip-vit-base-patch32"
TEMPLATES = ("a photo of {}", "a picture of {}", "an image of {}", "a portrait of {}", "a drawing of {}")
ATTRIBUTES: Phrases = {"gender": {"female": "a woman", "male": "a man"}}
# Older configurations say 2, which was never true; transformers then takes the text's greatest token for its end.
_OLD_END_MARK = 2


class ClipEncoder(Pretrained):
    """A CLIPModel with its tokenizer and image processor, as for `Pretrained`; images of any size and mode go in.

    ModelError where the tokenizer is not the model's.
    """

    WHAT = "CLIP checkpoint"
    EXPECTED = (
        "'emoji', a folder or a Hugging Face id that can be reached, with a whole CLIPModel in safetensors, its "
        "tokenizer and its image processor; and a device of this machine."
    )
    REMEDY = "--judge clip:FOLDER with a copy of it (checkpoint=FOLDER in Python); clip:emoji needs no network."

    def __init__(self, model: Any, tokenizer: Any, image_processor: Any, **options: Any) -> None:
        _check_end_mark(tokenizer, model.config.text_config)
        super().__init__(model, tokenizer, image_processor, **options)

    @classmethod
    def load(cls, checkpoint: str | Path = CHECKPOINT, **options: Any) -> ClipEncoder:
        """Load a checkpoint as `Pretrained.load` does, or "emoji", the embedded models' own CLIP."""
        return super().load(checkpoint, source=embedded.clip_path() if checkpoint == EMBEDDED else None, **options)

    @staticmethod
    def kinds(config: Any) -> tuple[Any, Any, bool]:
        if config.model_type != "clip":
            raise ValueError(f"its model is a {config.model_type}, not a clip.")
        # transformers 5 has a class of its own for PIL; only its pixels are the same with and without torchvision.
        processor = getattr(transformers, "CLIPImageProcessorPil", None) or transformers.CLIPImageProcessor
        return transformers.CLIPModel, processor, True

    @property
    def dimension(self) -> int:
        """D, the length of a feature."""
        return self.model.config.projection_dim

    def images(self, images: Sequence[Image.Image]) -> Tensor:
        """Features of images, float32 (N, D) on the CPU, every row of length 1."""
        return self._features(
            images, lambda some: self.model.get_image_features(self.pixels([each.convert("RGB") for each in some]))
        )

    def texts(self, texts: Sequence[str]) -> Tensor:
        """Features of texts, float32 (N, D) on the CPU, every row of length 1."""

        def of(some: Sequence[str]) -> Any:
            tokens = self.tokens(some)
            return self.model.get_text_features(tokens["input_ids"], tokens["attention_mask"])

        return self._features(texts, of)

    @torch.no_grad()
    def _features(self, given: Sequence[Any], of: Callable[[Sequence[Any]], Any]) -> Tensor:
        outputs = (of(each) for each in batches(given, self.batch_size))
        # Older transformers return the tensor alone.
        found = [normalize(getattr(each, "pooler_output", each).float(), dim=-1).cpu() for each in outputs]
        return torch.cat([torch.empty(0, self.dimension), *found])


class ClipJudge(ChanceJudge):
    """Judges any attribute that words can describe. What CLIP believes is a measurement with biases of its own.

    Args:
        encoder: the checkpoint.
        attributes: attribute -> label -> a phrase or several, such as {"gender": {"female": "a woman", ...}}.
        templates: sentences with "{}" where the phrase goes; ("{}",) for the phrases as they are.
        sure: in 0..1; an image whose best label has a smaller chance is unscored. The better of two labels always
            has 0.5, so an attribute of two labels needs more than that for any image to be unscored.

    DirectrixError for no attribute, fewer than two labels, an empty phrase, a template without "{}", or a number out of
    its range.
    """

    name = "CLIP zero-shot"
    ARGUMENT = "checkpoint"
    OPTIONS = ("device", "revision", "batch_size")

    def __init__(
        self,
        encoder: ClipEncoder,
        attributes: Phrases,
        *,
        templates: str | Sequence[str] = TEMPLATES,
        sure: float = 0.5,
    ) -> None:
        self.templates = _checked_templates(templates)
        self.labels = checked_phrases(attributes)
        self.sure = number("sure", sure, 0, 1, remedy="sure=0.5.")
        self.encoder = encoder
        # (labels, D) by attribute: float32, on the CPU, every row of length 1.
        self.text_features = {
            attribute: torch.stack([self._text_feature(phrases) for phrases in labels.values()])
            for attribute, labels in self.labels.items()
        }

    def _text_feature(self, phrases: Sequence[str]) -> Tensor:
        texts = [template.replace("{}", phrase) for phrase in phrases for template in self.templates]
        return normalize(self.encoder.texts(texts).mean(dim=0), dim=0)

    @classmethod
    def load(
        cls,
        checkpoint: str | Path = CHECKPOINT,
        attributes: Phrases = ATTRIBUTES,
        *,
        templates: str | Sequence[str] = TEMPLATES,
        sure: float = 0.5,
        **options: Any,
    ) -> ClipJudge:
        """Load a checkpoint; arguments and errors are those of ClipEncoder.load and of the class."""
        return cls(ClipEncoder.load(checkpoint, **options), attributes, templates=templates, sure=sure)

    @property
    def config(self) -> Mapping[str, Any]:
        """The checkpoint with the hash of its weights, all phrases by attribute and label, templates, `sure`."""
        return {
            "judge": self.name,
            **self.encoder.identity,
            "classes": self.labels,
            "templates": list(self.templates),
            "sure": self.sure,
        }

    def chances(self, images: Sequence[Image.Image]) -> dict[str, Tensor]:
        return {attribute: values.softmax(dim=1) for attribute, values in self.scores(images).items()}

    def scores(self, images: Sequence[Image.Image]) -> dict[str, Tensor]:
        """Scores before softmax, float32 (N, labels) by attribute: scaled cosines, in -s..s with s the scale."""
        features = self.features(images)
        scale = self.encoder.model.logit_scale.detach().float().exp().cpu()
        return {attribute: scale * features @ texts.T for attribute, texts in self.text_features.items()}

    def features(self, images: Sequence[Image.Image]) -> Tensor:
        """Image features for distances between images, float32 (N, D) on the CPU, every row of length 1."""
        return self.encoder.images(images)


def _checked_templates(templates: str | Sequence[str]) -> tuple[str, ...]:
    templates = (templates,) if isinstance(templates, str) else tuple(templates)
    wrong = [each for each in templates if "{}" not in each]
    if wrong or not templates:
        raise DirectrixError(
            f'The template {wrong[0]!r} has no "{{}}".' if wrong else "There is no template.",
            'sentences with "{}" where the phrase goes.',
            'templates=("a photo of {}",), or ("{}",) for the phrases as they are.',
        )
    return templates


def _check_end_mark(tokenizer: Any, config: Any) -> None:
    """The text feature is read where the text ends; with another end mark it would be read anywhere."""
    mark, tokens, known = tokenizer.eos_token_id, len(tokenizer), config.eos_token_id
    if tokens > config.vocab_size or mark != (tokens - 1 if known == _OLD_END_MARK else known):
        raise ModelError(
            f"The tokenizer has {tokens} tokens and ends texts with number {mark}; the model knows "
            f"{config.vocab_size} and expects {'the last' if known == _OLD_END_MARK else known}.",
            "the tokenizer that the model was trained with.",
            "load both from the same folder or id, and check that no file is missing there.",
        )
