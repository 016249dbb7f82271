"""What is installed here: versions, devices, memory, the embedded models, caches; what is wrong, and what to do."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from directrix import __version__
from directrix.models import embedded, hub_access

NEEDED = ("torch", "diffusers", "transformers", "accelerate", "safetensors", "huggingface_hub", "numpy")
# What each optional package is for.
OPTIONAL = {
    "peft": "LoRAs (--lora)",
    "nudenet": "the judge nudenet",
    "onnxruntime": "the judge nudenet",
    "bitsandbytes": "models in 8 or 4 bits",
    "torchao": "models in 8 or 4 bits",
    "gguf": "models in GGUF",
    "sentencepiece": "text encoders such as T5",
}
# Free bytes below which a model of ordinary size does not fit.
_LITTLE_MEMORY, _LITTLE_DISK = 4 << 30, 10 << 30


def examined() -> dict[str, Any]:
    """All of it as JSON values; "problems" lists what is wrong, each with "what" and "remedy"."""
    import psutil

    problems: list[dict[str, str]] = []

    def wrong(what: str, remedy: str) -> None:
        problems.append({"what": what, "remedy": remedy})

    packages = {name: _version(name) for name in (*NEEDED, *OPTIONAL)}
    for name in NEEDED:
        if packages[name] is None:
            wrong(f"{name} is not installed", "install directrix again: pip install .")
    try:
        devices = _devices()
    except Exception as error:
        # A driver that does not fit raises whatever it likes.
        devices = []
        wrong(f"PyTorch cannot be used ({error})", "install PyTorch for this machine: https://pytorch.org")
    why = hub_access.unreachable()
    if why is not None:
        wrong(f"The Hugging Face hub cannot be reached: {why}", "models from folders, files and the cache still work")
    models = _models()
    for each in models:
        if each["state"] != "whole":
            wrong(f"The embedded model's file '{each['file']}' is {each['state']}", "reinstall the package")
    memory = psutil.virtual_memory()
    caches = [_cache(name, path) for name, path in _places().items()]
    if memory.available < _LITTLE_MEMORY:
        wrong(f"{_gigabytes(memory.available)} GB of memory are free", "the embedded models, or --dtype float16")
    for each in caches:
        if not each["writable"]:
            wrong(f"The cache '{each['folder']}' cannot be written", "HF_HOME=DIR for one elsewhere")
        elif each["free"] < _LITTLE_DISK:
            wrong(f"{_gigabytes(each['free'])} GB are free for '{each['folder']}'", "HF_HOME=DIR for a larger disk")
    return {
        "directrix": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "executable": sys.executable,
        "packages": packages,
        "devices": devices,
        "memory": {"total": memory.total, "free": memory.available, "cores": os.cpu_count()},
        "hub": {"reachable": why is None, "why": why},
        "models": models,
        "caches": caches,
        "problems": problems,
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _devices() -> list[dict[str, Any]]:
    """The accelerators, with the free and all of their bytes where that is known, and the CPU."""
    import torch

    found: list[dict[str, Any]] = []
    if torch.cuda.is_available():
        for place in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(place)
            found.append(
                {"name": f"cuda:{place}", "what": torch.cuda.get_device_name(place), "free": free, "total": total}
            )
    if torch.backends.mps.is_available():
        found.append({"name": "mps", "what": "Apple GPU", "free": None, "total": None})
    return [*found, {"name": "cpu", "what": f"{torch.get_num_threads()} threads", "free": None, "total": None}]


def _models() -> list[dict[str, str]]:
    """The files of weights in the package, each with its SHA-256 and whether it is what it should be."""
    expected = embedded.checksums()
    found = []
    for file in sorted({*expected, *embedded.files()}):
        path = embedded.WEIGHTS / file
        if not path.is_file():
            found.append({"file": file, "sha256": "", "state": "missing"})
            continue
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        # A file that nobody listed is of whoever trained it.
        state = "whole" if expected.get(file, digest) == digest else "another one than was published, or damaged"
        found.append({"file": file, "sha256": digest, "state": state})
    return found


def _places() -> dict[str, Path]:
    from huggingface_hub import constants

    return {"models and directions of the hub": Path(constants.HF_HUB_CACHE)}


def _cache(name: str, folder: Path) -> dict[str, Any]:
    there = next((each for each in (folder, *folder.parents) if each.is_dir()), Path("/"))
    repositories = sorted(each.name.replace("--", "/") for each in folder.glob("models--*")) if folder.is_dir() else []
    return {
        "what": name,
        "folder": str(folder),
        "writable": os.access(there, os.W_OK),
        "free": shutil.disk_usage(there).free,
        "holds": [each.removeprefix("models/") for each in repositories],
    }


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:.1f}"
