"""A whole model in one safetensors file, as A1111 and ComfyUI keep them.

Such a file holds weights alone. The pipeline's settings and its tokenizer come from a diffusers folder of the same
structure: one that is named, or the repository that diffusers knows for the structure.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from directrix.errors import ModelError
from directrix.models import file_kinds, hub_access
from directrix.reading import json_text
from directrix.reading.source import Source

ENDINGS = (".safetensors", ".ckpt", ".pt", ".pth", ".gguf")
# All that a repository's settings are in; no weights.
_SETTINGS = ["*.json", "**/*.json", "*.txt", "**/*.txt", "**/*.model"]
_EXPECTED = "a whole Stable Diffusion, SDXL, SD3 or FLUX model in one safetensors file."


def configuration(path: Path, given: str | Path | None) -> Path:
    """The folder with the settings and the tokenizer of the model in a file.

    given: a diffusers folder, or its id on the Hugging Face hub; None for the one that diffusers knows.

    Raises:
        ModelError: the file holds something else, or the folder is not here and cannot be fetched.
    """
    shapes = _shapes(path)
    if given is not None and Path(given).expanduser().is_dir():
        return Path(given).expanduser()
    from diffusers.loaders.single_file_utils import fetch_diffusers_config
    from huggingface_hub import snapshot_download

    repository = str(given or fetch_diffusers_config(shapes)["pretrained_model_name_or_path"])
    alone = hub_access.only_here(
        repository,
        "model_index.json",
        f"'{path}' holds weights alone. What goes with them",
        "--config FOLDER (config= in Python), with a diffusers folder of the same kind of model.",
    )
    return Path(snapshot_download(repository, allow_patterns=_SETTINGS, local_files_only=alone))


def absent(path: Path, index: Mapping[str, Any]) -> dict[str, None]:
    """Parts that the pipeline may do without, and that the file lacks: the T5 of Stable Diffusion 3."""
    if "text_encoder_3" not in index or any(".t5xxl." in name for name in _shapes(path)):
        return {}
    return {"text_encoder_3": None, "tokenizer_3": None}


def loaded(path: Path, folder: Path, kind: str, **options: Any) -> Any:
    """The pipeline of the class that is named `kind`, with the file's weights and the folder's settings."""
    import diffusers

    pipeline = getattr(diffusers, kind, None)
    if not hasattr(pipeline, "from_single_file"):
        raise ModelError(
            f"diffusers loads no {kind} from a single file.", _EXPECTED, "a diffusers folder of the model."
        )
    return pipeline.from_single_file(str(path), config=str(folder), **options)  # pyright: ignore


def _shapes(path: Path) -> dict[str, Any]:
    """By name, something with the `shape` of each tensor, from the file's header; ModelError for no such model."""
    kind = file_kinds.recognised(path)
    if kind is None or kind.what != file_kinds.CHECKPOINT.what:
        what = "of a kind that is not known" if kind is None else kind.what
        remedy = "another file, or a diffusers folder." if kind is None else kind.remedy
        if path.suffix in (".ckpt", ".pt", ".pth"):
            remedy = "a copy of the model in safetensors, which runs no code; most are published as both."
        raise ModelError(f"'{path}' is {what}, not a whole model in safetensors.", _EXPECTED, remedy)
    source = Source(path, ModelError, _EXPECTED, "copy or download it again.")
    with path.open("rb") as file:
        header = json_text.parsed(source.decoded(file.read(int.from_bytes(file.read(8), "little"))), source)
    described = {name: each for name, each in header.items() if name != "__metadata__"}
    if not all(isinstance(each, dict) and isinstance(each.get("shape"), list) for each in described.values()):
        raise source.wrong("is damaged: its header does not say the shapes of its tensors")
    return {name: SimpleNamespace(shape=each["shape"]) for name, each in described.items()}
