"""A zero-shot judge: any CLIP checkpoint and words for what to look for, no training.

For an image with image feature f and a label with text feature t, both of length 1, the label's score is s f·t
with s the model's own scale (the exponential of `logit_scale`), and the chances of an attribute's labels are the
softmax of their scores. A label's text feature is the mean of the normalised features of all its phrases in all
templates, normalised again: the recipe of Radford et al. (2021), "Learning Transferable Visual Models From Natural
Language Supervision", section 3.1.4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize

from directrix.checks import number
from directrix.errors import DirectrixError
from directrix.measurement.judges.base import Phrases, Verdict, checked_phrases, judged, verdicts_of
from directrix.measurement.judges.clip_encoder import ClipEncoder

if TYPE_CHECKING:
    from transformers import CLIPModel

TEMPLATES = ("a photo of {}", "a picture of {}", "an image of {}", "a portrait of {}", "a drawing of {}")
ATTRIBUTES: Phrases = {"gender": {"female": "a woman", "male": "a man"}}


class ClipJudge:
    """Judges any attribute that words can describe. What CLIP believes is a measurement with biases of its own.

    Args:
        model, tokenizer, image_processor, batch_size, checkpoint: as for ClipEncoder, which is then `encoder`.
        attributes: attribute -> label -> a phrase or several, such as {"gender": {"female": "a woman", ...}}.
        templates: sentences with "{}" where the phrase goes; ("{}",) for the phrases as they are.
        sure: in 0..1; an image whose best label has a smaller chance is unscored. The better of two labels always
            has 0.5, so an attribute of two labels needs more than that for any image to be unscored.

    Raises:
        DirectrixError: no attribute, fewer than two labels, an empty phrase, a template without "{}", or a number
            out of its range.
        ModelError: the tokenizer is not the model's.
    """

    name = "CLIP zero-shot"
    ARGUMENT = "checkpoint"
    OPTIONS = ("templates", "sure", "batch_size")

    def __init__(
        self,
        model: CLIPModel,
        tokenizer: Any,
        image_processor: Any,
        attributes: Phrases,
        *,
        templates: str | Sequence[str] = TEMPLATES,
        sure: float = 0.5,
        batch_size: int = 32,
        checkpoint: str | None = None,
    ) -> None:
        self.templates = _checked_templates(templates)
        self.phrases = checked_phrases(attributes)
        self.sure = number("sure", sure, 0, 1, remedy="sure=0.5.")
        self.encoder = ClipEncoder(model, tokenizer, image_processor, batch_size=batch_size, checkpoint=checkpoint)
        self.labels = {attribute: tuple(labels) for attribute, labels in self.phrases.items()}
        # (labels, D) by attribute: float32, on the CPU, every row of length 1.
        self.text_features = {
            attribute: torch.stack([self._text_feature(phrases) for phrases in labels.values()])
            for attribute, labels in self.phrases.items()
        }

    def _text_feature(self, phrases: Sequence[str]) -> Tensor:
        texts = [template.replace("{}", phrase) for phrase in phrases for template in self.templates]
        return normalize(self.encoder.texts(texts).mean(dim=0), dim=0)

    @classmethod
    def load(
        cls,
        checkpoint: str | Path = "openai/clip-vit-base-patch32",
        attributes: Phrases = ATTRIBUTES,
        *,
        device: str | torch.device | None = None,
        revision: str | None = None,
        **options: Any,
    ) -> ClipJudge:
        """Load a checkpoint in float32, as ClipEncoder.load; "emoji" is the embedded model's own CLIP.

        `attributes` and the options `templates`, `sure` and `batch_size` are as for the class, and so are the errors.
        """
        loaded = ClipEncoder.load(checkpoint, device=device, revision=revision)
        options = {"checkpoint": loaded.checkpoint, **options}
        return cls(loaded.model, loaded.tokenizer, loaded.image_processor, attributes, **options)

    @property
    def config(self) -> Mapping[str, Any]:
        """The checkpoint with the hash of its weights, all phrases by attribute and label, templates, `sure`."""
        return {
            "judge": self.name,
            **self.encoder.config,
            "classes": self.phrases,
            "templates": list(self.templates),
            "sure": self.sure,
        }

    def label(self, images: Sequence[Image.Image]) -> list[Mapping[str, Verdict]]:
        """A verdict for every attribute of every image; `confidence` is the best label's chance."""
        return judged(images, self.labels, self._label)

    def _label(self, images: list[Image.Image]) -> list[Mapping[str, Verdict]]:
        chances = {attribute: values.softmax(dim=1) for attribute, values in self.scores(images).items()}
        return verdicts_of(chances, self.labels, self.sure)

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
