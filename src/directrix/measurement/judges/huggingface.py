"""Any image classifier or zero-shot model of transformers, by its name on the Hugging Face hub or its folder.

A classifier gives each of its own labels a chance: softmax of its scores, or the sigmoid where it was trained to give
several labels at once. A category's chance is the sum of those of its labels (the largest, of a sigmoid). A zero-shot
model (CLIP, SigLIP and their like) scores texts. A category's score is the mean over its texts, and the chances of an
attribute's categories are the softmax of their scores. Which labels or texts stand for which category says a file:

    threshold: 0.6                # a best chance below is unscored; 0.5 unless it is said
    attributes:
      gender:
        female: a photo of a woman              # a zero-shot model's text, or a classifier's label
        male: [a photo of a man, a photo of a boy]

Without such a file, a classifier judges the attribute "label", whose categories are the model's own labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from PIL import Image
from pydantic import BaseModel, Field
from torch import Tensor
from transformers.models.auto.modeling_auto import MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING_NAMES

from directrix.checks import number, one_of, validated
from directrix.errors import DirectrixError
from directrix.measurement.judges.base import ChanceJudge, Phrases, batches, checked_phrases
from directrix.measurement.judges.pretrained import Pretrained
from directrix.reading import yaml_text
from directrix.reading.source import Source


class Labels(BaseModel, extra="forbid"):
    """The content of a file of labels."""

    attributes: dict[str, dict[str, str | list[str]]]
    threshold: float = Field(0.5, ge=0, le=1)


class HuggingFaceJudge(Pretrained, ChanceJudge):
    """Judges the attributes of its labels; the confidence is the best category's chance.

    Args:
        model, tokenizer, image_processor, batch_size, checkpoint: as for `Pretrained`. One with a tokenizer is a
            zero-shot model, another one a classifier.
        attributes: attribute -> category -> the model's labels, or texts for a zero-shot model. None for the model's
            own labels as the attribute "label".
        threshold: in 0..1; an image whose best category has a smaller chance is unscored.

    DirectrixError for attributes that are none, a label that the classifier does not know, a zero-shot model without
    texts, or a number out of its range.
    """

    name = "Hugging Face model"
    ARGUMENT = "model"
    WHAT = "model"
    EXPECTED = "an image classifier or a zero-shot model of transformers, in safetensors, with its image processor."
    REMEDY = "OWNER/MODEL of the Hugging Face hub, or a folder that save_pretrained wrote; device='cpu'."
    OPTIONS = ("device", "revision", "batch_size")

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        image_processor: Any,
        attributes: Phrases | None = None,
        *,
        threshold: float = 0.5,
        **options: Any,
    ) -> None:
        super().__init__(model, tokenizer, image_processor, **options)
        if attributes is None and tokenizer is not None:
            raise DirectrixError(
                f"The zero-shot model '{self.checkpoint}' was given no texts.",
                "a file with a text or several for each category.",
                f"hf:{self.checkpoint}@labels.yaml; docs/evaluation.md shows one.",
            )
        own = [str(label) for _, label in sorted(getattr(model.config, "id2label", {}).items())]
        self.labels = checked_phrases({"label": {each: each for each in own}} if attributes is None else attributes)
        for text in (text for labels in self.labels.values() for texts in labels.values() for text in texts):
            if tokenizer is None:
                one_of("label", text, own)
        self._places = {label: place for place, label in enumerate(own)}
        self.sure = number("threshold", threshold, 0, 1, remedy="threshold=0.5.")

    @classmethod
    def load(
        cls, model: str, labels: str | Path | Phrases | None = None, *, threshold: float | None = None, **options: Any
    ) -> HuggingFaceJudge:
        """Load a checkpoint as `Pretrained.load` does.

        model: OWNER/MODEL on the hub, or a folder; "MODEL@LABELS.yaml" names the file of labels too. labels: such a
        file, or attributes as for the class. threshold: None for the file's, else 0.5.

        ModelError for no such checkpoint, or one of neither kind; DirectrixError as for the class, and for a file of
        labels that is not there or not as it should be.
        """
        source, at, file = model.rpartition("@")
        if at and file.endswith((".yaml", ".yml")):
            model, labels = source, labels or file
        if isinstance(labels, str | Path):
            given = _read(Path(labels))
            labels, threshold = given.attributes, given.threshold if threshold is None else threshold
        threshold = 0.5 if threshold is None else threshold
        return super().load(model, attributes=labels, threshold=threshold, **options)

    @staticmethod
    def kinds(config: Any) -> tuple[Any, Any, bool]:
        if any(name.endswith("ForImageClassification") for name in config.architectures or ()):
            return transformers.AutoModelForImageClassification, transformers.AutoImageProcessor, False
        if config.model_type in MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING_NAMES:
            return transformers.AutoModelForZeroShotImageClassification, transformers.AutoImageProcessor, True
        raise ValueError(f"its model, a {config.model_type}, is neither a classifier nor a zero-shot model of images.")

    @property
    def config(self) -> Mapping[str, Any]:
        """The checkpoint with the hash of its weights, the labels or texts of each category, and the threshold."""
        return {
            "judge": self.name,
            **self.identity,
            "kind": "classifier" if self.tokenizer is None else "zero-shot",
            "classes": self.labels,
            "threshold": self.sure,
        }

    @torch.no_grad()
    def chances(self, images: Sequence[Image.Image]) -> dict[str, Tensor]:
        """Chances of the categories by attribute, float32 (N, categories) in 0..1, on the CPU."""
        of_batch = self._of_labels if self.tokenizer is None else self._of_texts
        found = [of_batch(self.pixels(each)) for each in batches(images, self.batch_size)]
        return {name: torch.cat([each[name] for each in found]) for name in self.labels}

    def _of_labels(self, pixels: Tensor) -> dict[str, Tensor]:
        logits = self.model(pixel_values=pixels).logits.float().cpu()
        several = self.model.config.problem_type == "multi_label_classification"
        chances = logits.sigmoid() if several else logits.softmax(dim=1)

        def of(labels: Sequence[str]) -> Tensor:
            rows = chances[:, [self._places[label] for label in labels]]
            return rows.amax(dim=1) if several else rows.sum(dim=1)

        return {name: torch.stack(list(map(of, each.values())), dim=1) for name, each in self.labels.items()}

    def _of_texts(self, pixels: Tensor) -> dict[str, Tensor]:
        found = {}
        for name, texts in self.labels.items():
            tokens = self.tokens([text for each in texts.values() for text in each])
            scores = self.model(**tokens, pixel_values=pixels).logits_per_image.float().cpu()
            of_each = scores.split([len(each) for each in texts.values()], dim=1)
            found[name] = torch.stack([each.mean(dim=1) for each in of_each], dim=1).softmax(dim=1)
        return found


def _read(path: Path) -> Labels:
    name = f"the file of labels '{path}'"
    content = yaml_text.read(Source(path.expanduser(), expected="a YAML file.", name=name[0].upper() + name[1:]))
    return validated(Labels, content, name)
