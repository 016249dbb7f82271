"""The paper's files become directions; whatever else looks like them is refused, and nothing in it runs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from directrix import models
from directrix.cli import main
from directrix.directions import published
from directrix.directions.direction import Direction
from directrix.directions.published import import_published
from directrix.errors import DirectionFileError, DirectrixError, MismatchError
from directrix.interventions.steering import steer
from directrix.models.fingerprint import STRUCTURE, fits, shortened, structure

ROWS = 32 * 4 * 4
NAMES = {"female": 1, "male": 0, "anti-sexual": 2}


def matrix(columns: int = 3, rows: int = ROWS) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(0))


def write(folder: Path, state: Any = None, names: Any = NAMES, key: str = "module.unet.direction.weight") -> Path:
    """unet.pth and concept_dict.json in the folder; a state of None is one matrix for the tiny pipeline."""
    torch.save({key: matrix()} if state is None else state, folder / "unet.pth")
    if names is not None:
        text = names if isinstance(names, str) else json.dumps(names)
        (folder / "concept_dict.json").write_text(text)
    return folder / "unet.pth"


@pytest.mark.parametrize("key", ["weight", "unet.h_space", "0"])
def test_columns_become_directions(tmp_path: Path, pipeline: Any, key: str):
    male, female, safe = import_published(write(tmp_path, key=key), pipeline=pipeline)
    assert [each.name for each in (male, female, safe)] == ["male", "female", "anti-sexual"]
    # Channels, height and width in this order, as the activations lie in memory.
    assert female.tensor[3, 1, 2] == matrix()[3 * 16 + 1 * 4 + 2, 1]
    assert torch.equal(safe.tensor.flatten(), matrix()[:, 2])
    assert female.model == models.identity(pipeline)
    assert (female.site.name, female.site.channels) == ("mid_block", 32)
    assert female.recipe == {"method": "published", "column": 1}
    assert female.provenance["file"] == "unet.pth"
    with steer(pipeline, {female: 1.0}):
        pipeline("a judge", num_inference_steps=1, output_type="latent")


def test_a_bare_tensor_and_other_names_for_the_files(tmp_path: Path, pipeline: Any):
    torch.save(matrix(1), tmp_path / "vector.pt")
    (tmp_path / "names.json").write_text('{"woman": 0}')
    (woman,) = import_published(tmp_path / "vector.pt", tmp_path / "names.json", pipeline)
    assert woman.name == "woman"


@pytest.mark.parametrize("count", [4, 100, 300])
def test_columns_without_a_name_are_left_out_and_counted(tmp_path: Path, pipeline: Any, count: int):
    """The authors' training writes 100 columns, and their dictionary names four."""
    state = matrix(count)
    state[:, 2] = float("nan")
    found = import_published(write(tmp_path, {"w": state}, {"male": 3, "female": 0}), pipeline=pipeline)
    assert [each.name for each in found] == ["female", "male"]
    assert torch.equal(found[1].tensor.flatten(), state[:, 3])
    assert all(each.provenance["unnamed_columns"] == count - 2 for each in found)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("shape", [(ROWS,), (ROWS, 1), (32, 4, 4), (1, 32, 4, 4)])
@pytest.mark.parametrize("number", [1, 3])
def test_a_list_of_tensors_is_read_like_columns(
    tmp_path: Path, pipeline: Any, shape: tuple[int, ...], dtype: torch.dtype, number: int
):
    parts = [matrix(3)[:, place].reshape(shape).to(dtype) for place in range(number)]
    names = {f"name {place}": place for place in range(number)}
    for state in (parts, tuple(parts), {"state_dict": {str(place): each for place, each in enumerate(parts)}}):
        found = import_published(write(tmp_path, state, names), pipeline=pipeline)
        assert [each.name for each in found] == list(names)
        assert all(
            torch.equal(each.tensor, part.float().reshape(32, 4, 4)) for each, part in zip(found, parts, strict=True)
        )


def test_a_dictionary_of_tensors_names_them(tmp_path: Path, pipeline: Any):
    state = {"female": matrix()[:, 0], "male": matrix()[:, 1]}
    assert [each.name for each in import_published(write(tmp_path, state, None), pipeline=pipeline)] == list(state)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions(tmp_path: Path, pipeline: Any, dtype: torch.dtype):
    directions = import_published(write(tmp_path, {"w": matrix().to(dtype)}), pipeline=pipeline)
    assert directions[0].tensor.dtype == torch.float32
    assert torch.equal(directions[0].tensor.flatten(), matrix()[:, 0].to(dtype).float())
    assert directions[0].provenance["dtype"] == str(dtype).removeprefix("torch.")


def test_a_parameter_that_was_saved_as_such(tmp_path: Path, pipeline: Any):
    state = {"weight": torch.nn.Parameter(matrix())}
    assert len(import_published(write(tmp_path, state), pipeline=pipeline)) == 3


def test_without_a_model_they_are_of_stable_diffusion(tmp_path: Path):
    path = write(tmp_path, {"w": matrix(1, 1280 * 8 * 8)}, {"female": 0})
    (female,) = import_published(path)
    assert tuple(female.tensor.shape) == (1280, 8, 8)
    assert female.model == published.MODEL
    female.save(tmp_path / "female.safetensors")
    assert Direction.load(tmp_path / "female.safetensors").model == published.MODEL


def test_the_structure_is_that_of_stable_diffusion():
    from diffusers import UNet2DConditionModel

    # As its config.json says; what it leaves out has the same default since the first diffusers.
    with torch.device("meta"):
        unet = UNet2DConditionModel(
            sample_size=64,
            block_out_channels=(320, 640, 1280, 1280),
            layers_per_block=2,
            cross_attention_dim=768,
            attention_head_dim=8,
        )
        other = UNet2DConditionModel(sample_size=64, cross_attention_dim=1024)
    assert structure(unet) == published.MODEL.fingerprint
    assert fits(published.MODEL.fingerprint, unet)
    assert not fits(published.MODEL.fingerprint, other)
    # Of an inpainting model the first convolution alone has another shape.
    assert structure(UNet2DConditionModel(in_channels=4, **TINY)) != structure(
        UNet2DConditionModel(in_channels=9, **TINY)
    )


TINY: dict[str, Any] = {
    "block_out_channels": (32,),
    "down_block_types": ("DownBlock2D",),
    "up_block_types": ("UpBlock2D",),
    "layers_per_block": 1,
    "cross_attention_dim": 8,
    "norm_num_groups": 8,
    "attention_head_dim": 4,
}


def test_what_is_matched_by_structure_fits_other_weights(
    pipeline: Any, other_pipeline: Any, make_direction: Callable[..., Direction]
):
    exact = make_direction()
    loose = exact.with_(
        model=models.ModelIdentity("CompVis/some-model", "", structure(pipeline.unet))  # pyright: ignore
    )
    for each in (pipeline, other_pipeline):
        with steer(each, {loose: 1.0}):
            each("a judge", num_inference_steps=1, output_type="latent")
    with pytest.raises(MismatchError, match="belongs to the model"), steer(other_pipeline, {exact: 1.0}):
        pass
    # Which of the two holds is never guessed: they do not add.
    with pytest.raises(MismatchError):
        exact + loose
    (loose + loose).norm()


def test_another_structure_is_refused(pipeline: Any, tmp_path: Path):
    path = write(tmp_path, {"w": matrix(1, 1280 * 8 * 8)}, {"female": 0})
    (female,) = import_published(path)
    said = r"structure of 'CompVis/stable-diffusion-v1-4', which 'UNet2DConditionModel' is not"
    with pytest.raises(MismatchError, match=said), steer(pipeline, {female: 1.0}):
        pass


def test_a_lora_makes_no_other_structure(make_pipeline: Callable[..., Any]):
    import copy

    unet = make_pipeline().unet
    wrapped = copy.deepcopy(unet)
    layer = wrapped.mid_block.resnets[0].conv1
    holder = torch.nn.Module()
    holder.base_layer, holder.lora_A = layer, torch.nn.Linear(2, 2)
    wrapped.mid_block.resnets[0].conv1 = holder
    assert structure(wrapped) == structure(unet)
    assert structure(unet).startswith(STRUCTURE)
    assert shortened(structure(unet)) == structure(unet)[:22]


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({}, r"0 tensors \(nothing\)"),
        ({"a": matrix(), "b": matrix()}, r"2 tensors \(a \(512, 3\), b \(512, 3\)\)"),
        ({"a": matrix(), "bias": torch.zeros(3)}, r"2 tensors"),
        ({"w": matrix(3, ROWS - 1)}, r"it holds w \(511, 3\).*matrix \(512, n\).*mid block of 'UNet2DCond"),
        ({"w": matrix(3, 1280 * 64)}, r"it holds w \(81920, 3\)"),
        ({"w": matrix(0)}, r"it holds w \(512, 0\)"),
        ({"w": matrix()[1:, 0]}, r"it holds w \(511,\)"),
        ({"a": matrix(1), "b": matrix(1)[1:]}, r"2 tensors"),
        ([matrix(1), 3], "more than tensors"),
        ([], "0 tensors"),
        ({"w": torch.randn(32, 4, 4, 3)}, r"it holds w \(32, 4, 4, 3\)"),
        ({"w": matrix().t().contiguous()}, r"lies on its side.*Try: save its transpose"),
        ({"w": matrix().long()}, r"torch\.int64 values"),
        ({"w": matrix().to(torch.complex64)}, r"torch\.complex64 values"),
        ({"w": matrix().to_sparse()}, r"torch\.sparse_coo"),
        ({"w": "text"}, "more than tensors"),
        ({"checkpoint": {"w": matrix()}}, "more than tensors"),
        (3, "more than tensors"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_what_is_no_published_matrix(tmp_path: Path, pipeline: Any, state: Any, said: str):
    with pytest.raises(DirectionFileError, match=f"(?s)unet.pth' is no published direction: .*{said}"):
        import_published(write(tmp_path, state), pipeline=pipeline)


def test_values_that_are_not_finite(tmp_path: Path, pipeline: Any):
    broken = matrix()
    broken[3, 1] = float("nan")
    with pytest.raises(DirectrixError, match="'female' at 'mid_block' holds values that are not finite"):
        import_published(write(tmp_path, {"w": broken}), pipeline=pipeline)


def test_damaged_anywhere(tmp_path: Path, pipeline: Any):
    whole = write(tmp_path).read_bytes()
    for length in (0, 1, 30, 200, len(whole) // 2, len(whole) - 30):
        (tmp_path / "unet.pth").write_bytes(whole[:length])
        with pytest.raises(DirectionFileError, match=r"unet\.pth' is no published direction"):
            import_published(tmp_path / "unet.pth", pipeline=pipeline)
    for garbage in (b"hello, this is text", b"\x80\x02" + os.urandom(50), b"PK\x03\x04" + b"\0" * 100):
        (tmp_path / "unet.pth").write_bytes(garbage)
        with pytest.raises(DirectionFileError, match=r"unet\.pth' is no published direction"):
            import_published(tmp_path / "unet.pth", pipeline=pipeline)


class Malicious:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (os.mkdir, (str(self.path),))


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("beside", [False, True])
def test_a_pickle_does_not_run(tmp_path: Path, pipeline: Any, old: bool, beside: bool):
    trace = tmp_path / "it-ran"
    state: Any = {"w": matrix(), "x": Malicious(trace)} if beside else Malicious(trace)
    write(tmp_path)
    torch.save(state, tmp_path / "unet.pth", _use_new_zipfile_serialization=not old)
    with pytest.raises(DirectionFileError, match="could run code"):
        import_published(tmp_path / "unet.pth", pipeline=pipeline)
    assert not trace.exists()
    # It would have: the test is one.
    torch.load(tmp_path / "unet.pth", weights_only=False)
    assert trace.exists()


def test_missing_files(tmp_path: Path, pipeline: Any):
    with pytest.raises(DirectionFileError, match="There is no file"):
        import_published(tmp_path / "unet.pth", pipeline=pipeline)
    path = write(tmp_path, names=None)
    with pytest.raises(DirectionFileError, match=r"concept_dict\.json', so the columns have no names"):
        import_published(path, pipeline=pipeline)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ({}, "names no column"),
        ({**NAMES, "old": 3}, "'old' the column 3"),
        ({**NAMES, "old": -1}, "'old' the column -1"),
        ({**NAMES, "old": 2}, "column 2 to both 'anti-sexual' and 'old'"),
        ({"female": 0, "male": True, "old": 2}, "'male' the column True"),
        ({"0": "female", "1": "male", "2": "old"}, "'0' the column 'female'"),
        ({"female": 0, "male": 1, " ": 2}, "column 2 an empty name"),
        ({"a/b": 0, "a?b": 1, "c": 2}, "'a/b' and 'a\\?b', which make the same file name"),
        (["female", "male", "old"], "not a JSON object"),
        ("{female: 0}", "is not JSON"),
        ("\ud800".encode("utf-8", "surrogatepass").decode("latin-1"), "is not JSON"),
    ],
)
def test_names_that_do_not_fit(tmp_path: Path, pipeline: Any, names: Any, said: str):
    with pytest.raises(DirectionFileError, match=f"concept_dict.json' .*{said}"):
        import_published(write(tmp_path, names=names), pipeline=pipeline)


def test_names_of_files():
    assert published.file_name("anti-sexual") == "anti-sexual.safetensors"
    assert published.file_name("../../etc/passwd") == "-..-etc-passwd.safetensors"
    assert published.file_name("a: b?") == "a- b-.safetensors"
    assert published.file_name("älter") == "älter.safetensors"
    assert published.file_name("..") == "direction.safetensors"


@pytest.fixture(scope="module")
def model(make_pipeline: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    make_pipeline().save_pretrained(folder)
    return folder


def test_the_verb_with_a_model(tmp_path: Path, pipeline: Any, model: Path, capsys: Any):
    write(tmp_path)
    out = tmp_path / "out"
    command = ["import", str(tmp_path / "unet.pth"), "--model", str(model), "-o", str(out)]
    assert main([*command, "--json"]) == 0
    said = capsys.readouterr()
    assert [each["name"] for each in json.loads(said.out)["directions"]] == ["male", "female", "anti-sexual"]
    assert "structure" not in said.err
    female = Direction.load(out / "female.safetensors")
    assert female.model.fingerprint == models.identity(pipeline).fingerprint
    assert sorted(each.name for each in out.iterdir()) == [
        "anti-sexual.safetensors",
        "female.safetensors",
        "male.safetensors",
    ]
    assert main(command) == 0
    assert "female" in capsys.readouterr().out


def test_the_verb_without_a_model(tmp_path: Path, capsys: Any):
    path = write(tmp_path, {"w": matrix(1, 1280 * 8 * 8)}, names=None)
    (tmp_path / "names.json").write_text('{"female": 0}')
    command = ["import", str(path), "--concepts", str(tmp_path / "names.json"), "-o", str(tmp_path / "out")]
    assert main(command) == 0
    said = capsys.readouterr()
    assert "Matched by structure" in said.err
    assert "fingerprint structure:95638fa0eb03" in said.out
    assert main(["inspect", str(tmp_path / "out" / "female.safetensors")]) == 0


def test_the_verb_refuses_in_one_line(tmp_path: Path, capsys: Any):
    write(tmp_path, {"w": matrix()})
    assert main(["import", str(tmp_path / "unet.pth"), "-o", str(tmp_path / "out")]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "directrix import: " in said.err and "(81920, n)" in said.err
    assert list((tmp_path / "out").iterdir()) == []
