"""What a new user meets first: slips that are named, and warnings that are one line."""

import json
import re
import shlex
import warnings

import pytest

from directrix.cli import main


@pytest.fixture(scope="module")
def model(make_pipeline, tmp_path_factory):
    """Folder of the tiny pipeline."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    make_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture
def woman(make_direction, tmp_path):
    """A direction file of the tiny pipeline."""
    path = tmp_path / "woman.safetensors"
    make_direction("woman").save(path)
    return path


@pytest.mark.parametrize(
    ("option", "slip", "meant"),
    [("--branch", "condtional", "conditional"), ("--branch", "Both", "both"), ("--dtype", "floot16", "float16")],
)
def test_the_nearest_choice_is_named(option, slip, meant, capsys):
    assert main(["generate", "--prompt", "a judge", option, slip, "-o", "absent"]) == 2
    assert f"Try: did you mean '{meant}'?" in capsys.readouterr().err


@pytest.mark.parametrize("strength", [99, -40])
def test_a_strength_far_beyond_its_range_is_one_line(model, woman, tmp_path, capsys, strength):
    command = ["generate", "--model", str(model), "--prompt", "a judge", "--num-inference-steps", "1"]
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert main([*command, "--direction", f"{woman}:{strength}", "-o", str(tmp_path / "out")]) == 0
    said = [line for line in re.split(r"[\r\n]", capsys.readouterr().err) if "range" in line or "warn" in line.lower()]
    assert said == [f"Note: The strength {strength} of 'woman' is outside its range, -1.5 to 1.5: images may break up."]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("p.txt", "a judge\n\na nurse, smiling\n", ["a judge", "a nurse, smiling"]),
        ("p.csv", "id,prompt\n7,a judge\n8,a cook\n", ["a judge", "a cook"]),
        ("p.csv", 'prompt\n"a cook, at night"\n', ["a cook, at night"]),
        ("p.csv", "a judge\na cook\n", ["a judge", "a cook"]),
    ],
)
def test_prompts_come_from_a_file(model, tmp_path, capsys, name, text, expected):
    (tmp_path / name).write_text(text)
    command = ["generate", "--model", str(model), "--num-inference-steps", "1", "--json", "-o", str(tmp_path / "out")]
    assert main([*command, "--prompts", str(tmp_path / name)]) == 0
    assert [row["prompt"] for row in json.loads(capsys.readouterr().out)["images"]] == expected


def test_the_name_of_a_file_is_no_prompt(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.csv").write_text("prompt\na judge\n")
    assert main(["generate", "--prompt", "my.csv", "-o", "out"]) == 2
    assert "did you mean '--prompts my.csv'?" in capsys.readouterr().err
    assert main(["generate", "-o", "out"]) == 2
    assert "There is no prompt" in capsys.readouterr().err
    (tmp_path / "no.txt").write_text("\n")
    assert main(["generate", "--prompts", "no.txt", "-o", "out"]) == 2
    assert main(["evaluate", "absent.csv", "-o", "out"]) == 2
    assert main(["evaluate", "emoji-occupations", "--attribute", "gender", "-o", "out"]) == 2
    assert "goes with a file of prompts" in capsys.readouterr().err


def test_a_file_of_prompts_is_evaluated_by_prompt_and_the_judge_is_doubted(model, tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("a judge\na nurse, smiling\na judge\n")
    command = ["evaluate", str(tmp_path / "mine.txt"), "--model", str(model), "--num-inference-steps", "1"]
    run = tmp_path / "run"
    assert main([*command, "--attribute", "gender", "--judge", "emoji", "-n", "2", "-o", str(run), "--json"]) == 0
    said = capsys.readouterr()
    summary = json.loads(said.out)
    groups = summary["counts"]["none"]["gender"][""]
    assert list(groups) == ["a judge", "a nurse, smiling", "a judge (2)"]
    assert "knows images of the embedded models alone" in said.err and "--judge clip" in summary["warnings"][0]
    assert main(["report", str(run)]) == 0
    page = (run / "index.html").read_text()
    assert "knows images of the embedded models alone" in page
    assert 'download="figures.csv"' in page and 'href="images-1.html"' in page
    assert 'href="pictures/none/0000-000.png"' in page and "a nurse, smiling" in page
    images = (run / "images-1.html").read_text()
    assert images.count("<img") == 6 and (run / "pictures/none/0002-001.png").is_file()


def test_a_policy_to_begin_with_says_what_to_find_first(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["policy", "--starter", "-o", "policy.yaml"]) == 0
    assert main(["policy", "policy.yaml"]) == 0
    said = capsys.readouterr().out
    commands = [shlex.split(line) for line in said.splitlines() if line.startswith("  directrix ")]
    assert [each[1] for each in commands] == ["discover", "discover"]
    assert commands[0][2:4] == ["--attribute", "gender"] and "directions/no weapon.safetensors" in commands[1]
    (tmp_path / "policy.yaml").write_text("directions: [directions/]\nfiar: {gender: uniform}\n")
    assert main(["policy", "policy.yaml"]) == 2
    assert "did you mean 'fair'?" in capsys.readouterr().err
