from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from directrix.directions.direction import Direction, Strengths
from directrix.errors import DirectionFileError, OutputError
from directrix.models.identity import ModelIdentity, Site

DIRECTION = Direction(
    "woman",
    torch.randn(4, 2, 2, generator=torch.Generator().manual_seed(0)),
    Site("mid_block", 4),
    ModelIdentity("tiny", "main", "a" * 64),
    recipe={"method": "distillation", "steps": 150, "targets": ["a woman"]},
    strengths=Strengths(0.9, -1.0, 2.0),
    provenance={"torch": "2.13", "ünïcode": "☃"},
)


def tampered(path: Path, tensor: torch.Tensor | None = None, key: str = "direction", **changes: Any) -> Path:
    """A saved direction with some of its metadata changed; a value of ... removes the key."""
    from safetensors import safe_open

    DIRECTION.save(path)
    with safe_open(str(path), framework="pt") as file:
        described = json.loads(file.metadata()["directrix"])
    described |= changes
    described = {name: value for name, value in described.items() if value is not ...}
    save_file({key: DIRECTION.tensor if tensor is None else tensor}, path, {"directrix": json.dumps(described)})
    return path


def test_round_trip(tmp_path: Path):
    DIRECTION.save(tmp_path / "woman.safetensors")
    back = Direction.load(tmp_path / "woman.safetensors")
    assert torch.equal(back.tensor, DIRECTION.tensor)
    for field in ("name", "site", "model", "recipe", "strengths", "provenance"):
        assert getattr(back, field) == getattr(DIRECTION, field)
    assert [each.name for each in tmp_path.iterdir()] == ["woman.safetensors"]


def test_methods_of_direction(tmp_path: Path):
    (DIRECTION - DIRECTION).save(tmp_path / "deep" / "zero.safetensors")
    assert Direction.load(tmp_path / "deep" / "zero.safetensors").norm() == 0


def test_missing_file_and_folder(tmp_path: Path):
    with pytest.raises(DirectionFileError, match="does not exist"):
        Direction.load(tmp_path / "none.safetensors")
    with pytest.raises(DirectionFileError, match="is a folder"):
        Direction.load(tmp_path)


def test_truncated_anywhere(tmp_path: Path):
    DIRECTION.save(tmp_path / "whole")
    data = (tmp_path / "whole").read_bytes()
    for length in (0, 4, 8, 50, len(data) // 2, len(data) - 1):
        (tmp_path / "cut").write_bytes(data[:length])
        with pytest.raises(DirectionFileError, match=r"not a readable safetensors file|is a torch file"):
            Direction.load(tmp_path / "cut")


def test_flipped_value_is_noticed(tmp_path: Path):
    DIRECTION.save(tmp_path / "file")
    data = bytearray((tmp_path / "file").read_bytes())
    data[-3] ^= 1
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(DirectionFileError, match="not those that were saved"):
        Direction.load(tmp_path / "file")


def test_pickles_and_text_are_refused(tmp_path: Path):
    torch.save({"a": torch.zeros(2)}, tmp_path / "unet.pth")
    (tmp_path / "text").write_text("hello, this is no tensor at all")
    for name in ("unet.pth", "text"):
        with pytest.raises(DirectionFileError, match=r"not a readable safetensors file|is a torch file"):
            Direction.load(tmp_path / name)


def test_foreign_safetensors_are_named(tmp_path: Path):
    save_file({"lora.down.weight": torch.zeros(2, 2)}, tmp_path / "lora.safetensors", {"format": "pt"})
    with pytest.raises(DirectionFileError, match=r"not a direction.*lora\.down\.weight"):
        Direction.load(tmp_path / "lora.safetensors")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_values_that_are_not_finite(tmp_path: Path, value: float):
    tensor = DIRECTION.tensor.clone()
    tensor[1, 1, 1] = value
    with pytest.raises(DirectionFileError, match="not finite"):
        Direction.load(tampered(tmp_path / "file", tensor))


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": [4, 1, 4]},
        {"shape": ...},
        {"sha256": ...},
        {"sha256": "0"},
        {"name": ...},
        {"name": ""},
        {"name": 3},
        {"site": ...},
        {"site": "mid_block"},
        {"site": {"name": "mid_block", "channels": 8, "layout": "channels-first"}},
        {"site": {"name": "mid_block", "channels": "4", "layout": "channels-first"}},
        {"site": {"name": "mid_block", "channels": 4, "layout": "sideways"}},
        {"model": {"name": "tiny"}},
        {"model": None},
        {"recipe": []},
        {"provenance": None},
        {"strengths": {"default": 1, "minimum": 2, "maximum": -2}},
        {"strengths": {"default": "1", "minimum": 0, "maximum": 1}},
        {"format": "1"},
        {"format": 0},
        {"format": ...},
    ],
)
def test_metadata_that_make_no_sense(tmp_path: Path, changes: dict[str, Any]):
    with pytest.raises(DirectionFileError, match="damaged"):
        Direction.load(tampered(tmp_path / "file", **changes))


def test_keys_of_other_programs_are_ignored(tmp_path: Path):
    assert Direction.load(tampered(tmp_path / "file", trained_by="another program")).digest() == DIRECTION.digest()


def test_metadata_that_are_not_json(tmp_path: Path):
    for text, said in {"{": "not JSON", "[]": "no JSON object"}.items():
        save_file({"direction": DIRECTION.tensor}, tmp_path / "file", {"directrix": text})
        with pytest.raises(DirectionFileError, match=f"file'.*{said}"):
            Direction.load(tmp_path / "file")


def test_wrong_tensor(tmp_path: Path):
    with pytest.raises(DirectionFileError, match="holds no tensor"):
        Direction.load(tampered(tmp_path / "file", key="other"))
    with pytest.raises(DirectionFileError, match=r"torch\.int32"):
        Direction.load(tampered(tmp_path / "file", DIRECTION.tensor.to(torch.int32)))
    with pytest.raises(DirectionFileError, match="shape"):
        Direction.load(tampered(tmp_path / "file", DIRECTION.tensor[:, :1].contiguous()))


def test_newer_format_says_upgrade(tmp_path: Path):
    with pytest.raises(DirectionFileError, match="upgrade"):
        Direction.load(tampered(tmp_path / "file", format=2))


def test_a_place_that_cannot_be_written(tmp_path: Path):
    (tmp_path / "file").write_text("kept")
    with pytest.raises(OutputError, match="cannot be written"):
        DIRECTION.save(tmp_path / "file" / "woman.safetensors")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="cannot be written"):
        DIRECTION.save(tmp_path / "folder")
    assert (tmp_path / "file").read_text() == "kept"
    assert {each.name for each in tmp_path.iterdir()} == {"file", "folder"}


def test_what_json_cannot_hold_is_refused_and_the_old_file_kept(tmp_path: Path):
    DIRECTION.save(tmp_path / "file")
    for bad in ({"x": float("nan")}, {"x": torch.zeros(1)}, {"x": "\ud800"}):
        with pytest.raises(DirectionFileError, match="cannot be stored"):
            DIRECTION.with_(recipe=bad).save(tmp_path / "file")
    assert Direction.load(tmp_path / "file").recipe == DIRECTION.recipe
