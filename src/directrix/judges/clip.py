"""A zero-shot judge: any CLIP checkpoint and words for what to look for, no training.

For a picture with image feature f and a label with text feature t, both of length 1, the label's score is s f·t
with s the model's own scale (the exponential of ``logit_scale``), and the chances of an attribute's labels are the
softmax of their scores. A label's text feature is the mean of the normalised features of all its phrases in all
templates, normalised again: the recipe of Radford et al. (2021), "Learning Transferable Visual Models From Natural
Language Supervision", section 3.1.4.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize

from directrix import world
from directrix.errors import DirectrixError, ModelError
from directrix.judges import Verdict
from directrix.models import EMBEDDED, _best_device

if TYPE_CHECKING:
    from transformers import CLIPModel

Attributes = Mapping[str, Mapping[str, str | Sequence[str]]]

TEMPLATES = ("a photo of {}", "a picture of {}", "an image of {}", "a portrait of {}", "a drawing of {}")
ATTRIBUTES: Attributes = {"gender": {"female": "a woman", "male": "a man"}}
# Older configurations say 2, which was never true; transformers then takes the text's greatest token for its end.
_OLD_END_MARK = 2


class ClipJudge:
    """Judges any attribute that words can describe. What CLIP believes is a measurement with biases of its own.

    Args:
        model: a CLIPModel; it is put into evaluation mode and stays on its device.
        tokenizer: its tokenizer. Texts longer than model and tokenizer take are cut, their end mark kept.
        image_processor: its image processor; pictures of any size and mode go in, without their transparency.
        attributes: attribute -> label -> a phrase or several, such as {"gender": {"female": "a woman", ...}}.
        templates: sentences with "{}" where the phrase goes; ("{}",) for the phrases as they are.
        sure: in 0..1; a picture whose best label has a smaller chance is unscored. The better of two labels always
            has 0.5, so an attribute of two labels needs more than that for any picture to be unscored.
        batch_size: pictures or texts at a time; a matter of memory and speed only.

    Raises:
        DirectrixError: no attribute, fewer than two labels, an empty phrase, a template without "{}", or a number
            out of its range.
        ModelError: the tokenizer is not the model's.
    """

    name = "CLIP zero-shot"

    def __init__(
        self,
        model: CLIPModel,
        tokenizer: Any,
        image_processor: Any,
        attributes: Attributes,
        *,
        templates: str | Sequence[str] = TEMPLATES,
        sure: float = 0.5,
        batch_size: int = 32,
    ) -> None:
        texts = _texts(attributes, _checked_templates(templates))
        if not 0 <= sure <= 1 or batch_size < 1:
            raise DirectrixError(
                f"The judge is to be sure at {sure!r} and to take {batch_size!r} pictures at a time.",
                "0 <= sure <= 1 and batch_size >= 1.",
                "sure=0.5, batch_size=32.",
            )
        _check_end_mark(tokenizer, model.config.text_config)
        self.model: Any = model.eval()
        self.tokenizer = tokenizer
        self.image_processor = image_processor
        self.sure = sure
        self.batch_size = batch_size
        self.labels = {attribute: tuple(labels) for attribute, labels in texts.items()}
        # (labels, D) by attribute: float32, on the CPU, every row of length 1.
        self.text_features = {
            attribute: torch.stack([self._text_feature(each) for each in labels.values()])
            for attribute, labels in texts.items()
        }

    @classmethod
    def load(
        cls,
        checkpoint: str | Path = "openai/clip-vit-base-patch32",
        attributes: Attributes = ATTRIBUTES,
        *,
        device: str | torch.device | None = None,
        revision: str | None = None,
        **options: Any,
    ) -> ClipJudge:
        """Load a checkpoint in float32.

        Args:
            checkpoint: a folder that holds a CLIPModel with its tokenizer and image processor, a Hugging Face id, or
                "emoji" for the embedded model's own CLIP. Only safetensors are read.
            attributes: as for the class.
            device: where to; None for the accelerator if there is one, else the CPU.
            revision: branch, tag or commit on the Hugging Face hub.
            options: ``templates``, ``sure`` and ``batch_size``, as for the class.

        Raises:
            ModelError: no such checkpoint, no network to fetch it, files that are not those of a whole CLIPModel.
            DirectrixError: as for the class.
        """
        source = world.clip_path() if checkpoint == EMBEDDED else os.path.expanduser(checkpoint)
        target = _best_device() if device is None else device
        try:
            with _quiet():
                model, tokenizer, image_processor = _read(
                    str(source), {"revision": revision} if revision else {}
                )
            model = model.to(target)
        except Exception as error:
            # The hub, safetensors and transformers raise dozens of types here; the cause stays attached.
            first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise ModelError(
                f"The CLIP checkpoint '{checkpoint}' cannot be loaded to the device '{target}': {first}",
                "'emoji', a folder or a Hugging Face id that can be reached, with a whole CLIPModel in "
                "safetensors, its tokenizer and its image processor; and a device of this machine.",
                "checkpoint='emoji', which needs no network; download the checkpoint again; device='cpu'.",
            ) from error
        return cls(model, tokenizer, image_processor, attributes, **options)

    def label(self, images: Sequence[Image.Image]) -> list[Mapping[str, Verdict]]:
        """A verdict for every attribute of every picture; ``confidence`` is the best label's chance."""
        chances = {attribute: values.softmax(dim=1) for attribute, values in self.scores(images).items()}
        return [
            {name: self._verdict(values[row], self.labels[name]) for name, values in chances.items()}
            for row in range(len(images))
        ]

    def scores(self, images: Sequence[Image.Image]) -> dict[str, Tensor]:
        """Scores before softmax, float32 (N, labels) by attribute: scaled cosines, in -s..s with s the scale."""
        features = self.features(images)
        scale = self.model.logit_scale.detach().float().exp().cpu()
        return {attribute: scale * features @ texts.T for attribute, texts in self.text_features.items()}

    @torch.no_grad()
    def features(self, images: Sequence[Image.Image]) -> Tensor:
        """Image features for distances between pictures, float32 (N, D) on the CPU, every row of length 1."""
        found = [torch.empty(0, self.model.config.projection_dim)]
        for start in range(0, len(images), self.batch_size):
            # The format is said, since a picture three pixels high looks like one with its channels first.
            batch = [image.convert("RGB") for image in images[start : start + self.batch_size]]
            pixels = self.image_processor(batch, return_tensors="pt", input_data_format="channels_last")
            pixels = pixels["pixel_values"].to(self.model.device, self.model.dtype)
            found.append(_feature(self.model.get_image_features(pixels)))
        return torch.cat(found)

    @torch.no_grad()
    def _text_feature(self, texts: Sequence[str]) -> Tensor:
        """The text feature (D,) that all texts of a label have together."""
        length = min(self.tokenizer.model_max_length, self.model.config.text_config.max_position_embeddings)
        found = []
        for start in range(0, len(texts), self.batch_size):
            # Always to the full length, as CLIP was trained, so that a text does not depend on its neighbours.
            tokens = self.tokenizer(
                list(texts[start : start + self.batch_size]),
                padding="max_length",
                truncation=True,
                max_length=length,
                return_tensors="pt",
            ).to(self.model.device)
            output = self.model.get_text_features(tokens["input_ids"], tokens["attention_mask"])
            found.append(_feature(output))
        return normalize(torch.cat(found).mean(dim=0), dim=0)

    def _verdict(self, chances: Tensor, labels: Sequence[str]) -> Verdict:
        best = int(chances.argmax())
        confidence = round(float(chances[best]), 4)
        # Not a number is not sure either.
        if not confidence >= self.sure:
            return Verdict(None, confidence, f"unsure: {labels[best]} at {confidence:.2f}")
        return Verdict(labels[best], confidence)


def _feature(output: Any) -> Tensor:
    """What get_text_features or get_image_features found, normalised; older transformers return the tensor alone."""
    return normalize(getattr(output, "pooler_output", output).float(), dim=-1).cpu()


def _several(value: Any) -> tuple[Any, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _texts(attributes: Attributes, templates: Sequence[str]) -> dict[str, dict[str, list[str]]]:
    """All phrases of every label in all templates."""
    expected = "attributes, each with two or more labels, each label with a phrase or several."
    example = '{"gender": {"female": "a woman", "male": "a man"}}.'
    if not attributes:
        raise DirectrixError("There is no attribute to judge.", expected, example)
    texts: dict[str, dict[str, list[str]]] = {}
    for attribute, labels in attributes.items():
        if not isinstance(labels, Mapping) or len(labels) < 2:
            wrong = f"The attribute '{attribute}' has fewer than two labels: {labels!r}."
            raise DirectrixError(wrong, expected, example)
        texts[attribute] = {}
        for label, given in labels.items():
            phrases = _several(given)
            if not phrases or not all(isinstance(each, str) and each.strip() for each in phrases):
                wrong = f"The label '{label}' of the attribute '{attribute}' has an empty phrase: {given!r}."
                raise DirectrixError(wrong, expected, example)
            texts[attribute][label] = [each.replace("{}", phrase) for phrase in phrases for each in templates]
    return texts


def _checked_templates(templates: str | Sequence[str]) -> tuple[str, ...]:
    templates = _several(templates)
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


def _read(source: str, lookup: dict[str, Any]) -> tuple[Any, Any, Any]:
    import transformers

    # The configuration first: small, and without the network its error is the clearest.
    config = transformers.AutoConfig.from_pretrained(source, trust_remote_code=False, **lookup)
    if config.model_type != "clip":
        raise ValueError(f"its model is a {config.model_type}, not a clip.")
    # transformers 5 has a class of its own for PIL; only its pixels are the same with and without torchvision.
    processor: Any = getattr(transformers, "CLIPImageProcessorPil", None) or transformers.CLIPImageProcessor
    image_processor = processor.from_pretrained(source, **lookup)
    tokenizer = transformers.AutoTokenizer.from_pretrained(source, trust_remote_code=False, **lookup)
    loaded: Any = transformers.CLIPModel.from_pretrained(
        source, use_safetensors=True, output_loading_info=True, **lookup
    )
    model, report = loaded
    # transformers would leave them random and say so in passing.
    if report["missing_keys"]:
        raise ValueError(f"it lacks tensors of a CLIPModel, such as {min(report['missing_keys'])}.")
    return model.float(), tokenizer, image_processor


@contextmanager
def _quiet() -> Iterator[None]:
    """Switches transformers' progress bars and advice off for a moment; errors still come as exceptions."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
