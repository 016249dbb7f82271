from __future__ import annotations

import copy
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from directrix import models
from directrix.errors import ModelError
from directrix.models.fingerprint import structure
from directrix.models.identity import remember


@pytest.fixture(scope="module")
def folder(pipeline: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("models") / "tiny"
    pipeline.save_pretrained(where)
    return where


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_fingerprint_is_the_same_in_every_precision(make_pipeline: Callable[..., Any], pipeline: Any, dtype: Any):
    assert models.fingerprint(make_pipeline().unet.to(dtype)) == models.fingerprint(pipeline.unet)


def test_fingerprint_tells_models_apart(pipeline: Any, other_pipeline: Any):
    assert models.fingerprint(pipeline.unet) != models.fingerprint(other_pipeline.unet)


def test_fingerprint_notices_training(make_pipeline: Callable[..., Any]):
    unet = make_pipeline().unet
    before = models.fingerprint(unet)
    with torch.no_grad():
        unet.conv_in.weight.neg_()
    assert models.fingerprint(unet) != before


def test_fingerprint_ignores_adapters_and_base_layer_names(make_pipeline: Callable[..., Any], pipeline: Any):
    unet = make_pipeline().unet

    class Wrapped(torch.nn.Module):
        def __init__(self, inner: torch.nn.Module) -> None:
            super().__init__()
            self.base_layer = inner
            self.lora_A = torch.nn.Linear(2, 2)

    unet.conv_in = Wrapped(unet.conv_in)
    assert models.fingerprint(unet) == models.fingerprint(pipeline.unet)


def test_fused_projections_make_no_other_model(make_pipeline: Callable[..., Any], pipeline: Any):
    """They are copies; taken back, the copies stay in some versions of diffusers."""
    unet = make_pipeline().unet
    known = models.fingerprint(pipeline.unet), structure(pipeline.unet)
    unet.fuse_qkv_projections()
    assert any("to_kv" in name for name, _ in unet.named_parameters())
    assert (models.fingerprint(unet), structure(unet)) == known
    unet.unfuse_qkv_projections()
    assert (models.fingerprint(unet), structure(unet)) == known


def test_projections_that_were_trained_as_one_count(pipeline: Any):
    class Attention(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.to_q, self.to_kv = torch.nn.Linear(4, 4), torch.nn.Linear(4, 8)

    network = torch.nn.Sequential(Attention())
    before = models.fingerprint(network)
    with torch.no_grad():
        network.get_submodule("0.to_kv").weight.neg_()  # pyright: ignore
    assert models.fingerprint(network) != before


def test_fingerprint_notices_other_parameters_in_the_place_of_the_old(make_pipeline: Callable[..., Any]):
    unet = make_pipeline().unet
    before, old = models.fingerprint(unet), unet.conv_in.weight
    unet.conv_in.weight = torch.nn.Parameter(-old.detach())
    # As many writes as the old one had seen, none of which changes a sign.
    while unet.conv_in.weight._version < old._version:
        with torch.no_grad():
            unet.conv_in.weight.mul_(1)
    assert models.fingerprint(unet) != before


def test_fingerprint_of_weights_that_were_made_in_inference_mode(make_pipeline: Callable[..., Any], pipeline: Any):
    with torch.inference_mode():
        unet = make_pipeline().unet
    assert models.fingerprint(unet) == models.fingerprint(unet) == models.fingerprint(pipeline.unet)


def test_a_copy_has_a_fingerprint_of_its_own(make_pipeline: Callable[..., Any], pipeline: Any):
    known = models.fingerprint(pipeline.unet)
    twin = copy.deepcopy(pipeline.unet)
    assert models.fingerprint(twin) == known
    with torch.no_grad():
        twin.conv_in.weight.neg_()
    assert models.fingerprint(twin) != known == models.fingerprint(pipeline.unet)


def test_fingerprint_survives_offloading_and_refuses_what_it_never_read(make_pipeline: Callable[..., Any]):
    unet = make_pipeline().unet
    retained = models.fingerprint(unet)
    assert models.fingerprint(unet.to("meta")) == retained
    with pytest.raises(ModelError, match="not in memory"):
        models.fingerprint(make_pipeline().unet.to("meta"))


def test_facts(pipeline: Any, v_pipeline: Any):
    facts = models.facts(pipeline)
    assert facts.prediction_type == "epsilon"
    assert models.facts(v_pipeline).prediction_type == "v_prediction"
    assert facts.latent_shape == (4, 8, 8)
    assert (facts.guidance_scale, facts.num_inference_steps, facts.learning_rate) == (7.5, 50, None)


def test_cards_set_the_paper_s_figures(make_pipeline: Callable[..., Any]):
    pipeline = make_pipeline()
    pipeline.unet.register_to_config(_name_or_path="CompVis/stable-diffusion-v1-4")
    facts = models.facts(pipeline)
    assert facts.identity.name == "CompVis/stable-diffusion-v1-4"
    assert (facts.guidance_scale, facts.num_inference_steps, facts.learning_rate) == (7.5, 30, 0.1)


def test_name_and_revision_come_from_the_hub_s_cache(make_pipeline: Callable[..., Any]):
    pipeline = make_pipeline()
    pipeline.unet.register_to_config(_name_or_path="/c/hub/models--org--some--net/snapshots/0123abcd/unet")
    identity = models.identity(pipeline)
    assert (identity.name, identity.revision) == ("org/some--net".replace("--", "/"), "0123abcd")


def test_a_copy_keeps_the_name_that_its_model_was_loaded_as(make_pipeline: Callable[..., Any]):
    pipeline = make_pipeline()
    remember(pipeline.unet, "org/name", "0123")
    for twin in (copy.deepcopy(pipeline), pickle.loads(pickle.dumps(pipeline))):
        assert models.identity(twin) == models.identity(pipeline)
        assert models.identity(twin).name == "org/name"


def test_a_folder_gives_its_name_and_never_its_path(folder: Path, pipeline: Any):
    from diffusers import StableDiffusionPipeline

    for loaded in (models.load(folder, device="cpu"), StableDiffusionPipeline.from_pretrained(folder)):
        assert models.identity(loaded) == models.ModelIdentity("tiny", "", models.fingerprint(pipeline.unet))


def test_load_gives_one_precision_everywhere(folder: Path, make_pipeline: Callable[..., Any], tmp_path: Path):
    half = make_pipeline()
    half.unet.half(), half.text_encoder.half(), half.vae.half()
    half.save_pretrained(tmp_path / "half")
    half.save_pretrained(tmp_path / "variant", variant="fp16")
    for where in (folder, tmp_path / "half", tmp_path / "variant"):
        loaded = models.load(str(where), device="cpu")
        assert {loaded.unet.dtype, loaded.text_encoder.dtype, loaded.vae.dtype} == {torch.float32}
    assert models.load(folder, "cpu", torch.bfloat16).unet.dtype == torch.bfloat16


def test_load_prints_nothing(folder: Path, capfd: pytest.CaptureFixture[str]):
    loaded = models.load(folder, device="cpu")
    loaded("a cook", num_inference_steps=1, output_type="latent")
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "%" not in captured.err


def test_unknown_names(tmp_path: Path):
    with pytest.raises(ModelError, match="did you mean 'emoji'"):
        models.load("emojj")
    with pytest.raises(ModelError, match="holds no diffusers pipeline"):
        models.load(tmp_path)
    with pytest.raises(ModelError, match="is not on this machine"):
        models.load("no-such-organisation/no-such-model")


def test_damaged_folders(folder: Path, tmp_path: Path):
    shutil.copytree(folder, tmp_path / "cut")
    weights = next((tmp_path / "cut" / "unet").glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:1000])
    shutil.copytree(folder, tmp_path / "index")
    (tmp_path / "index" / "model_index.json").write_text("{")
    shutil.copytree(folder, tmp_path / "class")
    index = json.loads((folder / "model_index.json").read_text()) | {"_class_name": "NoSuchPipeline"}
    (tmp_path / "class" / "model_index.json").write_text(json.dumps(index))
    for name in ("cut", "index", "class"):
        with pytest.raises(ModelError, match="cannot be loaded"):
            models.load(tmp_path / name)


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_a_model_whose_files_lack_tensors(
    folder: Path, tmp_path: Path, part: str, terminal: bool, monkeypatch: pytest.MonkeyPatch
):
    """Its loader would draw the tensor at random and go on."""
    copy = tmp_path / "less"
    shutil.copytree(folder, copy)
    file = next((copy / part).glob("*.safetensors"))
    tensors = load_file(file)
    # Of every layer: loaders fold such names into one row.
    for dropped in [name for name in tensors if "norm" in name]:
        del tensors[dropped]
    save_file(tensors, file, metadata={"format": "pt"})
    if terminal:
        # Loaders colour what they say in a terminal.
        monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    with pytest.raises(ModelError, match=r"lack tensors, such as|keys are missing") as caught:
        models.load(str(copy), "cpu")
    assert caught.value.remedy
    assert models.load(str(folder), "cpu") is not None


def test_unknown_device(folder: Path):
    with pytest.raises(ModelError, match="device"):
        models.load(folder, device="warp")
