"""Denoisers of true size: their structure without weights, and the measurement on tiny ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from directrix.cli import main
from directrix.errors import ModelError
from directrix.experiments import tables
from directrix.experiments.cost import architectures as report
from directrix.experiments.cost import full_size
from directrix.experiments.cost.measure import peak_bytes

# As the models' own pages and papers give them.
MILLIONS = {"sd14": 860, "sd21": 866, "sdxl": 2567, "pixart": 611, "sd3": 2028, "flux": 11901}


@pytest.mark.parametrize("name", list(MILLIONS))
def test_the_sizes_are_the_models_own(name: str):
    network = report.architecture(name).network("meta")
    assert round(sum(each.numel() for each in network.parameters()) / 1e6) == MILLIONS[name]


def test_unknown_names_get_a_suggestion():
    with pytest.raises(ModelError, match="did you mean 'sd14'"):
        report.architecture("sd-14")


def test_no_room_is_refused_with_the_bytes_that_are_needed(monkeypatch: pytest.MonkeyPatch):
    class Memory:
        available = 10**9

    monkeypatch.setattr(report.psutil, "virtual_memory", Memory)
    with pytest.raises(ModelError, match=r"take 3,438,\d{3},\d{3} bytes, and 1,000,000,000 bytes are free"):
        report.architecture("sd14").network("cpu")


def test_peak_memory_counts_every_block():
    retained = []

    def work() -> None:
        first = torch.ones(1000, 250)  # a megabyte each
        second = first + 1
        del first
        retained.append((second * 2).sum())

    assert peak_bytes(work, torch.device("cpu")) == pytest.approx(2_000_000, abs=1000)
    assert peak_bytes(lambda: None, torch.device("cpu")) == 0


TINY: dict[str, dict[str, Any]] = {
    "sd14": {
        "block_out_channels": [64, 64, 64, 64],
        "attention_head_dim": 8,
        "layers_per_block": 1,
        "cross_attention_dim": 16,
    },
    "sdxl": {
        "block_out_channels": [32, 32, 32],
        "layers_per_block": 1,
        "attention_head_dim": 4,
        "cross_attention_dim": 16,
        "transformer_layers_per_block": 1,
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 16 + 6 * 8,
    },
    "pixart": {
        "num_attention_heads": 2,
        "attention_head_dim": 8,
        "num_layers": 2,
        "cross_attention_dim": 16,
        "caption_channels": 16,
        "sample_size": 16,
        "use_additional_conditions": False,
    },
    "sd3": {
        "num_attention_heads": 2,
        "attention_head_dim": 8,
        "num_layers": 3,
        "caption_projection_dim": 16,
        "joint_attention_dim": 16,
        "pooled_projection_dim": 16,
        "sample_size": 16,
    },
    "flux": {
        "num_attention_heads": 2,
        "attention_head_dim": 16,
        "axes_dims_rope": [4, 6, 6],
        "num_layers": 2,
        "num_single_layers": 2,
        "joint_attention_dim": 16,
        "pooled_projection_dim": 16,
    },
}


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes an architecture small."""

    def shrink(name: str, size: int = 16) -> None:
        chosen = report.architecture(name)

        def smaller(key: str, value: Any) -> Any:
            if isinstance(value, dict):
                return {each: smaller(each, shape) for each, shape in value.items()}
            if key == "state":
                return [64, 64] if name == "flux" else [value[0], size, size]
            return [*value[:-1], 16] if value and value[-1] > 16 else value

        shared = {"img_ids": [64, 3], "txt_ids": chosen.shared["txt_ids"]} if chosen.shared else {}
        small = replace(
            chosen,
            config={**chosen.config, **TINY[name]},
            inputs={key: smaller(key, value) for key, value in chosen.inputs.items()},
            shared=shared,
        )
        monkeypatch.setattr(full_size, "architecture", lambda _name: small)

    return shrink


@pytest.mark.parametrize("name", list(TINY))
def test_every_family_is_measured(tiny: Callable[..., None], name: str):
    tiny(name)
    found = full_size.full_size(name, "cpu", repeats=1, strengths=0)
    assert found["dtype"] == "float32"
    assert found["discovery_step"]["activations_mb"] >= found["checkpointed_step"]["activations_mb"] > 0
    assert found["discovery_step"]["memory_mb"] == pytest.approx(
        found["weights_mb"] + found["discovery_step"]["activations_mb"], abs=0.2
    )
    assert found["ratio"]["steered_step"]["seconds"]["value"] > 0
    assert found["ratio"]["discovery_step"]["memory"] > 1


def test_what_many_steps_share_is_not_timed(tiny: Callable[..., None], monkeypatch: pytest.MonkeyPatch):
    """A run opens its hooks and freezes the model once, so neither is part of a step."""
    tiny("sd14")
    timing: list[bool] = [False]
    opened: dict[str, list[bool]] = {"steer": [], "frozen": []}
    seconds = full_size.seconds_of

    def watched(name: str) -> None:
        original = getattr(full_size, name)

        def entering(*args: Any, **options: Any) -> Any:
            opened[name].append(timing[0])
            return original(*args, **options)

        monkeypatch.setattr(full_size, name, entering)

    def timed(*args: Any) -> float:
        timing[0] = True
        try:
            return seconds(*args)
        finally:
            timing[0] = False

    watched("steer")
    watched("frozen")
    monkeypatch.setattr(full_size, "seconds_of", timed)
    found = full_size.full_size("sd14", "cpu", repeats=2, strengths=0)
    # Once to count memory, then before each of the steps that are timed.
    assert opened == {"steer": [False] * (1 + 2 * full_size.PAIRS), "frozen": [False] * 6}
    assert found["repeats"] == 2
    ratios = {step: ratio["seconds"]["n"] for step, ratio in found["ratio"].items()}
    assert ratios == {"steered_step": 2 * full_size.PAIRS, "discovery_step": 2, "checkpointed_step": 2}


@pytest.mark.slow
def test_graphs_are_counted(tiny: Callable[..., None]):
    """Steering adds two: the denoiser's own, and the small one of the hook that looks at its calls, which torch runs
    outside of the graph of the module that was compiled."""
    tiny("sd14", 64)
    found = full_size.full_size("sd14", "cpu", repeats=1, strengths=3)
    assert (found["graphs"], found["graphs_steered"]) == (1, 2)
    assert (found["strengths"], found["recompilations"]) == (3, 0)


def test_the_command_keeps_what_the_file_holds_already(
    tiny: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    tiny("sd14")
    file = tmp_path / "model.json"
    file.write_text(json.dumps({"configs": {"other": {"weights_mb": 1}}}))
    command = ["bench", "model", "--config", "sd14", "--device", "cpu", "--repeats", "1", "--strengths", "0"]
    assert main([*command, "--dtype", "bfloat16", "-o", str(file), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)["configs"]["sd14"]
    held = json.loads(file.read_text())["configs"]
    assert held == {"other": {"weights_mb": 1}, "sd14": printed}
    assert printed["dtype"] == "bfloat16"
    file.write_text("[]")
    assert main([*command, "-o", str(file)]) == 2
    assert "has no figures of this command" in capsys.readouterr().err


def test_an_unknown_configuration_is_an_error_of_one_sentence(capsys: pytest.CaptureFixture[str]):
    assert main(["bench", "model", "--config", "sd15"]) == 2
    assert "Traceback" not in capsys.readouterr().err


def figures() -> dict[str, Any]:
    step = {"seconds": 2.0, "memory_mb": 1200.0, "activations_mb": 200.0}
    ratio = {"seconds": {"value": 2.0, "low": 1.9, "high": 2.1, "n": 3}, "memory": 1.1, "activations": 2.0}
    steps = ("steered_step", "discovery_step", "checkpointed_step")
    row = {"dtype": "float32", "device": "cpu", "threads": 2, "weights_mb": 1000.0}
    return {
        "configs": {
            "sd14": {**row, "plain_step": step, **dict.fromkeys(steps, step), "ratio": dict.fromkeys(steps, ratio)}
        }
    }


def test_tables(tmp_path: Path):
    assert (
        "| sd14, float32, 2 threads | discovery step | 2.00 | 2.000 [1.900, 2.100] | 1,200 | 1.100 | 200 |"
        in tables.table("model", figures())
    )
    # In half precision 500 MB of weights and 100 MB a picture: (8 * 1024 * 0.9 - 500) / 100 = 68.
    assert "| sd14 | 500 | 100 | 64 and more | 64 and more | 64 and more |" in tables.table("memory-plan", figures())
    large = figures()
    large["configs"]["sd14"]["weights_mb"] = 16000.0
    assert "| sd14 | 8,000 | 100 | no | 30 | 64 and more |" in tables.table("memory-plan", large)
    (tmp_path / "model.json").write_text(json.dumps(figures()))
    page = tmp_path / "page.md"
    page.write_text("<!-- table memory-plan: x -->\n<!-- end of table -->\n")
    assert tables.tables([page], tmp_path) == [page]
    assert "| sd14, checkpointed | 500 |" in page.read_text()
