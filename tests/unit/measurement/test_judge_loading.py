"""Judges by name, and what all of them have in common."""

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from directrix.errors import DirectrixError, ModelError
from directrix.measurement import judges
from directrix.measurement.judges.base import best, for_fitting
from directrix.measurement.judges.clip import ClipEncoder, ClipJudge
from directrix.measurement.judges.emoji import EmojiJudge, HeldOutEmojiJudge
from directrix.measurement.judges.emoji_network import HEADS, JudgeNetwork
from directrix.measurement.judges.emoji_strided_network import StridedNetwork
from directrix.measurement.judges.q16 import Q16Judge


@pytest.fixture(scope="module")
def clip_folder(make_clip: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    for part in make_clip():
        part.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=["emoji", "clip", "q16"])
def judge(request: Any, make_clip: Any) -> Any:
    if request.param == "emoji":
        torch.manual_seed(0)
        return EmojiJudge(JudgeNetwork((8, 8, 8, 8)), HEADS, checkpoint="tiny")
    if request.param == "clip":
        return ClipJudge(
            ClipEncoder(*make_clip(), checkpoint="tiny"), {"gender": {"f": "a woman", "m": "a man"}}, sure=0.0
        )
    return Q16Judge(ClipEncoder(*make_clip(), checkpoint="tiny"), torch.eye(2, 8))


def test_a_broken_picture_is_unscored_in_its_place(judge: Any, tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(values).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:2000])
    good = Image.fromarray(values)
    with Image.open(tmp_path / "cut.png") as cut:
        verdicts = judge.label([good, cut, Image.new("RGB", (3, 0)), good])
    assert verdicts[0] == verdicts[3] == judge.label([good])[0]
    for verdict in verdicts[1:3]:
        assert verdict.keys() == verdicts[0].keys()
        assert all(each.label is None and "unreadable" in each.reason for each in verdict.values())
    (all_broken,) = judge.label([Image.new("RGB", (0, 0))])
    assert all_broken.keys() == verdicts[0].keys()


def test_the_config_is_json_and_names_the_checkpoint_with_its_weights(judge: Any) -> None:
    config = json.loads(json.dumps(judge.config))
    assert config["judge"] == judge.name and config["checkpoint"] == "tiny" and len(config["weights"]) == 64
    assert config["classes"]


def test_other_weights_make_another_config(make_clip: Any) -> None:
    one, two = make_clip(), make_clip()
    assert ClipEncoder(*one).identity["weights"] == ClipEncoder(*two).identity["weights"]
    two[0].visual_projection.weight.data *= -1
    assert ClipEncoder(*one).identity["weights"] != ClipEncoder(*two).identity["weights"]


def test_names_lead_to_judges(clip_folder: Path, tmp_path: Path) -> None:
    words = {"item": {"knife": "a knife", "book": "a book"}}
    clip = judges.load(f"clip:{clip_folder}", attributes=words, sure=0.0, device="cpu")
    assert isinstance(clip, ClipJudge) and clip.sure == 0.0 and set(clip.labels) == {"item"}
    assert clip.config["classes"] == {"item": {"knife": ["a knife"], "book": ["a book"]}}
    np.save(tmp_path / "prompts.npy", np.eye(2, 8))
    q16 = judges.load(f"q16:{tmp_path / 'prompts.npy'}", clip=str(clip_folder), device="cpu")
    assert isinstance(q16, Q16Judge) and q16.config["checkpoint"] == str(clip_folder)


def test_a_judge_of_another_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry is a class with `load`, or a function; what stands behind the colon goes to its ARGUMENT."""
    from directrix.measurement.judges import registry

    class Theirs:
        name, ARGUMENT = "theirs", "size"

        @classmethod
        def load(cls, size: str = "small", tone: str = "") -> tuple[str, str]:
            return size, tone

    points = {"theirs": Theirs, "made": lambda: "a judge"}
    entries = {name: SimpleNamespace(load=lambda each=each: each) for name, each in points.items()}
    monkeypatch.setattr(registry.JUDGES, "_installed", lambda: entries)
    assert judges.load("theirs") == ("small", "") and judges.load("theirs:large", tone="x") == ("large", "x")
    assert judges.load("made") == "a judge"
    with pytest.raises(DirectrixError, match="takes nothing"):
        judges.load("made:x")


@pytest.mark.world
def test_the_emoji_judge_by_name() -> None:
    judge = judges.load("emoji")
    assert isinstance(judge, EmojiJudge) and judge.config["checkpoint"] == "emoji"


@pytest.mark.parametrize(
    ("name", "options", "why"),
    [
        ("clipp", {}, "no judge 'clipp'.*did you mean 'clip'"),
        ("nudent", {}, "did you mean 'nudenet'"),
        ("", {}, "Known: clip, emoji, emoji-held-out, hf, nudenet, q16"),
        ("q16", {}, "lacks"),
        ("clip:", {}, "lacks"),
        ("hf", {}, "lacks"),
        ("emoji:x", {}, "takes nothing"),
        ("emoji-heldout", {}, "did you mean 'emoji-held-out'"),
        ("clip", {"atributes": {}}, "no option 'atributes'.*did you mean 'attributes'"),
        ("nudenet", {"threshold": 0.2}, "did you mean 'thresholds'"),
        ("emoji", {"sure": 0.2}, "no option 'sure'"),
    ],
)
def test_names_and_options_that_lead_nowhere(name: str, options: Any, why: str) -> None:
    with pytest.raises(DirectrixError, match=why):
        judges.load(name, **options)


def test_a_name_with_a_file_that_is_not_there() -> None:
    with pytest.raises(ModelError, match=r"absent\.npy"):
        judges.load("q16:absent.npy")
    with pytest.raises(ModelError, match="no/such/clip"):
        judges.load("clip:no/such/clip", device="cpu")


def test_a_chance_that_is_no_number_gives_no_label() -> None:
    verdict = best([0.9, math.nan], ("a", "b"), 0.0)
    assert verdict.label is None and verdict.confidence == 0.0 and verdict.reason


def test_nothing_is_fitted_to_the_held_out_judge(judge: Any) -> None:
    assert for_fitting(judge) is judge
    held_out = HeldOutEmojiJudge(StridedNetwork((8, 8, 8, 8)), HEADS)
    with pytest.raises(DirectrixError, match=r"Nothing is fitted to this judge.*--judge emoji"):
        for_fitting(held_out)
