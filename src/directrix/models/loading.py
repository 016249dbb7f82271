"""Loading a pipeline by name: its files as diffusers loads them, quietly, and only whole ones."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from directrix.errors import ModelError, first_line, suggestion
from directrix.models import embedded, hub_access, lora, model_facts, processes, single_file, sites
from directrix.models.embedded import EMBEDDED
from directrix.models.identity import HUB_ID, remember
from directrix.reading.model_folders import check_folder, check_index

if TYPE_CHECKING:
    import torch

_KINDS = (
    "'emoji', 'emoji-sd3', a folder that holds a diffusers pipeline, a whole model in one safetensors file, or a "
    "Hugging Face id such as CompVis/stable-diffusion-v1-4"
)


def load(
    name: str | Path = EMBEDDED,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    *,
    revision: str | None = None,
    config: str | Path | None = None,
    loras: str | Path | Mapping[str | Path, float] | None = None,
) -> Any:
    """Loads a text-to-image pipeline of diffusers, without a safety checker and without a progress bar of its own.

    Args:
        name: "emoji" or "emoji-sd3" (embedded), a folder that holds a diffusers pipeline, a Hugging Face id, or a whole
            model in one safetensors file, as A1111 and ComfyUI keep them.
        device: where to; None for the accelerator if there is one, else the CPU.
        dtype: of the weights; None for float32.
        revision: branch, tag or commit on the Hugging Face hub.
        config: for a single file, a diffusers folder or id with the settings and the tokenizer that go with it; None
            for the one that diffusers knows.
        loras: a LoRA's file, or files with the scale of each.

    Raises:
        ModelError: no such model, or its files are damaged, not whole, or not safetensors. Without a network it is
            raised at once.
    """
    import torch

    name = str(name)
    place, shown = _located(name)
    if (place is None or place.is_dir()) and config is not None:
        raise ModelError(f"The model '{name}' has settings of its own.", "no config.", "leave --config out.")
    pipeline = _from_pretrained(name, place, dtype or torch.float32, revision, config)
    lora.add(pipeline, sites.denoiser(pipeline), loras if isinstance(loras, Mapping) else {loras: 1.0} if loras else {})
    target = best_device() if device is None else device
    try:
        pipeline = pipeline.to(target)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(
            f"The model '{name}' cannot be moved to the device '{target}': {error}.",
            "a device of this machine with enough memory.",
            'device="cpu".',
        ) from error
    pipeline.set_progress_bar_config(disable=True)
    remember(sites.denoiser(pipeline), shown, revision or "")
    return pipeline


def best_device() -> torch.device:
    """The accelerator if there is one, else the CPU; each process of a launch on a machine has its own."""
    import torch

    accelerator = getattr(torch, "accelerator", None)
    found = accelerator.current_accelerator() if accelerator is not None and accelerator.is_available() else None
    if accelerator is None or found is None:
        return torch.device("cpu")
    place = processes.joined()
    return found if place.count == 1 else torch.device(found.type, place.local_rank % accelerator.device_count())


def dtype_argument() -> str:
    """What the installed diffusers calls the precision of the weights."""
    # diffusers renamed `torch_dtype` to `dtype`; each version warns about, or ignores, the other's word.
    from diffusers.utils import deprecation_utils

    return "dtype" if hasattr(deprecation_utils, "_resolve_dtype") else "torch_dtype"


def shown_name(name: str) -> str:
    """The name that directions of a model carry. Raises ModelError where it is not here and is no hub's name."""
    return _located(name)[1]


def _located(name: str) -> tuple[Path | None, str]:
    """The folder or file of a model, None for one on the hub, and the name that its directions will carry."""
    if name in embedded.MODELS:
        return embedded.path(name), name
    place = Path(name).expanduser()
    if place.is_dir():
        if not (place / "model_index.json").is_file():
            raise ModelError(
                f"The folder '{name}' holds no diffusers pipeline.",
                "a folder with a model_index.json.",
                "the folder that pipeline.save_pretrained(...) wrote, or the file of a whole model.",
            )
        return place.resolve(), embedded.named(place) or place.resolve().name
    if place.is_file():
        return place.resolve(), place.name
    # Names that can only be paths.
    path = not HUB_ID.fullmatch(name) and ("/" in name or "\\" in name)
    if path or name.startswith((".", "~")) or place.suffix in single_file.ENDINGS:
        beside = sorted(each.name for each in place.parent.iterdir()) if place.parent.is_dir() else []
        near = difflib.get_close_matches(place.name, beside, n=1)
        raise ModelError(
            f"There is no folder or file '{name}'" + (f": '{place.parent}' is not there." if not beside else "."),
            "a folder that holds a diffusers pipeline, or a whole model in one safetensors file.",
            f"did you mean '{place.parent / near[0]}'?" if near else "check the path.",
        )
    if not HUB_ID.fullmatch(name):
        raise ModelError(
            f"There is no model '{name}'.", f"{_KINDS}.", suggestion(name, (*embedded.MODELS, *model_facts.cards()))
        )
    return None, name


def _from_pretrained(
    name: str, place: Path | None, dtype: torch.dtype, revision: str | None, config: str | Path | None
) -> Any:
    """A pipeline as diffusers loads it, without a safety checker; ModelError where that cannot be."""
    where: dict[str, Any] = {} if revision is None else {"revision": revision}
    if place is None:
        remedy = "--model FOLDER, or FILE.safetensors, where the model is; 'emoji' is in the package."
        if hub_access.only_here(name, "model_index.json", "The model", remedy, revision=revision):
            where["local_files_only"] = True
    with _quiet():
        from diffusers import DiffusionPipeline

    file = place if place is not None and place.is_file() else None
    missing: list[str] = []
    try:
        with _quiet():
            if place is None:
                index: dict[str, Any] = dict(DiffusionPipeline.load_config(name, **where))  # pyright: ignore
                check_index(index, name)
                unused = _unused(index)
                folder = Path(DiffusionPipeline.download(name, use_safetensors=True, **where, **unused))  # pyright: ignore
                check_folder(folder, name)
            else:
                folder = place if file is None else single_file.configuration(file, config)
                check_folder(folder, name)
                index = dict(DiffusionPipeline.load_config(str(folder)))  # pyright: ignore
                unused = _unused(index)
            options: dict[str, Any] = {dtype_argument(): dtype, **unused}
            if file is not None:
                options |= single_file.absent(file, index)
                pipeline = single_file.loaded(file, folder, str(index["_class_name"]), **options)
            else:
                networks = _networks(folder, {part: each for part, each in index.items() if part not in unused}, dtype)
                for part, (network, report) in networks.items():
                    options[part] = network
                    missing += sorted(report["missing_keys"])
                pipeline = DiffusionPipeline.from_pretrained(str(folder), use_safetensors=True, **options)
    except ModelError:
        raise
    except Exception as error:
        # The hub, safetensors and diffusers raise dozens of types here; the cause stays attached.
        near = suggestion(name, (each for each in model_facts.cards() if each != name))
        raise ModelError(
            f"The model '{name}' cannot be loaded: {hub_access.refusal(error) or first_line(error)}.",
            f"{_KINDS}, whole and in safetensors.",
            near if place is None else "copy or download it again.",
        ) from error
    for part in pipeline.components.values():
        tensors = part.named_parameters() if hasattr(part, "named_parameters") else ()
        missing += [key for key, tensor in tensors if tensor.is_meta]
    if missing:
        # Loaders draw them at random and go on: images of noise, other ones each time.
        raise ModelError(
            f"The files of the model '{name}' lack tensors, such as '{missing[0]}'.",
            "a pipeline whose files hold every tensor, by the names that the installed diffusers and transformers "
            "know.",
            "copy or download the files again, or save the pipeline anew with the versions that it was made with.",
        )
    return pipeline


def _unused(index: dict[str, Any]) -> dict[str, Any]:
    """The parts left out: judging images is the judges' job, and a blacked-out one would falsify every figure.

    And those that the folder says it has not, such as Stable Diffusion 3's T5: diffusers wants to be told so.
    """
    judging = ("safety_checker", "feature_extractor", "image_encoder")
    unused = {part: None for part, each in index.items() if part in judging or each == [None, None]}
    return unused | ({"requires_safety_checker": False} if "requires_safety_checker" in index else {})


def _networks(folder: Path, index: dict[str, Any], dtype: torch.dtype) -> dict[str, tuple[Any, dict[str, Any]]]:
    """The pipeline's networks, and what their loaders report: which tensors the files lack, first of all."""
    import diffusers
    import transformers

    version = tuple(int(each) for each in transformers.__version__.split(".")[:2])
    precisions = {diffusers: dtype_argument(), transformers: "dtype" if version >= (4, 56) else "torch_dtype"}
    homes = {each.__name__: each for each in precisions}
    found = {}
    for part, each in index.items():
        library, kind = each if isinstance(each, list | tuple) and len(each) == 2 else (None, None)
        home = homes.get(str(library))
        network: Any = getattr(home, str(kind), None)
        if home is None or not hasattr(network, "named_parameters"):
            continue
        options: dict[str, Any] = {precisions[home]: dtype, "use_safetensors": True, "output_loading_info": True}
        stored = [path.name for path in (folder / part).glob("*.safetensors")]
        if stored and all(".fp16." in file for file in stored):
            options["variant"] = "fp16"
        found[part] = network.from_pretrained(folder / part, **options)
    return found


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


def _is_of_use(record: logging.LogRecord) -> bool:
    return "requires torchvision" not in record.getMessage()
