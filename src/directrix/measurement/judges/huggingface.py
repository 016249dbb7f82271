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

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from pydantic import BaseModel, Field
from torch import Tensor

from directrix.checks import number, one_of, validated, whole_number
from directrix.errors import DirectrixError
from directrix.measurement.judges.base import Phrases, Verdict, batches, checked_phrases, judged, verdicts_of
from directrix.measurement.judges.pretrained import loading, tokenizer_of, whole_model
from directrix.models.fingerprint import weights_fingerprint
from directrix.models.loading import best_device


class Labels(BaseModel, extra="forbid"):
    """The content of a file of labels."""

    attributes: dict[str, dict[str, str | list[str]]]
    threshold: float = Field(0.5, ge=0, le=1)


class HuggingFaceJudge:
    """Judges the attributes of its labels; the confidence is the best category's chance.

    Args:
        model: a model for image classification or zero-shot image classification, on its device.
        image_processor: its image processor.
        tokenizer: its tokenizer, for a zero-shot model; None for a classifier.
        attributes: attribute -> category -> the model's labels, or texts for a zero-shot model. None for the model's
            own labels as the attribute "label".
        threshold: in 0..1; an image whose best category has a smaller chance is unscored.
        batch_size: images at a time.
        checkpoint: what to call the model in results.

    Raises:
        DirectrixError: attributes that are none, a label that the classifier does not know, a zero-shot model without
            texts, or a number out of its range.
    """

    name = "Hugging Face model"
    ARGUMENT = "model"

    def __init__(
        self,
        model: Any,
        image_processor: Any,
        tokenizer: Any = None,
        attributes: Phrases | None = None,
        *,
        threshold: float = 0.5,
        batch_size: int = 32,
        checkpoint: str | None = None,
    ) -> None:
        if attributes is None and tokenizer is not None:
            raise DirectrixError(
                f"The zero-shot model '{checkpoint}' was given no texts.",
                "a file with a text or several for each category.",
                f"hf:{checkpoint}@labels.yaml; docs/evaluation.md shows one.",
            )
        self.model, self.image_processor = model.eval(), image_processor
        self.tokenizer: Any = tokenizer
        own = [str(label) for _, label in sorted(getattr(model.config, "id2label", {}).items())]
        self.attributes = checked_phrases(
            {"label": dict(zip(own, own, strict=True))} if attributes is None else attributes
        )
        for texts in (each for labels in self.attributes.values() for each in labels.values()):
            for text in texts if tokenizer is None else ():
                one_of("label", text, own)
        self._places = {label: place for place, label in enumerate(own)}
        self.threshold = number("threshold", threshold, 0, 1, remedy="threshold=0.5.")
        self.batch_size = whole_number("batch_size", batch_size, remedy="batch_size=32.")
        self.checkpoint = checkpoint or str(getattr(model, "name_or_path", ""))

    @classmethod
    def load(
        cls,
        model: str,
        labels: str | Path | Phrases | None = None,
        *,
        threshold: float | None = None,
        device: str | torch.device | None = None,
        revision: str | None = None,
        batch_size: int = 32,
    ) -> HuggingFaceJudge:
        """Load a checkpoint in float32, from safetensors; no code that comes with it is run.

        Args:
            model: OWNER/MODEL on the hub, or a folder; "MODEL@LABELS.yaml" names the file of labels too.
            labels: such a file, or attributes as for the class.
            threshold: None for the file's, else 0.5.
            device: None for the accelerator if there is one, else the CPU.
            revision: branch, tag or commit on the hub.
            batch_size: as for the class.

        Raises:
            ModelError: no such checkpoint, or one of neither kind.
            DirectrixError: as for the class; a file of labels that is not there or not as it should be.
        """
        source, at, file = model.rpartition("@")
        if at and file.endswith((".yaml", ".yml")):
            model, labels = source, labels or file
        given = _read(Path(labels)) if isinstance(labels, str | Path) else None
        attributes = given.attributes if given else labels
        sure = threshold if threshold is not None else (given.threshold if given else 0.5)
        target = best_device() if device is None else device
        with loading(
            f"The model '{model}'",
            target,
            "an image classifier or a zero-shot model of transformers, in safetensors, with its image processor.",
            "OWNER/MODEL of the Hugging Face hub, or a folder that save_pretrained wrote; device='cpu'.",
        ):
            parts = _parts(os.path.expanduser(model), {"revision": revision} if revision else {})
            network = parts[0].to(target)
        return cls(network, *parts[1:], attributes, threshold=sure, batch_size=batch_size, checkpoint=model)  # pyright: ignore[reportArgumentType]

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """The checkpoint with the hash of its weights, the labels or texts of each category, and the threshold."""
        return {
            "judge": self.name,
            "checkpoint": self.checkpoint,
            "commit": getattr(self.model.config, "_commit_hash", None),
            "weights": weights_fingerprint(self.model),
            "kind": "classifier" if self.tokenizer is None else "zero-shot",
            "classes": self.attributes,
            "threshold": self.threshold,
        }

    def label(self, images: Sequence[Image.Image]) -> list[Mapping[str, Verdict]]:
        """A verdict for every attribute of every image."""
        return judged(images, self.attributes, self._label)

    def _label(self, images: list[Image.Image]) -> list[Mapping[str, Verdict]]:
        labels = {name: list(each) for name, each in self.attributes.items()}
        found = [verdicts_of(self.chances(each), labels, self.threshold) for each in batches(images, self.batch_size)]
        return [verdict for each in found for verdict in each]

    @torch.no_grad()
    def chances(self, images: Sequence[Image.Image]) -> dict[str, Tensor]:
        """Chances of the categories by attribute, float32 (N, categories) in 0..1, on the CPU."""
        # The format is said, since an image three pixels high looks like one with its channels first.
        pixels = self.image_processor(list(images), return_tensors="pt", input_data_format="channels_last")
        pixels = pixels["pixel_values"].to(self.model.device, self.model.dtype)
        if self.tokenizer is not None:
            return {name: self._of_texts(pixels, list(each.values())) for name, each in self.attributes.items()}
        logits = self.model(pixel_values=pixels).logits.float().cpu()
        several = self.model.config.problem_type == "multi_label_classification"
        chances = logits.sigmoid() if several else logits.softmax(dim=1)

        def of(labels: Sequence[str]) -> Tensor:
            rows = chances[:, [self._places[label] for label in labels]]
            return rows.amax(dim=1) if several else rows.sum(dim=1)

        return {name: torch.stack(list(map(of, each.values())), dim=1) for name, each in self.attributes.items()}

    def _of_texts(self, pixels: Tensor, texts: Sequence[Sequence[str]]) -> Tensor:
        longest = min(self.tokenizer.model_max_length, self.model.config.text_config.max_position_embeddings)
        # To the full length, as such models were trained.
        tokens = self.tokenizer(
            [text for each in texts for text in each],
            padding="max_length",
            truncation=True,
            max_length=longest,
            return_tensors="pt",
        ).to(self.model.device)
        scores = self.model(**tokens, pixel_values=pixels).logits_per_image.float().cpu()
        of_each = scores.split([len(each) for each in texts], dim=1)
        return torch.stack([each.mean(dim=1) for each in of_each], dim=1).softmax(dim=1)


def _read(path: Path) -> Labels:
    import yaml

    try:
        content = yaml.safe_load(path.expanduser().read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DirectrixError(f"The file of labels '{path}' cannot be read: {error}.", "a YAML file.") from error
    return validated(Labels, content, f"the file of labels '{path}'")


def _parts(source: str, lookup: dict[str, Any]) -> tuple[Any, Any, Any]:
    """The model, its image processor, and for a zero-shot model its tokenizer."""
    import transformers
    from transformers.models.auto import modeling_auto

    # The configuration first: small, and without the network its error is the clearest.
    config = transformers.AutoConfig.from_pretrained(source, trust_remote_code=False, **lookup)
    classifier = any(name.endswith("ForImageClassification") for name in config.architectures or ())
    if not classifier and config.model_type not in modeling_auto.MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING_NAMES:
        raise ValueError(f"its model, a {config.model_type}, is neither a classifier nor a zero-shot model of images.")
    auto: Any = (
        transformers.AutoModelForImageClassification
        if classifier
        else transformers.AutoModelForZeroShotImageClassification
    )
    model = whole_model(auto, source, {"trust_remote_code": False, **lookup})
    image_processor = transformers.AutoImageProcessor.from_pretrained(source, trust_remote_code=False, **lookup)
    return model, image_processor, None if classifier else tokenizer_of(source, lookup)
