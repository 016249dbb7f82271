"""A whole model in one file: the same model as its folder; what is missing is said at once."""

import json
import time

import pytest
import torch
from safetensors.torch import save_file

import directrix
import single_files
from directrix.cli import main
from directrix.errors import ModelError
from directrix.models import hub_access


@pytest.fixture(scope="module")
def folder(make_pipeline, tmp_path_factory):
    """The tiny pipeline's folder."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    make_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def file(make_pipeline, tmp_path_factory):
    """The tiny pipeline in one file."""
    return single_files.write(make_pipeline(), tmp_path_factory.mktemp("files") / "tiny.safetensors")


def test_a_file_is_the_same_model_as_its_folder(file, folder, pipeline):
    loaded = directrix.load(file, "cpu", config=folder)
    ours, theirs = loaded.unet.state_dict(), pipeline.unet.state_dict()
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert (
        directrix.SteerableModel.of(loaded).identity.fingerprint
        == directrix.SteerableModel.of(pipeline).identity.fingerprint
    )
    assert directrix.SteerableModel.of(loaded).identity.name == "tiny.safetensors"
    drawn = [
        each("a judge", num_inference_steps=2, generator=torch.Generator().manual_seed(0), output_type="pt").images
        for each in (loaded, pipeline)
    ]
    assert torch.allclose(*drawn, atol=1e-5)


def test_the_settings_that_are_missing_are_named_at_once(file, tmp_path, capsys):
    started = time.perf_counter()
    with pytest.raises(ModelError, match=r"stable-diffusion-v1-5/stable-diffusion-v1-5.*cannot be reached.*--config"):
        directrix.load(file)
    assert time.perf_counter() - started < 10
    command = ["generate", "--model", str(file), "--config", "no/such", "--prompt", "a judge"]
    assert main([*command, "-o", str(tmp_path)]) == 2
    assert "no/such" in capsys.readouterr().err


def test_what_is_no_model_says_what_it_is(tmp_path, make_direction, folder):
    save_file({"lora_unet_mid.lora_down.weight": torch.zeros(2, 2)}, tmp_path / "style.safetensors")
    make_direction("woman").save(tmp_path / "woman.safetensors")
    torch.save({"state_dict": {}}, tmp_path / "model.ckpt")
    for name, said in (("style", "is a LoRA.*--lora"), ("woman", "is a direction.*--direction")):
        with pytest.raises(ModelError, match=said):
            directrix.load(tmp_path / f"{name}.safetensors")
    with pytest.raises(ModelError, match=r"pickle.*in safetensors, which runs no code"):
        directrix.load(tmp_path / "model.ckpt")
    with pytest.raises(ModelError, match="settings of its own"):
        directrix.load(folder, config=folder)


@pytest.mark.parametrize("name", ["./absent", "/absent/model", "absent.safetensors", "~/absent", "a/b/c"])
def test_a_path_that_is_not_there_is_no_name_of_the_hub(name):
    with pytest.raises(ModelError, match="There is no folder or file"):
        directrix.load(name)


def test_the_nearest_path_is_named(folder):
    with pytest.raises(ModelError, match=r"did you mean '.*tiny'\?"):
        directrix.load(folder.with_name("tinyy"))


@pytest.mark.parametrize("name", ["CompVis/stable-diffusion-v1-4", "models/sd15", "nobody/nothing"])
def test_a_name_of_the_hub_that_cannot_be_asked_fails_at_once(name, monkeypatch):
    from huggingface_hub import constants

    # Nothing listens there, and no variable says so.
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    started = time.perf_counter()
    with pytest.raises(ModelError, match=f"'{name}' is not on this machine.*cannot be reached: 127.0.0.1") as found:
        directrix.load(name)
    assert time.perf_counter() - started < 6
    assert "did you mean" not in str(found.value)


def test_a_name_that_cannot_be_looked_up_takes_no_longer(monkeypatch):
    import socket

    monkeypatch.setattr(hub_access, "PATIENCE", 0.1)
    monkeypatch.setattr(socket, "create_connection", lambda *_: time.sleep(2) or socket.socket())
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    started = time.perf_counter()
    assert "does not answer" in str(hub_access.unreachable())
    assert time.perf_counter() - started < 1


def test_discover_says_before_loading_that_the_judge_is_missing(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(directrix, "load", None)
    command = ["discover", "--model", str(folder), "--target", "a woman", "--neutral", "a person"]
    assert main([*command, "-o", str(tmp_path / "w.safetensors")]) == 2
    said = capsys.readouterr().err
    assert "openai/clip-vit-base-patch32" in said and "--judge clip:FOLDER" in said and "--no-calibration" in said


def test_a_lora_changes_images_and_not_the_model(folder, pipeline, make_direction, tmp_path, capsys):
    rank, name = 2, "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
    noise = torch.Generator().manual_seed(0)
    state = {f"{name}.lora_A.weight": torch.randn(rank, 32, generator=noise)}
    state[f"{name}.lora_B.weight"] = 5 * torch.randn(32, rank, generator=noise)
    save_file(state, tmp_path / "style.safetensors")
    make_direction("woman").save(tmp_path / "woman.safetensors")
    command = ["generate", "--model", str(folder), "--prompt", "a judge", "--num-inference-steps", "2", "--json"]
    command += ["--direction", str(tmp_path / "woman.safetensors")]
    rows = []
    for out, lora in {
        "plain": [],
        "whole": ["--lora", str(tmp_path / "style.safetensors")],
        "half": ["--lora", f"{tmp_path / 'style.safetensors'}:0.5"],
    }.items():
        assert main([*command, *lora, "-o", str(tmp_path / out)]) == 0, capsys.readouterr().err
        rows += json.loads(capsys.readouterr().out)["images"]
    assert len({row["sha256"] for row in rows}) == 3
    assert "loras" not in rows[0] and [row["loras"][0]["scale"] for row in rows[1:]] == [1.0, 0.5]
    assert rows[1]["loras"][0]["file"] == "style.safetensors"
    assert rows[0]["model"] == rows[1]["model"]


@pytest.mark.parametrize(
    ("name", "shape", "said"),
    [
        ("unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q", 7, "cannot be loaded"),
        ("unet.nowhere.to_q", 32, "fits no layer|cannot be loaded"),
        (None, 2, "is the text encoder of a model"),
    ],
)
def test_a_lora_of_another_model_is_refused(folder, tmp_path, name, shape, said):
    names = [f"{name}.lora_A.weight", f"{name}.lora_B.weight"] if name else ["text_model.a", "text_model.b"]
    shapes = [(2, shape), (shape, 2)]
    save_file({each: torch.zeros(size) for each, size in zip(names, shapes, strict=True)}, tmp_path / "l.safetensors")
    with pytest.raises(ModelError, match=said):
        directrix.load(folder, "cpu", loras=tmp_path / "l.safetensors")
    with pytest.raises(ModelError, match="no LoRA 'absent'"):
        directrix.load(folder, "cpu", loras="absent")


def test_settings_of_a_scheduler_may_be_infinite(folder, tmp_path):
    import shutil

    shutil.copytree(folder, tmp_path / "tiny")
    path = tmp_path / "tiny" / "scheduler" / "scheduler_config.json"
    # diffusers saves DPMSolver's `lambda_min_clipped` so.
    path.write_text(path.read_text().replace("{", '{"lambda_min_clipped": -Infinity,', 1))
    assert directrix.load(tmp_path / "tiny", "cpu").scheduler is not None
