"""Models that bring code, or send the loader elsewhere, are refused before anything of them is loaded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import directrix
from directrix.errors import ModelError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for part in ("scheduler", "unet"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "config.json").write_text("{}")
    return tmp_path


def index(folder: Path, **parts: object) -> None:
    known = {"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet2DConditionModel"]}
    known["scheduler"] = ["diffusers", "DDIMScheduler"]
    (folder / "model_index.json").write_text(json.dumps(known | parts))


@pytest.mark.parametrize(
    "parts",
    [
        {"scheduler": ["e", "E"]},
        {"scheduler": ["os", "system"]},
        {"scheduler": ["diffusers", "__import__('os')"]},
        {"scheduler": ["diffusers", ["E"]]},
        {"scheduler": ["diffusers.utils", "E"]},
        {"_class_name": ["pipeline", "Mine"]},
        {"_class_name": "../pipeline"},
    ],
)
def test_an_index_that_names_other_code(folder: Path, parts: dict[str, object]):
    trace = folder / "ran"
    for name in ("pipeline.py", "scheduler/e.py"):
        (folder / name).write_text(f"open({str(trace)!r}, 'w')\nclass E: ...\n")
    index(folder, **parts)
    with pytest.raises(ModelError, match="code of its own"):
        directrix.load(folder)
    assert not trace.exists()


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("scheduler/e.py", "", "code of its own"),
        ("unet/config.json", '{"auto_map": {"AutoModel": "e.E"}}', "auto_map"),
        ("unet/config.json", '{"inner": [{"auto_map": {"AutoModel": "attacker/evil--e.E"}}]}', "auto_map"),
        ("unet/config.json", '{"layers_per_block": 1000000000}', "too large"),
        ("unet/config.json", "[" * 100_000, "inside one another"),
        ("unet/adapter_config.json", '{"base_model_name_or_path": "attacker/evil"}', "names another model"),
    ],
)
def test_a_part_that_brings_code_or_never_ends(folder: Path, file: str, content: str, said: str):
    index(folder)
    (folder / file).write_text(content)
    with pytest.raises(ModelError, match=said):
        directrix.load(folder)


def test_the_embedded_models_pass():
    from directrix.models import embedded
    from directrix.reading.model_folders import check_folder

    for name in embedded.MODELS:
        check_folder(embedded.path(name), name)
