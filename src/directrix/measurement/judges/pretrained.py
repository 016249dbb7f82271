"""Checkpoints of transformers: loaded in float32, from safetensors alone, without running any code of theirs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import torch
import transformers
from PIL import Image
from transformers.utils import logging

from directrix.checks import whole_number
from directrix.errors import ModelError, first_line
from directrix.models import hub_access
from directrix.models.fingerprint import weights_fingerprint
from directrix.models.identity import HUB_ID
from directrix.models.loading import best_device
from directrix.reading.model_folders import check_folder


class Pretrained:
    """A model on its device with its tokenizer (None where it reads no texts) and its image processor.

    Texts longer than model and tokenizer take are cut, but for their end mark. batch_size: images or texts at a time.
    checkpoint: what to call the model in results; None for where it was loaded from.
    """

    WHAT = EXPECTED = REMEDY = ""

    def __init__(
        self, model: Any, tokenizer: Any, image_processor: Any, *, batch_size: int = 32, checkpoint: str | None = None
    ) -> None:
        self.model: Any = model.eval()
        self.tokenizer, self.image_processor = tokenizer, image_processor
        self.batch_size = whole_number("batch_size", batch_size, remedy="batch_size=32.")
        self.checkpoint = checkpoint or str(getattr(model, "name_or_path", ""))

    @cached_property
    def identity(self) -> Mapping[str, Any]:
        """Which model this is: its name, its commit where it came from the hub, and the hash of its weights."""
        return {
            "checkpoint": self.checkpoint,
            "commit": getattr(self.model.config, "_commit_hash", None),
            "weights": weights_fingerprint(self.model),
        }

    def pixels(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """Images in RGB as the model takes them, (N, 3, H, W)."""
        # The format is said, since an image three pixels high looks like one with its channels first.
        pixels = self.image_processor(list(images), return_tensors="pt", input_data_format="channels_last")
        return pixels["pixel_values"].to(self.model.device, self.model.dtype)

    def tokens(self, texts: Sequence[str]) -> Any:
        """Tokens and mask, always to the full length, as trained, so that a text does not depend on its neighbours."""
        length = min(self.tokenizer.model_max_length, self.model.config.text_config.max_position_embeddings)
        options = {"padding": "max_length", "truncation": True, "max_length": length, "return_tensors": "pt"}
        return self.tokenizer(list(texts), **options).to(self.model.device)

    @classmethod
    def load(
        cls,
        checkpoint: str | Path,
        *,
        device: str | torch.device | None = None,
        revision: str | None = None,
        source: str | Path | None = None,
        **options: Any,
    ) -> Self:
        """Load a checkpoint in float32; `options` go to the class.

        Args:
            checkpoint: a folder, or an id on the Hugging Face hub. Only safetensors are read, and no code is run.
            device: where to; None for the accelerator if there is one, else the CPU.
            revision: branch, tag or commit on the hub.
            source: where it lies, if the checkpoint is a name for it.

        ModelError for no such checkpoint, no network to fetch it, no whole model of this kind, or no such device.
        """
        device = best_device() if device is None else device
        lookup: dict[str, Any] = {"trust_remote_code": False, **({"revision": revision} if revision else {})}
        if source is None and cls.check(checkpoint, revision):
            lookup["local_files_only"] = True
        with _quiet():
            try:
                local = Path(os.path.expanduser(source or checkpoint))
                if local.is_dir():
                    check_folder(local, str(checkpoint))
                parts = cls._parts(os.path.expanduser(source or checkpoint), lookup, device)
            except ModelError:
                raise
            except Exception as error:
                # The hub, safetensors and transformers raise dozens of types here; the cause stays attached.
                why = hub_access.refusal(error) or first_line(error)
                raise ModelError(
                    f"The {cls.WHAT} '{checkpoint}' cannot be loaded to the device '{device}': {why}.",
                    cls.EXPECTED,
                    cls.REMEDY,
                ) from error
        return cls(*parts, checkpoint=str(checkpoint), **options)

    @classmethod
    def check(cls, checkpoint: str | Path, revision: str | None = None) -> bool:
        """Raises ModelError at once where a checkpoint is not here and the hub cannot be reached.

        Returns whether it can only be read from the hub's cache on this machine.
        """
        name = str(checkpoint)
        if Path(os.path.expanduser(name)).is_dir():
            return False
        if name.startswith((".", "~")) or ("/" in name and not HUB_ID.fullmatch(name)):
            raise ModelError(f"There is no folder '{name}' with a {cls.WHAT}.", cls.EXPECTED, cls.REMEDY)
        return hub_access.only_here(name, "config.json", f"The {cls.WHAT}", cls.REMEDY, revision=revision)

    @classmethod
    def _parts(cls, source: str, lookup: dict[str, Any], device: Any) -> tuple[Any, Any, Any]:
        # The configuration first: small, and without the network its error is the clearest.
        model_class, processor, reads = cls.kinds(transformers.AutoConfig.from_pretrained(source, **lookup))
        image_processor = processor.from_pretrained(source, **lookup)
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(source, **lookup) if reads else None
        except TypeError as error:
            # transformers 4, where files are missing.
            raise ValueError("its tokenizer's files are not all there.") from error
        model, report = model_class.from_pretrained(source, use_safetensors=True, output_loading_info=True, **lookup)
        # transformers would leave them random and say so in passing.
        if report["missing_keys"]:
            raise ValueError(f"it lacks tensors of a {type(model).__name__}, such as {min(report['missing_keys'])}.")
        return model.float().to(device), tokenizer, image_processor

    @staticmethod
    def kinds(config: Any) -> tuple[Any, Any, bool]:
        """The classes of model and image processor for a configuration, and whether there is a tokenizer."""
        raise NotImplementedError


@contextmanager
def _quiet() -> Iterator[None]:
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
