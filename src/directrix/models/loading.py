"""Loading a pipeline's files as diffusers does, quietly, and only whole ones."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from directrix.errors import ModelError


def from_pretrained(name: str, folder: Path | None, options: dict[str, Any], advice: str) -> Any:
    """A pipeline as diffusers loads it, without a safety checker.

    Args:
        name: of the model, for errors; its Hugging Face id where it has no folder.
        options: further ones of diffusers.
        advice: what to do where it cannot be loaded.

    Raises:
        ModelError: it cannot be loaded, or its files lack tensors.
    """
    with _quiet():
        from diffusers import DiffusionPipeline

    source = name if folder is None else str(folder)
    lookup = {key: options[key] for key in ("revision",) if key in options}
    try:
        with _quiet():
            index = dict(DiffusionPipeline.load_config(source, **lookup))  # pyright: ignore
            for part in ("safety_checker", "feature_extractor", "image_encoder"):
                if part in index:
                    # Judging pictures is the judges' job; a blacked-out picture would falsify every figure.
                    options[part] = None
            if "requires_safety_checker" in index:
                options["requires_safety_checker"] = False
            with _newly_made() as missing:
                pipeline = DiffusionPipeline.from_pretrained(source, **options)
    except Exception as error:
        # The hub, safetensors and diffusers raise dozens of types here; the cause stays attached.
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(
            f"The model '{name}' cannot be loaded: {first}",
            "'emoji', a folder with a whole diffusers pipeline in safetensors, or a Hugging Face id that can "
            "be reached.",
            advice,
        ) from error
    missing += [each for each in _empty(pipeline) if each not in missing]
    if missing:
        # Loaders draw them at random and go on: pictures of noise, other ones each time.
        raise ModelError(
            f"The files of the model '{name}' lack tensors, such as '{missing[0]}'.",
            "a pipeline whose files hold every tensor, by the names that the installed diffusers and transformers "
            "know.",
            "copy or download the files again, or save the pipeline anew with the versions that it was made with.",
        )
    return pipeline


def _empty(pipeline: Any) -> Iterator[str]:
    """The tensors that were never filled."""
    for part in pipeline.components.values():
        for name, tensor in part.named_parameters() if hasattr(part, "named_parameters") else ():
            if tensor.is_meta:
                yield name


def dtype_argument() -> str:
    """What the installed diffusers calls the precision of the weights."""
    # diffusers renamed `torch_dtype` to `dtype`; each version warns about, or ignores, the other's word.
    from diffusers.utils import deprecation_utils

    return "dtype" if hasattr(deprecation_utils, "_resolve_dtype") else "torch_dtype"


def _is_of_use(record: logging.LogRecord) -> bool:
    return "requires torchvision" not in record.getMessage()


@contextmanager
def _newly_made() -> Iterator[list[str]]:
    """The names of the tensors that loaders make anew within the context, because files lack them.

    Only their warnings tell: a list in diffusers' and transformers' 4, a table in transformers' 5.
    """
    found: list[str] = []

    def note(record: logging.LogRecord) -> bool:
        # Transformers colours its table in a terminal, and folds layers into one row: "layers.{0, 1}.weight".
        text = re.sub(r"\x1b\[[0-9;]*m", "", record.getMessage())
        listed = re.findall(r"newly initialized: \[(.*?)\]", text, re.DOTALL)
        names = re.findall(r"'([^']+)'", " ".join(listed)) + re.findall(r"^(\S.*?) +\| MISSING", text, re.MULTILINE)
        found.extend(each for each in names if each not in found)
        return not names

    loaders = [logging.getLogger(f"{each}.modeling_utils") for each in ("diffusers.models", "transformers")]
    levels = [each.level for each in loaders]
    for each in loaders:
        # Only where warnings are off: transformers goes by the level that is set in other things too.
        if not each.isEnabledFor(logging.WARNING):
            each.setLevel(logging.WARNING)
        each.addFilter(note)
    try:
        yield found
    finally:
        for each, level in zip(loaders, levels, strict=True):
            each.removeFilter(note)
            each.setLevel(level)


@contextmanager
def _quiet() -> Iterator[None]:
    """Switches the loaders' own progress bars off for a moment, and advice on image processors that go unused."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    loggers = [each for each in (diffusers_logging, transformers_logging) if each.is_progress_bar_enabled()]
    for each in loggers:
        each.disable_progress_bar()
    handlers = list(logging.getLogger("transformers").handlers)
    for handler in handlers:
        handler.addFilter(_is_of_use)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(_is_of_use)
        for each in loggers:
            each.enable_progress_bar()
