"""Folders of models: plain weights and settings, without code of their own.

diffusers and transformers can import Python files from a model's folder, and modules that its index names. Older
versions do so unasked. So a folder is looked through before they see it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from directrix.errors import ModelError
from directrix.reading import json_text
from directrix.reading.source import MEBIBYTE, Source

LIBRARIES = ("diffusers", "transformers")
LAYERS, LISTED = 1000, 10_000
_PLAIN = "a model of diffusers' and transformers' own classes, without code in its folder."
_TRUST = "another model, or load it yourself in Python where you trust its code, and pass the pipeline on."
_CLASS = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def check_index(index: Any, name: str) -> None:
    """Raises ModelError for the index of a pipeline, model_index.json, that names classes of other packages.

    index: its content. name: what the user calls the model.
    """
    if not isinstance(index, Mapping):
        happened = f"The model '{name}' cannot be loaded: its model_index.json is no JSON object."
        raise ModelError(happened, "the index of a pipeline.", _TRUST)
    kind = index.get("_class_name")
    if not isinstance(kind, str) or not _CLASS.fullmatch(kind):
        raise _code(name, f"since its pipeline is {kind!r}")
    for part, each in index.items():
        if not isinstance(each, list | tuple) or part.startswith("_"):
            continue
        library, *rest = each if len(each) == 2 else (each,)
        absent = library is None and rest == [None]
        own = isinstance(library, str) and (library in LIBRARIES or library in _rooms_of_diffusers())
        if _is_component(each) and not absent and not (own and isinstance(rest[0], str) and _CLASS.fullmatch(rest[0])):
            raise _code(name, f"since its {part} is of {library!r}")


def check_folder(folder: Path, name: str) -> None:
    """Raises ModelError where a model's folder holds code that a loader may run, names other models, or damaged JSON.

    folder: of a pipeline, of one network or a judge. name: what the user calls the model.
    """
    index = folder / "model_index.json"
    parts = [folder]
    if index.is_file():
        content = _json(index, name)
        check_index(content, name)
        parts += [folder / part for part in content if (folder / part).is_dir()]
    for part in parts:
        for path in sorted(part.iterdir()):
            if path.suffix in (".py", ".pyc", ".so") and part != folder:
                raise _code(name, f"'{path.relative_to(folder)}'")
            if path.name == "adapter_config.json":
                happened = f"The model '{name}' cannot be loaded: '{path.relative_to(folder)}' names another model."
                raise ModelError(happened, _PLAIN, _TRUST)
            if path.suffix == ".json" and "config" in path.name:
                _check_config(_json(path, name), name, path.relative_to(folder))


def _check_config(content: Any, name: str, path: Path) -> None:
    """Settings of a part: none that bring code along, and no network that never ends."""
    network = path.name == "config.json"
    todo: list[tuple[str, Any]] = [("", content)]
    while todo:
        key, value = todo.pop()
        if (key in ("auto_map", "custom_pipelines") and value) or (key == "trust_remote_code" and value):
            raise _code(name, f"which '{path}' > {key} names")
        endless = isinstance(value, int) and "layers" in key and abs(value) > LAYERS
        if network and (endless or (isinstance(value, list) and len(value) > LISTED)):
            raise ModelError(f"The model '{name}' cannot be loaded: '{path}' > {key} is too large.", _PLAIN, _TRUST)
        if isinstance(value, Mapping):
            todo += value.items()
        elif isinstance(value, list):
            todo += ((key, each) for each in value if isinstance(each, Mapping | list | int))


def _json(path: Path, name: str) -> Any:
    said, remedy = f"The model '{name}' cannot be loaded: its {path.name}", "copy or download the folder again."
    source = Source(path, ModelError, "settings in JSON.", remedy, said, 8 * MEBIBYTE)
    return json_text.read(source, infinite=True)


def _is_component(value: Iterable[Any]) -> bool:
    """Whether a value of an index names a class, rather than being a setting of the pipeline."""
    return any(isinstance(each, str) for each in value) or all(each is None for each in value)


@cache
def _rooms_of_diffusers() -> set[str]:
    """The folders of diffusers' pipelines, whose names stand for their own classes, such as safety checkers."""
    from diffusers import pipelines

    return {each.name for folder in pipelines.__path__ for each in Path(folder).iterdir() if each.is_dir()}


def _code(name: str, what: str) -> ModelError:
    return ModelError(f"The model '{name}' cannot be loaded: it brings code of its own, {what}.", _PLAIN, _TRUST)
