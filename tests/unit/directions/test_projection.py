"""Projections of affine parts, and their files."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch

from directrix.directions.direction import Direction
from directrix.directions.part import Part
from directrix.directions.projection import Projection
from directrix.errors import DirectionFileError, DirectrixError, MismatchError
from directrix.models.identity import ModelIdentity, Site

TEXT = Site("encoder_hidden_states", 2, "text")
MODEL = ModelIdentity("tiny", "StableDiffusionPipeline", "0" * 64)


def projection(**changes: Any) -> Projection:
    basis = torch.tensor([[[0.0, 0.0], [1.0, 0.0]]])
    return Projection(**{"basis": basis, "covectors": basis, "offsets": (0.5,), "keep_norm": True, **changes})


def affine(**changes: Any) -> Direction:
    part = Part(TEXT, torch.ones(2, 2), projection=projection(**changes))
    return Direction("woman", parts=[part], model=MODEL)


def test_it_takes_out_how_far_the_level_is_from_a_neutral_one():
    h = torch.tensor([[[9.0, 9.0], [2.5, 3.0]], [[9.0, 9.0], [0.5, 3.0]]])
    assert projection().levels(h).tolist() == [[2.0], [0.0]]
    assert projection().of(h).tolist() == [[[0, 0], [2, 0]], [[0, 0], [0, 0]]]


def test_tokens_alike_are_read_by_their_mean():
    each = Projection(torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0]]), (0.0,))
    h = torch.tensor([[[1.0, 5.0], [3.0, 5.0]]])
    assert each.of(h).tolist() == [[[2.0, 0.0]]]


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"offsets": ()}, MismatchError, "0 offsets"),
        ({"covectors": torch.ones(2, 2, 2)}, MismatchError, "covectors of"),
        ({"offsets": (float("nan"),)}, DirectrixError, "not finite"),
        ({"basis": torch.full((1, 2, 2), torch.inf)}, DirectrixError, "not finite"),
    ],
)
def test_what_makes_no_sense_is_refused(changes: dict[str, Any], error: type[Exception], said: str):
    with pytest.raises(error, match=said):
        projection(**changes)


def test_it_must_fit_its_part():
    with pytest.raises(MismatchError, match="its projection"):
        Part(TEXT, torch.ones(3, 2), projection=projection())
    site = Site("mid_block", 2, "channels-last")
    with pytest.raises(MismatchError, match="text or of one vector"):
        Part(site, torch.ones(2), projection=Projection(torch.ones(1, 2), torch.ones(1, 2), (0.0,)))


def test_the_digest_is_of_the_projection_too():
    digests = {affine().digest(), affine(keep_norm=False).digest(), affine(offsets=(0.0,)).digest()}
    plain = Direction("woman", parts=[Part(TEXT, torch.ones(2, 2))], model=MODEL)
    assert len(digests | {plain.digest()}) == 4


def _header(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    return json.loads(data[8 : 8 + struct.unpack("<Q", data[:8])[0]])


def test_only_affine_directions_need_the_newer_format(tmp_path: Path):
    paths = {}
    for number, each in {3: affine(), 2: Direction("woman", parts=[Part(TEXT, torch.ones(2, 2))], model=MODEL)}.items():
        paths[number] = tmp_path / f"{number}.safetensors"
        each.save(paths[number])
        said = json.loads(_header(paths[number])["__metadata__"]["directrix"])
        assert said["format"] == number and ("projection" in said["parts"][0]) == (number == 3)
    assert Direction.load(paths[2]).parts[0].projection is None


@pytest.mark.parametrize("tensor", ["direction.basis", "direction.covectors"])
@pytest.mark.parametrize("damage", ["lacks", "bit", "shape"])
def test_a_damaged_projection_is_refused(tmp_path: Path, tensor: str, damage: str):
    from safetensors import safe_open
    from safetensors.torch import save_file

    path = tmp_path / "woman.safetensors"
    affine().save(path)
    with safe_open(path, "pt") as file:
        metadata, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if damage == "lacks":
        del tensors[tensor]
    elif damage == "bit":
        tensors[tensor] = tensors[tensor] + 1e-3
    else:
        tensors[tensor] = tensors[tensor][:, :1].contiguous()
    save_file(tensors, path, metadata)
    with pytest.raises(DirectionFileError, match="damaged"):
        Direction.load(path)
