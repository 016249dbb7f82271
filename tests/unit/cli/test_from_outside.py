"""What comes from outside, in files and in words: refused in one line, printed without escapes, not loaded unasked."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file

from directrix.cli import main, options
from directrix.models.identity import ModelIdentity

DEMO = Path(__file__).parents[3] / "results" / "demo.json"


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command that must fail, and returns its one line."""

    def run(*words: object) -> str:
        assert main([str(each) for each in words]) == 2
        found = capsys.readouterr()
        (line,) = [each for each in found.err.splitlines() if each.startswith("directrix ")]
        assert found.out == "" and "Traceback" not in found.err
        return line

    return run


@pytest.mark.parametrize("name", ["../../x", "attacker/evil", "runwayml/stable-diffusion-v1-5"])
def test_a_card_loads_no_model_that_only_the_file_names(
    said: Any, make_direction: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    def loaded(self: object, otherwise: str = "") -> None:
        raise AssertionError("loaded")

    monkeypatch.setattr(options.Model, "load", loaded)
    path = tmp_path / "woman.safetensors"
    direction = make_direction("woman")
    direction.with_(model=ModelIdentity(name, "", direction.model.fingerprint)).save(path)
    assert f"the model '{name}', which is not loaded unasked" in said("card", path)
    with pytest.raises(AssertionError, match="loaded"):
        main(["card", str(path), "--model", name])


def test_a_benchmark_loads_no_checkpoint_that_only_it_names(said: Any, tmp_path: Path):
    (tmp_path / "prompts.csv").write_text("prompt,gender\na judge,female\n")
    (tmp_path / "benchmark.yaml").write_text(
        "{name: b, version: 1, licence: MIT, description: d, measures: [obedience], expected: [gender],"
        " judge: 'hf:attacker/evil'}"
    )
    assert "hf:attacker/evil', which is not loaded unasked" in said("evaluate", tmp_path, "-o", tmp_path / "run")


@pytest.mark.parametrize("data", ["/etc/passwd", "../prompts.csv", "a/../../prompts.csv"])
def test_a_benchmark_reads_tables_of_its_own_folder_only(said: Any, tmp_path: Path, data: str):
    (tmp_path / "mine").mkdir()
    (tmp_path / "prompts.csv").write_text("prompt\na judge\n")
    (tmp_path / "mine" / "benchmark.yaml").write_text(
        f"{{name: b, version: 1, licence: MIT, description: d, measures: [quality], data: {data}}}"
    )
    assert "a file beside it" in said("evaluate", tmp_path / "mine", "-o", tmp_path / "run")


@pytest.mark.parametrize(
    ("metadata", "part"),
    [
        ("[" * 100_000, "inside one another"),
        ('{"format": 1, "strengths": {"default": 1' + "0" * 400 + "}}", "401 characters"),
        ('{"format": 1, "name": "\\ud800"}', "half a character"),
        ('{"format": 1, "strengths": {"default": NaN}}', "NaN"),
    ],
)
def test_metadata_out_of_bounds(said: Any, make_direction: Any, tmp_path: Path, metadata: str, part: str):
    path = tmp_path / "woman.safetensors"
    save_file({"direction": make_direction("woman").tensor}, path, {"directrix": metadata})
    assert part in said("inspect", path)


def test_escapes_in_names_are_not_obeyed(make_direction: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "woman.safetensors"
    make_direction("wo\x1b[31mman\x9b1m\u202e").save(path)
    for more in ((), ("--json",)):
        assert main(["inspect", str(path), *more]) == 0
        out = capsys.readouterr().out
        assert "\\u001b[31m" in out and not set("\x1b\x9b\u202e") & set(out)
    assert json.loads(out)["directions"][0]["name"] == "wo\x1b[31mman\x9b1m\u202e"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a run whose summary is the demo's."""
    from PIL import Image

    folder = tmp_path / "run"
    folder.mkdir()
    Image.new("RGB", (8, 8), "red").save(folder / "a.png")
    Image.new("RGB", (8, 8), "blue").save(tmp_path / "elsewhere.png")
    (folder / "summary.json").write_bytes(DEMO.read_bytes())
    return folder


@pytest.mark.parametrize("file", ["/elsewhere.png", "../elsewhere.png", "link/elsewhere.png"])
def test_a_page_shows_pictures_of_its_run_only(run: Path, file: str, capsys: pytest.CaptureFixture[str]):
    (run / "link").symlink_to(run.parent)
    row = {"prompt": "a judge", "prompt_index": 0, "image_index": 0, "method": "unsteered", "prompt_id": "0"}
    foreign = row | {"file": str(run.parent) + file if file.startswith("/") else file}
    rows = [row | {"file": "a.png"}, foreign]
    (run / "manifest.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows))
    assert main(["report", str(run)]) == 0
    assert (run / "index.html").read_text().count('src="data:image/png') == 1
    assert "1 line is left out" in capsys.readouterr().err


@pytest.mark.parametrize(
    "change",
    [
        lambda summary: summary["methods"]["unsteered"]["obeyed"]["mean"].update(n='"><script>alert(1)</script>'),
        lambda summary: summary["unscored"]["unsteered"].update(gender="<script>alert(1)</script>"),
        lambda summary: summary["counts"]["unsteered"]["gender"][""]["a pilot"].update(female="<script>"),
        lambda summary: summary["methods"]["unsteered"]["obeyed"].update(mean={"value": "<script>"}),
        lambda summary: summary.update(prompts="<script>"),
    ],
)
def test_a_summary_with_texts_for_numbers_is_refused(said: Any, run: Path, change: Callable[[Any], None]):
    summary = json.loads(DEMO.read_text())
    change(summary)
    (run / "summary.json").write_text(json.dumps(summary))
    assert "summary.json' > " in said("report", run)
    assert not (run / "index.html").exists()


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["generate", "--prompt", "caf\udce9", "-o", "out"], "is not text in UTF-8"),
        (["generate", "--prompt", "a judge", "-n", "1000000000", "-o", "out"], r"(equal to |<=)1000000\b"),
        (["generate", "--prompt", "a judge", "--num-inference-steps", "5000", "-o", "out"], r"(equal to |<=)1000\b"),
        (["generate", "--prompt", "a judge", "--height", "9" * 5000, "-o", "out"], "--height"),
        (["generate", "--prompt", "a judge", "--guidance-scale", "nan", "-o", "out"], "'--guidance-scale' is nan"),
    ],
)
def test_words_out_of_bounds(said: Any, words: list[str], part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert re.search(part, said(*words))
    assert not list(tmp_path.iterdir())


def test_a_run_of_too_many_images(pipeline: Any):
    from directrix.errors import DirectrixError
    from directrix.generation.generate import generate

    with pytest.raises(DirectrixError, match="2,000,000 images were asked for"):
        generate(pipeline, ["a judge", "a pilot"], 1_000_000)


@pytest.mark.parametrize(
    ("file", "settings"),
    [
        ("tokenizer/tokenizer_config.json", {"model_max_length": "-1"}),
        ("scheduler/scheduler_config.json", {"timestep_spacing": " "}),
        ("unet/config.json", {"sample_size": [8, 8, 8]}),
    ],
)
def test_a_model_whose_settings_do_not_go_together(
    said: Any, make_pipeline: Any, tmp_path: Path, file: str, settings: dict[str, Any]
):
    make_pipeline().save_pretrained(tmp_path / "model")
    path = tmp_path / "model" / file
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))
    model = ("--model", tmp_path / "model", "--prompt", "a judge", "-n", 1, "--num-inference-steps", 1)
    assert "model" in said("generate", *model, "-o", tmp_path / "out")


def test_a_fault_of_ours_is_no_fault_of_the_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    def faulty(self: object, otherwise: str = "") -> None:
        raise TypeError("ours")

    monkeypatch.setattr(options.Model, "load", faulty)
    with pytest.raises(TypeError, match="ours"):
        main(["generate", "--prompt", "a judge", "-o", str(tmp_path / "out")])


def test_a_long_word_makes_no_long_error(said: Any, tmp_path: Path):
    line = said("inspect", "a" * 100_000)
    assert len(line) < 2200 and "Try: " in line
