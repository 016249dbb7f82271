"""`directrix doctor`: what is there, what is wrong, and what to do."""

import json

import pytest
from safetensors.torch import save_file

from directrix.cli import main
from directrix.models import embedded, installation


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """A folder of weights with one file, noted."""
    import torch

    monkeypatch.setattr(embedded, "WEIGHTS", tmp_path)
    (tmp_path / "emoji").mkdir()
    save_file({"a": torch.zeros(2)}, tmp_path / "emoji" / "judge.safetensors")
    embedded.write_checksums()
    return tmp_path


def test_versions_devices_and_what_is_wrong(weights, capsys):
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["packages"]["torch"] and found["devices"][-1]["name"] == "cpu" and found["memory"]["free"] > 0
    assert found["models"] == [
        {"file": "emoji/judge.safetensors", "sha256": found["models"][0]["sha256"], "state": "whole"}
    ]
    # Tests are offline.
    assert found["hub"] == {"reachable": False, "why": "HF_HUB_OFFLINE is set"}
    assert all(each["what"] and each["remedy"] for each in found["problems"])
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    for part in (
        "what is wrong, and what to do",
        "cannot be reached: HF_HUB_OFFLINE",
        "peft",
        "emoji/judge.safetensors",
    ):
        assert part in text


@pytest.mark.parametrize("change", ["damaged", "missing"])
def test_an_embedded_file_that_is_not_whole_is_named(weights, change):
    file = weights / "emoji" / "judge.safetensors"
    if change == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-1] + b"x")
    problems = [each for each in installation.examined()["problems"] if "judge.safetensors" in each["what"]]
    assert len(problems) == 1 and change in problems[0]["what"] and "reinstall" in problems[0]["remedy"]


@pytest.mark.world
def test_the_embedded_models_are_those_that_are_noted():
    assert embedded.checksums()
    assert [each for each in installation._models() if each["state"] != "whole"] == []
