"""Checkpoints of transformers: loaded in float32, from safetensors alone, without running any code of theirs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from directrix.errors import ModelError, first_line


@contextmanager
def loading(what: str, device: Any, expected: str, remedy: str) -> Iterator[None]:
    """Says whatever goes wrong while a checkpoint is loaded as a ModelError; transformers is quiet meanwhile."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    except Exception as error:
        # The hub, safetensors and transformers raise dozens of types here; the cause stays attached.
        raise ModelError(
            f"{what} cannot be loaded to the device '{device}': {first_line(error)}.", expected, remedy
        ) from error
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def whole_model(model_class: Any, source: str, lookup: dict[str, Any]) -> Any:
    """The model with all its tensors, float32 and in evaluation mode. Raises ValueError where some are missing."""
    model, report = model_class.from_pretrained(source, use_safetensors=True, output_loading_info=True, **lookup)
    # transformers would leave them random and say so in passing.
    if report["missing_keys"]:
        raise ValueError(f"it lacks tensors of a {type(model).__name__}, such as {min(report['missing_keys'])}.")
    return model.float().eval()


def tokenizer_of(source: str, lookup: dict[str, Any]) -> Any:
    """The tokenizer in a checkpoint. Raises ValueError where its files are not all there."""
    import transformers

    try:
        return transformers.AutoTokenizer.from_pretrained(source, trust_remote_code=False, **lookup)
    except TypeError as error:
        # transformers 4, where files are missing.
        raise ValueError("its tokenizer's files are not all there.") from error
