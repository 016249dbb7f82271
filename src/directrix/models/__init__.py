"""Models: loading a pipeline by name, and the facts about it that steering and discovery need."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from directrix.errors import DirectrixError, ModelError, suggestion
from directrix.models.families import guidance_layout
from directrix.models.fingerprint import fingerprint
from directrix.models.identity import ModelIdentity
from directrix.models.loading import dtype_argument, from_pretrained
from directrix.models.sites import denoiser

if TYPE_CHECKING:
    import torch

__all__ = ["EMBEDDED", "ModelFacts", "cards", "denoiser", "facts", "fingerprint", "identity", "load"]

EMBEDDED = "emoji"
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_SNAPSHOT = re.compile(r"models--(?P<name>[^/\\]+)[/\\]snapshots[/\\](?P<revision>[0-9a-f]+)")
# Keyed by the denoiser: name and revision that it was loaded as.
_LOADED_AS: WeakKeyDictionary[Any, tuple[str, str]] = WeakKeyDictionary()


@dataclass(frozen=True)
class ModelFacts:
    """What must be known about a pipeline.

    Args:
        identity: name, revision, fingerprint.
        prediction_type: "epsilon", "v_prediction" or "flow_prediction"; another word for what cannot be noised.
        guidance_layout: where the halves of guidance are (see `families.Layout`).
        latent_shape: (C, H, W) of one image's latents at the model's own size.
        guidance_scale: for its pictures.
        num_inference_steps: for its pictures.
        learning_rate: for directions, if the model's card gives one.
        subjects: noun phrases that stand in for "a person" where directions are calibrated; some that the model is
            biased about, and none where the card names none.
        site: the one that the card names in place of the default of its structure.
    """

    identity: ModelIdentity
    prediction_type: str
    guidance_layout: str
    latent_shape: tuple[int, int, int]
    guidance_scale: float
    num_inference_steps: int
    learning_rate: float | None
    subjects: tuple[str, ...] = ()
    site: str | None = None


@cache
def cards() -> Mapping[str, Mapping[str, Any]]:
    """The model cards, by name."""
    import yaml

    return yaml.safe_load(Path(__file__).with_name("cards.yaml").read_text(encoding="utf-8"))


def load(
    name: str | Path = EMBEDDED,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    *,
    revision: str | None = None,
) -> Any:
    """Loads a text-to-image pipeline.

    Args:
        name: "emoji" (the embedded model), a folder that holds a diffusers pipeline, or a Hugging Face id.
        device: where to; None for the accelerator if there is one, else the CPU.
        dtype: of the weights; None for float32.
        revision: branch, tag or commit on the Hugging Face hub.

    Returns:
        A diffusers pipeline without a safety checker and without a progress bar of its own.

    Raises:
        ModelError: no such model, or its files are damaged or not safetensors.
    """
    import torch

    name = str(name)
    folder, shown = _located(name)
    options: dict[str, Any] = {dtype_argument(): dtype or torch.float32, "use_safetensors": True}
    if folder is not None:
        stored = {path.name for path in (*folder.glob("unet/*.safetensors"), *folder.glob("transformer/*.safetensors"))}
        if stored and all(".fp16." in each for each in stored):
            options["variant"] = "fp16"
    if revision is not None:
        options["revision"] = revision
    advice = suggestion(name, cards()) if folder is None else "copy or download the folder again."
    pipeline = from_pretrained(name, folder, options, advice)
    target = _best_device() if device is None else device
    try:
        pipeline = pipeline.to(target)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(
            f"The model '{name}' cannot be moved to the device '{target}': {error}.",
            "a device of this machine with enough memory.",
            'device="cpu".',
        ) from error
    pipeline.set_progress_bar_config(disable=True)
    _LOADED_AS[denoiser(pipeline)] = (shown, revision or _configured(denoiser(pipeline))[1])
    return pipeline


def facts(pipeline: Any) -> ModelFacts:
    """The facts about a pipeline: from its own configuration, and from its card where there is one.

    Raises:
        ModelError: the pipeline has no denoiser, or its weights are not in memory.
    """
    network = denoiser(pipeline)
    who = identity(pipeline)
    card = cards().get(who.name, {})
    config: Any = getattr(network, "config", {})
    default = {key: value.default for key, value in inspect.signature(type(pipeline).__call__).parameters.items()}
    size = config.get("sample_size") or getattr(pipeline, "default_sample_size", None) or 64
    height, width = (size, size) if isinstance(size, int) else tuple(size)
    vae = getattr(getattr(pipeline, "vae", None), "config", {})
    # An inpainting U-Net takes more channels than the latents have, so the VAE is asked first.
    channels = vae.get("latent_channels") or config["in_channels"]
    scheduler = getattr(pipeline.scheduler, "config", {})
    return ModelFacts(
        identity=who,
        prediction_type=scheduler.get("prediction_type") or "flow_prediction",
        guidance_layout=guidance_layout(pipeline),
        latent_shape=(int(channels), int(height), int(width)),
        guidance_scale=float(card.get("guidance_scale", _number(default.get("guidance_scale"), 7.5))),
        num_inference_steps=int(card.get("num_inference_steps", _number(default.get("num_inference_steps"), 50))),
        learning_rate=card.get("learning_rate"),
        subjects=tuple(card.get("subjects", ())),
        site=card.get("site"),
    )


def identity(pipeline: Any) -> ModelIdentity:
    """Name, revision and fingerprint of a pipeline's denoiser, however it was loaded."""
    network = denoiser(pipeline)
    name, revision = _LOADED_AS.get(network) or _configured(network)
    return ModelIdentity(name, revision, fingerprint(network))


def _configured(network: Any) -> tuple[str, str]:
    """Name and revision from the path that diffusers remembers; never the path itself."""
    path = str(getattr(network, "config", {}).get("_name_or_path") or "")
    cached = _SNAPSHOT.search(path)
    if cached:
        return cached["name"].replace("--", "/"), cached["revision"]
    if path and not Path(path).is_absolute() and _HUB_ID.fullmatch(path) and not Path(path).exists():
        return path, ""
    parts = [part for part in Path(path).parts if part not in ("unet", "transformer")]
    embedded = _embedded() if path else None
    if embedded is not None and Path(path).resolve() in (embedded, embedded / "unet"):
        return EMBEDDED, ""
    return (parts[-1] if parts else type(network).__name__), ""


def _embedded() -> Path | None:
    # By name: the embedded model is a layer of its own and may be left out.
    try:
        folder = Path(importlib.import_module("directrix.models.embedded").path()).resolve()
    except (ImportError, AttributeError, OSError, DirectrixError):
        return None
    return folder if (folder / "model_index.json").is_file() else None


def _located(name: str) -> tuple[Path | None, str]:
    """The folder of a model, None for one on the hub, and the name that its directions will carry."""
    if name == EMBEDDED:
        folder = _embedded()
        if folder is None:
            raise ModelError(
                "The embedded model 'emoji' is not installed.",
                "its files inside the package.",
                "pip install --force-reinstall directrix, or directrix world train.",
            )
        return folder, name
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "model_index.json").is_file():
            raise ModelError(
                f"The folder '{name}' holds no diffusers pipeline.",
                "a folder with a model_index.json.",
                "the folder that pipeline.save_pretrained(...) wrote.",
            )
        return folder.resolve(), EMBEDDED if folder.resolve() == _embedded() else folder.resolve().name
    if not _HUB_ID.fullmatch(name) or name.startswith("."):
        raise ModelError(
            f"There is no model '{name}'.",
            "'emoji', a folder that holds a diffusers pipeline, or a Hugging Face id such as "
            "CompVis/stable-diffusion-v1-4.",
            suggestion(name, cards()),
        )
    return None, name


def _best_device() -> torch.device:
    import torch

    accelerator = getattr(torch, "accelerator", None)
    found = accelerator.current_accelerator() if accelerator is not None and accelerator.is_available() else None
    return torch.device("cpu") if found is None else found


def _number(value: Any, otherwise: float) -> float:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else otherwise


def image_size(pipeline: Any, height: int | None, width: int | None) -> dict[str, int | None]:
    """Both sides in pixels where one is given, the other being the model's own; None for both where none is.

    Given one side only, diffusers would silently ignore it.
    """
    if height is None and width is None:
        return {"height": None, "width": None}
    _, rows, columns = facts(pipeline).latent_shape
    scale = pipeline.vae_scale_factor
    return {"height": height or rows * scale, "width": width or columns * scale}
