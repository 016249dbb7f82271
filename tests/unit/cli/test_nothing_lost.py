"""What a user has stays: rows with any character, images of another run, files beside ours, work that was stopped."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from directrix.cli import generate as drawing
from directrix.cli import main
from directrix.directions.direction import Direction
from directrix.generation import manifest
from directrix.measurement.evaluation.judgements import _read_verdicts
from directrix.models.locks import locked

# What Python's own splitlines takes for ends of lines.
SEPARATORS = ("\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029")
QUICK = ("--num-inference-steps", "1")


@pytest.fixture(scope="module")
def model(make_pipeline: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of the tiny pipeline."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    make_pipeline().save_pretrained(folder)
    return str(folder)


@pytest.fixture
def generate(model: str, tmp_path: Path) -> Any:
    """Runs `directrix generate` into a folder of the test's."""
    return lambda *words: main(["generate", "--model", model, *QUICK, "-o", str(tmp_path / "out"), *words])


def test_a_prompt_may_hold_any_separator_but_the_end_of_a_line(
    model: str, generate: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    prompts = [f"a judge{each}x" for each in SEPARATORS]
    (tmp_path / "mine.txt").write_text("".join(f"{each}\n" for each in prompts), encoding="utf-8", newline="\n")
    table = io.StringIO(newline="")
    csv.writer(table, lineterminator="\n").writerows([["prompt"], *([each] for each in prompts)])
    (tmp_path / "mine.csv").write_text(table.getvalue(), encoding="utf-8", newline="\n")
    for file in ("mine.txt", "mine.csv"):
        assert generate("--prompts", str(tmp_path / file), "--json") == 0
        rows = json.loads(capsys.readouterr().out)["images"]
        assert [row["prompt"] for row in rows] == prompts
    assert [row["prompt"] for row in manifest.read(tmp_path / "out").values()] == prompts
    run = tmp_path / "run"
    command = ["evaluate", str(tmp_path / "mine.txt"), "--model", model, *QUICK, "--judge", "emoji", "-n", "1"]
    assert main([*command, "--attribute", "gender", "-o", str(run), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert list(summary["counts"]["none"]["gender"][""]) == prompts
    (verdicts,) = run.glob("verdicts-*.jsonl")
    assert len(_read_verdicts(verdicts)) == len({row["sha256"] for row in manifest.read(run).values()})
    assert main(["report", str(run)]) == 0
    assert "a judge" in (run / "index.html").read_text(encoding="utf-8")


def test_another_prompt_does_not_draw_over_what_is_there(
    generate: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert generate("--prompt", "a firefighter", "-n", "3") == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert generate("--prompt", "a judge") == 2
    assert "holds images of another run" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    assert generate("--prompt", "a judge", "--overwrite") == 0
    assert [row["prompt"] for row in manifest.read(tmp_path / "out").values()] == ["a judge", *["a firefighter"] * 2]


def test_a_folder_that_somebody_writes_to_is_refused_and_goes_on_when_it_is_free(
    generate: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    with locked(tmp_path / "out"):
        assert generate("--prompt", "a judge") == 2
        assert f"is being written by process {os.getpid()}" in capsys.readouterr().err
        assert not list((tmp_path / "out").glob("*.png"))
    assert generate("--prompt", "a judge") == 0


def test_contact_sheets_are_paged_and_made_once(
    generate: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(drawing, "_PAGE", 4)
    for words in (("-n", "5"), ("--prompt", "a cook", "-n", "2"), ("--prompt", "a cook", "-n", "5")):
        assert generate("--prompt", "a judge", *words, "--json", "--overwrite") == 0
        data = json.loads(capsys.readouterr().out)
        sheets = [Path(each) for each in data["contact_sheets"]]
        assert data["contact_sheet"] == str(sheets[0]) and all(each.is_file() for each in sheets)
        assert len(sheets) == {5: 2, 4: 1, 10: 3}[len(data["images"])]
        times = [each.stat().st_mtime_ns for each in sheets]
        assert generate("--prompt", "a judge", *words) == 0
        capsys.readouterr()
        assert [each.stat().st_mtime_ns for each in sheets] == times


@pytest.mark.parametrize("noun", ["a ../../x", "an a/b", "a ..", "a c:\\x", "a \u202e", "a " + "x" * 300])
def test_an_object_s_file_stays_in_its_folder(model: str, tmp_path: Path, noun: str):
    folder = tmp_path / "a" / "b"
    command = ["discover", "--model", model, "--object", noun, "--training-images", "1", "--no-calibration"]
    assert main([*command, "-o", str(folder)]) == 0
    (file,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert file.parent == folder and file.suffix == ".safetensors"
    assert Direction.load(file).name == noun.partition(" ")[2]


def test_two_objects_of_one_file_name_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["discover", "--object", "a x/y", "--object", "a X?y", "-o", str(tmp_path)]) == 2
    assert "make the same file name" in capsys.readouterr().err


def test_a_checkpoint_leaves_what_a_user_put_there_and_refused_settings_leave_nothing(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    output = tmp_path / "w.safetensors"
    folder = tmp_path / "w.safetensors.checkpoint"
    command = ["discover", "--model", model, "--target", "a woman", "--neutral", "a person", "--training-images", "1"]
    command += ["--no-calibration", "-o", str(output)]
    for wrong in (("--height", "7"), ("--width", "17"), ("--method", "trajectory", "--learning-rate", "1e38")):
        code = main([*command, *wrong])
        said = capsys.readouterr().err
        assert code in (0, 2) and "Traceback" not in said and not folder.exists(), said
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    assert main([*command, "--height", "16"]) == 0
    assert (folder / "notes.txt").read_text() == "mine"
    assert {path.name for path in folder.iterdir()} == {"notes.txt", ".lock"}


def test_what_was_not_calibrated_says_so(
    generate: Any, make_direction: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    path = tmp_path / "woman.safetensors"
    for calibration in ({}, {"calibration": {"judge": "any"}}):
        make_direction("woman").with_(provenance=calibration).save(path)
        assert main(["inspect", str(path)]) == 0
        assert ("not calibrated" in capsys.readouterr().out) is not bool(calibration)
        assert generate("--prompt", "a judge", "--direction", str(path), "--overwrite") == 0
        assert ("woman was not calibrated" in capsys.readouterr().err) is not bool(calibration)
