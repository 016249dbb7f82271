"""Files of weights that people have beside directions: each is called what it is, wherever a direction is asked for."""

import pickle
import re

import pytest
import torch
from safetensors.torch import save_file

from directrix.cli import main
from directrix.models.file_kinds import of_names, recognised

KINDS = {
    "a LoRA": (
        "lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight",
        "lora_te1_text_model_encoder_layers_0_mlp_fc1.alpha",
        "lora_unet_up_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q.hada_w1_a",
        "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight",
        "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q.lora.down.weight",
        "transformer.transformer_blocks.0.attn.to_q.lora_B.weight",
        "text_encoder.text_model.encoder.layers.0.self_attn.q_proj.lora_linear_layer.up.weight",
        "diffusion_model.double_blocks.0.img_attn.qkv.lokr_w1",
    ),
    "a textual inversion": ("emb_params", "<my-style>", "clip_l"),
    "a whole model": ("model.diffusion_model.input_blocks.0.0.weight", "double_blocks.0.img_attn.norm.key_norm.scale"),
    "the denoiser": ("down_blocks.0.resnets.0.conv1.weight",),
    "the text encoder": ("text_model.encoder.layers.0.mlp.fc1.weight",),
    "a ControlNet": ("controlnet_cond_embedding.conv_in.weight",),
}
EACH = pytest.mark.parametrize(("what", "name"), [(kind, name) for kind, names in KINDS.items() for name in names])


@EACH
def test_a_file_is_known_by_its_names(what, name, tmp_path):
    save_file({name: torch.zeros(2, 2)}, tmp_path / "file.safetensors")
    found = recognised(tmp_path / "file.safetensors")
    assert found is not None and found.what.startswith(what)


def test_one_layer_of_such_a_name_makes_no_other_model():
    assert of_names(["classifier.fc1.weight", "classifier.norm.weight"]) is None
    assert of_names(["mid.fc1.weight"]) is None and of_names([]) is None


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"lora_unet_mid_block_attentions_0_proj_in.lora_down.weight": torch.zeros(2, 2)}, "LoRA.*--lora"),
        ({"string_to_token": {"*": 265}, "string_to_param": {"*": torch.zeros(1, 8)}}, "textual inversion.*load_text"),
        ({"module.fc1.weight": torch.zeros(8, 2), "module.fc2.weight": torch.zeros(8, 2)}, "RespoDiff.*trajectory"),
    ],
)
@pytest.mark.parametrize("ending", ["safetensors", "pt"])
def test_import_and_generate_say_what_a_file_is(state, said, ending, tmp_path, capsys):
    file = tmp_path / f"file.{ending}"
    if ending == "pt":
        torch.save(state, file)
    elif "string_to_param" in state:
        save_file({"emb_params": torch.zeros(1, 8)}, file)
    else:
        save_file(state, file)
    assert main(["import", str(file), "-o", str(tmp_path / "out")]) == 2
    imported = capsys.readouterr().err
    assert re.search(said, imported) and imported.count("\n") == 1
    assert main(["generate", "--prompt", "a judge", "--direction", f"{file}:1", "-o", str(tmp_path / "out")]) == 2
    steered = capsys.readouterr().err
    if not (ending == "pt" and "RespoDiff" in said):
        assert re.search(said, steered)
    assert "torch file" in steered or re.search(said, steered)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS"),
        (b"GGUF\x03\x00\x00\x00", "GGUF"),
        (pickle.dumps({"a": 1}), "a torch file"),
    ],
)
def test_a_file_is_known_by_its_beginning(content, what, tmp_path, capsys):
    (tmp_path / "file.safetensors").write_bytes(content)
    assert main(["inspect", str(tmp_path / "file.safetensors")]) == 2
    assert what in capsys.readouterr().err
