"""LoRAs on a pipeline: small changes of its weights that people train and pass on, loaded by diffusers.

The model stays the same one: a direction that was found without a LoRA steers with it, and the other way round.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from directrix.errors import ModelError, first_line
from directrix.models import file_kinds

# The denoiser's own attribute, so that copies have it too.
_LORAS = "_directrix_loras"
_DIFFUSERS = logging.getLogger("diffusers.loaders.lora_base")
_EXPECTED = "a LoRA in safetensors that was trained on this kind of model."


def add(pipeline: Any, denoiser: Any, files: Mapping[str | Path, float]) -> None:
    """Loads LoRAs from files, each with its scale, and lets all of them act.

    Raises:
        ModelError: no such file, no LoRA, one of another structure, or peft is not installed.
    """
    names, loaded = [], []
    for file, scale in files.items():
        path = Path(file).expanduser()
        if not path.is_file():
            raise ModelError(f"There is no LoRA '{file}'.", _EXPECTED, "check the path.")
        kind = file_kinds.recognised(path)
        if kind is None or kind.what != file_kinds.LORA.what or path.suffix != ".safetensors":
            what = f"is {kind.what}, and" if kind else "is none that is known, and"
            remedy = kind.remedy if kind and kind.what != file_kinds.LORA.what else "a copy of it in safetensors."
            raise ModelError(f"'{file}' {what} no LoRA in safetensors.", _EXPECTED, remedy)
        name = f"lora_{len(names)}"
        try:
            # It tells of every part of the model that a LoRA leaves alone.
            _DIFFUSERS.disabled = True
            pipeline.load_lora_weights(str(path.resolve()), adapter_name=name, use_safetensors=True)
            found = {each for adapters in pipeline.get_list_adapters().values() for each in adapters}
        except Exception as error:
            # diffusers and peft raise whatever a file of another structure makes them raise.
            missing = "peft" in str(error).lower() and "install" in str(error).lower()
            remedy = "`pip install peft`." if missing else "the model that it was trained on."
            raise ModelError(f"The LoRA '{file}' cannot be loaded: {first_line(error)}.", _EXPECTED, remedy) from error
        finally:
            _DIFFUSERS.disabled = False
        if name not in found:
            raise ModelError(f"The LoRA '{file}' fits no layer of this model.", _EXPECTED, "the model it was made for.")
        names.append(name)
        loaded.append({"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "scale": scale})
    if names:
        pipeline.set_adapters(names, list(files.values()))
        setattr(denoiser, _LORAS, loaded)


def of(denoiser: Any) -> list[dict[str, Any]]:
    """The LoRAs that `add` loaded, as JSON values: each one's file name, SHA-256 and scale."""
    return list(getattr(denoiser, _LORAS, ()))
