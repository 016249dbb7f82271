"""A CLIP checkpoint as a pair of functions: images to features and texts to features, every feature of length 1.

The one place that loads CLIP; zero-shot judging, Q16 and distances between images all stand on it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize

from directrix.checks import whole_number
from directrix.errors import ModelError
from directrix.measurement.judges.base import batches
from directrix.measurement.judges.pretrained import loading, tokenizer_of, whole_model
from directrix.models import EMBEDDED, embedded
from directrix.models.fingerprint import weights_fingerprint
from directrix.models.loading import best_device

if TYPE_CHECKING:
    from transformers import CLIPModel

# Older configurations say 2, which was never true; transformers then takes the text's greatest token for its end.
_OLD_END_MARK = 2


class ClipEncoder:
    """A CLIPModel with its tokenizer and image processor.

    Args:
        model: a CLIPModel; it is put into evaluation mode and stays on its device.
        tokenizer: its tokenizer. Texts longer than model and tokenizer take are cut, but for their end mark.
        image_processor: its image processor; images of any size and mode go in, without their transparency.
        batch_size: images or texts at a time; a matter of memory and speed only.
        checkpoint: what to call the model in results; None for where it was loaded from.

    Raises:
        DirectrixError: a batch size below 1.
        ModelError: the tokenizer is not the model's.
    """

    def __init__(
        self,
        model: CLIPModel,
        tokenizer: Any,
        image_processor: Any,
        *,
        batch_size: int = 32,
        checkpoint: str | None = None,
    ) -> None:
        _check_end_mark(tokenizer, model.config.text_config)
        self.model: Any = model.eval()
        self.tokenizer = tokenizer
        self.image_processor = image_processor
        self.batch_size = whole_number("batch_size", batch_size, remedy="batch_size=32.")
        self.checkpoint = checkpoint or str(getattr(model, "name_or_path", ""))

    @classmethod
    def load(
        cls,
        checkpoint: str | Path = "openai/clip-vit-base-patch32",
        *,
        device: str | torch.device | None = None,
        revision: str | None = None,
        batch_size: int = 32,
    ) -> ClipEncoder:
        """Load a checkpoint in float32.

        Args:
            checkpoint: a folder that holds a CLIPModel with its tokenizer and image processor, a Hugging Face id, or
                "emoji" for the embedded model's own CLIP. Only safetensors are read.
            device: where to; None for the accelerator if there is one, else the CPU.
            revision: branch, tag or commit on the Hugging Face hub.
            batch_size: as for the class.

        Raises:
            ModelError: no such checkpoint, no network to fetch it, files that are not those of a whole CLIPModel.
        """
        source = embedded.clip_path() if checkpoint == EMBEDDED else os.path.expanduser(checkpoint)
        target = best_device() if device is None else device
        with loading(
            f"The CLIP checkpoint '{checkpoint}'",
            target,
            "'emoji', a folder or a Hugging Face id that can be reached, with a whole CLIPModel in safetensors, its "
            "tokenizer and its image processor; and a device of this machine.",
            "checkpoint='emoji', which needs no network; download the checkpoint again; device='cpu'.",
        ):
            model, tokenizer, image_processor = _read(str(source), {"revision": revision} if revision else {})
            model = model.to(target)
        return cls(model, tokenizer, image_processor, batch_size=batch_size, checkpoint=str(checkpoint))

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """Which model this is: its name, its commit where it came from the hub, and the hash of its weights."""
        return {
            "checkpoint": self.checkpoint,
            "commit": getattr(self.model.config, "_commit_hash", None),
            "weights": weights_fingerprint(self.model),
        }

    @property
    def dimension(self) -> int:
        """D, the length of a feature."""
        return self.model.config.projection_dim

    @torch.no_grad()
    def images(self, images: Sequence[Image.Image]) -> Tensor:
        """Features of images, float32 (N, D) on the CPU, every row of length 1."""
        found = [torch.empty(0, self.dimension)]
        for each in batches(images, self.batch_size):
            # The format is said, since an image three pixels high looks like one with its channels first.
            batch = [image.convert("RGB") for image in each]
            pixels = self.image_processor(batch, return_tensors="pt", input_data_format="channels_last")
            pixels = pixels["pixel_values"].to(self.model.device, self.model.dtype)
            found.append(_feature(self.model.get_image_features(pixels)))
        return torch.cat(found)

    @torch.no_grad()
    def texts(self, texts: Sequence[str]) -> Tensor:
        """Features of texts, float32 (N, D) on the CPU, every row of length 1."""
        length = min(self.tokenizer.model_max_length, self.model.config.text_config.max_position_embeddings)
        found = [torch.empty(0, self.dimension)]
        for batch in batches(texts, self.batch_size):
            # Always to the full length, as CLIP was trained, so that a text does not depend on its neighbours.
            tokens = self.tokenizer(
                list(batch), padding="max_length", truncation=True, max_length=length, return_tensors="pt"
            ).to(self.model.device)
            output = self.model.get_text_features(tokens["input_ids"], tokens["attention_mask"])
            found.append(_feature(output))
        return torch.cat(found)


def _feature(output: Any) -> Tensor:
    """What get_text_features or get_image_features found, normalised; older transformers return the tensor alone."""
    return normalize(getattr(output, "pooler_output", output).float(), dim=-1).cpu()


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
    tokenizer = tokenizer_of(source, lookup)
    return whole_model(transformers.CLIPModel, source, lookup), tokenizer, image_processor
