"""`directrix sites`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from directrix.cli import main


@pytest.fixture(scope="module")
def model(pipeline: Any, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    pipeline.save_pretrained(folder)
    return ["--model", str(folder), "--device", "cpu"]


def test_sites_are_listed_with_shapes_and_the_default(model: list[str], capsys: pytest.CaptureFixture[str]):
    assert main(["sites", *model, "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["sites"]}
    assert [name for name, row in rows.items() if row["default"]] == ["mid_block"]
    assert rows["mid_block"]["shape"] == [32, 4, 4] and rows["up_blocks.1"]["shape"] == [32, 8, 8]
    heads = rows["mid_block.attentions.0.transformer_blocks.0.attn2.heads"]
    assert (heads["shape"], heads["layout"], heads["heads"]) == ([32], "channels-last", 4)
    assert main(["sites", *model]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in lines[1:] if line[-1] == "default"] == ["mid_block"]


def test_sites_are_ranked(model: list[str], capsys: pytest.CaptureFixture[str]):
    words = ["--rank", "--target", "a woman", "--neutral", "a person", "--num-inference-steps", "2", "--images", "1"]
    assert main(["sites", *model, *words, "--site", "mid_block", "--site", "down_blocks.1", "--json"]) == 0
    ranked = json.loads(capsys.readouterr().out)["ranked"]
    assert {each["site"]["name"] for each in ranked} == {"mid_block", "down_blocks.1"}
    assert ranked[0]["effect"] >= ranked[1]["effect"]


def test_other_sizes_of_images(model: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: Any):
    assert main(["sites", *model, "--height", "32", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["sites"]}
    assert rows["mid_block"]["shape"] == [32, 8, 4]
    from directrix.discovery import trajectories

    seen = []
    original = trajectories.Recording.draw

    def draw(*arguments: Any) -> None:
        original(*arguments)
        seen.append(tuple(arguments[0].states[-1].shape[-2:]))

    monkeypatch.setattr(trajectories.Recording, "draw", draw)
    words = ["--rank", "--target", "a woman", "--neutral", "a person", "--num-inference-steps", "2", "--images", "1"]
    assert main(["sites", *model, *words, "--site", "mid_block", "--width", "32", "--json"]) == 0
    assert set(seen) == {(8, 16)}


@pytest.mark.parametrize(("words", "message"), [(["--rank"], "for a concept"), (["--target", "a woman"], "--rank")])
def test_half_a_request_is_refused(model: list[str], words: list[str], message: str, capsys: Any):
    assert main(["sites", *model, *words]) == 2
    assert message in capsys.readouterr().err


def test_a_site_that_a_card_names_is_listed_as_the_default(
    model: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    from directrix.models import model_facts

    inner = "up_blocks.0.resnets.0"
    monkeypatch.setattr(model_facts, "cards", lambda: {"tiny": {"site": inner}})
    assert main(["sites", *model, "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["sites"]}
    assert [name for name, row in rows.items() if row["default"]] == [inner]
    assert rows[inner]["shape"] == [32] and rows["mid_block"]["shape"] == [32, 4, 4]
