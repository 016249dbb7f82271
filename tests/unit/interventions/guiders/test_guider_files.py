"""A steered guider is saved beside its directions, and loaded without executing anything."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import guiders as known

from directrix.errors import DirectionFileError, DirectrixError
from directrix.guiders import Steered

CONFIG = "guider_config.json"


@pytest.fixture
def steered(sdxl, woman) -> Steered:
    guider = known.ClassifierFreeGuidance(3.0, stop=0.9)
    return Steered({woman(sdxl): [0.5, 1.0], woman(sdxl, seed=1): 0.25}, guider, branch="both", start=0.1, stop=0.75)


@pytest.fixture
def saved(steered, tmp_path) -> Path:
    steered.save_pretrained(tmp_path / "saved")
    return tmp_path / "saved"


def change(folder: Path, **changes: Any) -> None:
    """Changes keys of the configuration."""
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps({**config, **changes}))


def test_it_is_what_it_was(steered, saved):
    loaded = Steered.from_pretrained(saved)
    assert loaded.to_json_string() == steered.to_json_string()
    assert dict(loaded.steering.config) == dict(steered.steering.config)
    assert type(loaded.guider) is known.ClassifierFreeGuidance and loaded.guidance_scale == 3.0
    assert len(list(saved.glob("woman-*.safetensors"))) == 2
    assert Steered.from_pretrained(saved.parent, subfolder="saved", stop=0.5).steering.stop == 0.5


def test_a_scale_that_was_set_later_is_saved(steered, tmp_path):
    steered.guidance_scale = 9.0
    steered.disable()
    steered.save_pretrained(tmp_path)
    loaded = Steered.from_pretrained(tmp_path)
    assert loaded.guidance_scale == 9.0 and not loaded.guider._enabled


@pytest.mark.parametrize("name", [name for name in vars(known) if name.endswith("Guidance") and name != "BaseGuidance"])
def test_every_guider_of_diffusers_is_saved_and_loaded(sdxl, woman, tmp_path, name):
    kind = getattr(known, name)
    if kind is known.FrequencyDecoupledGuidance:
        pytest.importorskip("kornia")
    layers = {"indices": [0], "fqn": "transformer_blocks"}
    needs: dict[str, dict[str, Any]] = {
        "AutoGuidance": {"auto_guidance_config": layers},
        "PerturbedAttentionGuidance": {
            "perturbed_guidance_config": {**layers, "skip_attention": False, "skip_attention_scores": True}
        },
        "SkipLayerGuidance": {"skip_layer_config": layers},
        "SmoothedEnergyGuidance": {"seg_guidance_config": layers},
    }
    steered = Steered({woman(sdxl): 1.0}, kind(**needs.get(name, {})))
    steered.save_pretrained(tmp_path)
    loaded = Steered.from_pretrained(tmp_path)
    assert type(loaded.guider) is kind
    assert loaded.to_json_string() == steered.to_json_string()


def test_a_pipeline_saves_and_loads_it(sdxl, woman, tmp_path):
    from diffusers import ModularPipeline

    folder = str(tmp_path / "pipeline")
    with sdxl.guided_by(Steered({woman(sdxl): 1.0}, sdxl.modular.guider)):
        steered = sdxl.draw()
        sdxl.modular.save_pretrained(folder, overwrite_modular_index=True)
    loaded = ModularPipeline.from_pretrained(folder)
    loaded.load_components(dtype=torch.float64)
    loaded.set_progress_bar_config(disable=True)
    assert isinstance(loaded.guider, Steered)
    again = type(sdxl)(loaded, sdxl.classic).draw(scale=5.0)
    assert torch.allclose(again, steered, rtol=0, atol=1e-5), (again - steered).abs().max()


def test_from_the_hub(steered, saved, monkeypatch):
    fetched = []

    def download(repository: str, filename: str, subfolder: str | None = None, **options: Any) -> str:
        name = "/".join(filter(None, (subfolder, filename)))
        fetched.append((repository, name, options.get("revision")))
        return str(saved / filename.rpartition("/")[2])

    monkeypatch.setattr("diffusers.configuration_utils.hf_hub_download", download)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    loaded = Steered.from_pretrained("me/portraits", subfolder="guider", revision="v1")
    assert loaded.to_json_string() == steered.to_json_string()
    assert {each[0] for each in fetched} == {"me/portraits"} and {each[2] for each in fetched} == {"v1"}
    assert all(name.startswith("guider/") for _, name, _ in fetched)


def test_files_that_make_no_sense_are_refused(saved):
    entries = json.loads((saved / CONFIG).read_text())["directions"]
    cases: list[tuple[dict[str, Any], str]] = [
        ({"guider": {"_class_name": "Popen"}}, "'Popen' is none of diffusers' own"),
        ({"guider": {"_class_name": "BaseGuidance"}}, "'BaseGuidance' is none of diffusers' own"),
        ({"guider": {"_class_name": "Steered"}}, "'Steered' is none of diffusers' own"),
        ({"guider": {"_class_name": ["os", "system"]}}, "none of diffusers' own"),
        ({"guider": {"_class_name": "ClassifierFreeGuidance", "start": 7.0}}, "ClassifierFreeGuidance in .* no sense"),
        ({"guider": "ClassifierFreeGuidance"}, "guider is text"),
        ({"directions": {"woman": 1.0}}, "directions is a mapping"),
        ({"directions": [{**entries[0], "file": "../secret.safetensors"}]}, "no name of a direction's file"),
        ({"directions": [{**entries[0], "file": "weights.bin"}]}, "no name of a direction's file"),
        ({"directions": [{**entries[0], "file": "gone.safetensors"}]}, "does not exist"),
        ({"directions": [{**entries[0], "digest": "0" * 16}]}, "another direction"),
        ({"branch": "left"}, "no branch 'left'"),
        ({"start": 2.0}, "The window of steps"),
        ({"_class_name": "PerturbedAttentionGuidance"}, "holds a PerturbedAttentionGuidance"),
    ]
    for changes, message in cases:
        folder = saved.parent / "changed"
        shutil.copytree(saved, folder, dirs_exist_ok=True)
        change(folder, **changes)
        with pytest.raises(DirectrixError, match=message):
            Steered.from_pretrained(folder)


def test_a_damaged_direction_is_refused(saved):
    file = next(saved.glob("*.safetensors"))
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(DirectionFileError, match="damaged"):
        Steered.from_pretrained(saved)


def test_a_guider_that_could_not_be_loaded_is_not_saved(sdxl, woman, tmp_path):
    class Mine(known.ClassifierFreeGuidance):
        pass

    for inner in (Mine(), Steered({woman(sdxl): 1.0})):
        with pytest.raises(DirectrixError, match="none of diffusers' own"):
            Steered({woman(sdxl): 1.0}, inner).save_pretrained(tmp_path)
    assert not (tmp_path / CONFIG).exists()
