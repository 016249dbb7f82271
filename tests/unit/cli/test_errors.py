"""Bad input on the command line: one clear message, exit code 2, no traceback, nothing lost."""

import json

import pytest
import torch

from directrix.cli import main
from directrix.directions.direction import Direction


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


@pytest.fixture
def refused(capsys):
    """Runs a command that must fail, and returns its message."""

    def run(*command):
        assert main([str(part) for part in command]) == 2
        said = capsys.readouterr()
        assert said.out == ""
        lines = [line for line in said.err.splitlines() if line.startswith("directrix ")]
        assert len(lines) == 1, said.err
        assert "Traceback" not in said.err
        assert "Try:" in lines[0]
        return lines[0]

    return run


def discover(output, *more):
    method = ["--method", "reconstruction", "--no-calibration"]
    return ["discover", "--target", "a woman", "--neutral", "a person", *method, "-o", output, *more]


def generate(output, *more):
    return ["generate", "--prompt", "a pilot", "--num-inference-steps", "1", "-o", output, *more]


def test_unknown_model(refused, tmp_path):
    assert "emojii" in refused(*discover(tmp_path / "w.safetensors", "--model", "emojii"))
    assert "emojii" in refused(*generate(tmp_path / "out", "--model", "emojii"))


def test_a_judge_that_is_missing_is_told_before_the_discovery(refused, model, tmp_path, monkeypatch):
    from directrix.errors import ModelError
    from directrix.measurement.calibration import target

    def missing(*_, **__):
        raise ModelError("There is no CLIP here.")

    monkeypatch.setattr("directrix.cli.calibration.check_judge", lambda *_: None)
    monkeypatch.setattr(target, "judge_for", missing)
    command = ["discover", "--neutral", "a person", "--target", "a woman", "--model", model]
    said = refused(*command, "-o", tmp_path / "woman.safetensors")
    assert "There is no CLIP here" in said and "--no-calibration" in said
    assert not (tmp_path / "woman.safetensors.checkpoint").exists()


def test_unknown_method_names_the_nearest(refused, tmp_path):
    assert "did you mean 'distillation'" in refused(*discover(tmp_path / "w.safetensors", "--method", "destillation"))


@pytest.mark.parametrize("role", ["--target", "--neutral", "--negative"])
def test_empty_prompt_of_a_concept(refused, tmp_path, role):
    command = discover(tmp_path / "w.safetensors")
    if role in command:
        command[command.index(role) + 1] = "  "
    else:
        command += [role, ""]
    assert "empty" in refused(*command)


def test_empty_prompt_of_a_picture(refused, tmp_path):
    assert "empty" in refused("generate", "--prompt", " ", "-o", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("strength", ["strong", "", "1,5"])
def test_strength_that_is_no_number(refused, woman, tmp_path, strength):
    assert "not a number" in refused(*generate(tmp_path / "out", "--direction", f"{woman}:{strength}"))


@pytest.mark.parametrize("strength", ["nan", "inf"])
def test_strength_that_is_not_finite(refused, model, woman, tmp_path, strength):
    said = refused(*generate(tmp_path / "out", "--model", model, "--direction", f"{woman}:{strength}"))
    assert strength in said


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_truncated_file(refused, woman, tmp_path, share):
    data = woman.read_bytes()
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(data[: int(share * len(data))])
    assert "cut.safetensors" in refused("inspect", cut)
    assert "cut.safetensors" in refused(*generate(tmp_path / "out", "--direction", cut))


def test_foreign_files(refused, tmp_path):
    from safetensors.torch import save_file

    foreign = tmp_path / "lora.safetensors"
    save_file({"lora_A": torch.zeros(2, 2)}, foreign)
    text = tmp_path / "notes.safetensors"
    text.write_text("not a tensor at all")
    assert "is a LoRA" in refused("inspect", foreign)
    assert "notes.safetensors" in refused("inspect", text)
    assert "absent.safetensors" in refused("inspect", tmp_path / "absent.safetensors")
    assert "folder" in refused("inspect", tmp_path)


def test_direction_of_another_model(refused, model, make_direction, other_pipeline, tmp_path):
    path = tmp_path / "foreign.safetensors"
    make_direction("foreign", of=other_pipeline).save(path)
    assert "foreign" in refused(*generate(tmp_path / "out", "--model", model, "--direction", path))
    assert not list((tmp_path / "out").glob("*.png"))


def test_output_that_cannot_be_written(refused, woman, tmp_path):
    # A file where a folder should be stops root too, whom permissions do not.
    blocked = tmp_path / "file"
    blocked.write_text("kept")
    assert "cannot be written" in refused(*discover(blocked / "woman.safetensors"))
    assert "cannot be written" in refused(*generate(blocked))
    assert "cannot be written" in refused("demo", "-o", blocked)
    assert "is a folder" in refused(*discover(tmp_path))
    assert blocked.read_text() == "kept"


def test_checkpoint_of_other_settings_is_kept(refused, model, tmp_path):
    output = tmp_path / "woman.safetensors"
    folder = tmp_path / "woman.safetensors.checkpoint"
    folder.mkdir()
    (folder / "settings.json").write_text(json.dumps({"seed": 7}))
    said = refused(*discover(output, "--model", model, "--training-images", "2", "--optimizer-steps", "1"))
    assert "other settings" in said
    assert json.loads((folder / "settings.json").read_text()) == {"seed": 7}


@pytest.mark.parametrize(
    ("command", "part"),
    [
        (["generate", "--prompt", "a pilot", "-o", "out", "-n", "0"], "--images-per-prompt"),
        (["generate", "--prompt", "a pilot", "-o", "out", "--start", "2"], "'--start' is 2.0. Expected: a number"),
        (["generate", "--prompt", "a pilot", "-o", "out", "--start", "nan"], "'--start' is nan."),
        (["generate", "--prompt", "a pilot", "-o", "out", "--seed", "-1"], "--seed"),
        (["generate", "--prompt", "a pilot"], "Missing option '--output'"),
        (["generate", "--prompt", "a pilot", "-o", "out", "--branch", "both?"], "--branch"),
        (["generate", "--prompt"], "--prompt"),
        (["demo", "--seed", "1.5"], "--seed"),
        (["demo", "out"], "unexpected extra argument"),
        (["discover", "--neutral", "a person", "-o", "w", "--optimizer-steps", "many"], "--optimizer-steps"),
        (["discover", "--neutral", "a person", "-o", "w", "--learning-rate", "nan"], "'--learning-rate' is nan."),
        (["generate", "--branch", "foo"], "'--branch': 'foo' is not one of 'conditional',"),
        (["generate", "-n", "0"], "greater than or equal to 1. Try:"),
        (["bench"], "Missing command"),
        ([], "Missing command"),
    ],
)
def test_usage_errors_leave_with_2(command, part, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(command) == 2
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert line.startswith(" ".join(["directrix", *command[:1]]) + ": ") and part in line
    assert said.out == "" and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("command", "verb", "part"),
    [
        (["genrate", "--prompt", "a pilot"], "genrate", "There is no verb 'genrate'"),
        (["genrate"], "genrate", "did you mean 'generate'?"),
        (["world", "pth"], "world pth", "did you mean 'path'?"),
        (["gage"], "gage", "There is no verb 'gage'"),
        (["generate", "--direktion", "w.safetensors"], "generate", "did you mean '--direction'?"),
        # Today's name is offered, also for what looks like the old one.
        (["generate", "--concpt", "w.safetensors"], "generate", "'--concpt'. Try: did you mean '--direction'?"),
        (["bench", "model", "--konfig", "sd14"], "bench model", "did you mean '--config'?"),
        (["generate", "--xyzzy"], "generate", "There is no option '--xyzzy'. Try: `directrix generate --help`."),
    ],
)
def test_the_nearest_verb_or_option_is_named(command, verb, part, capsys):
    assert main(command) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"directrix {verb}: ") and part in line


def test_an_unexpected_error_is_not_hidden(monkeypatch, woman):
    """A fault of ours keeps its traceback: nobody could report it otherwise."""

    def broken(path):
        raise RuntimeError("ours")

    monkeypatch.setattr(Direction, "load", broken)
    with pytest.raises(RuntimeError, match="ours"):
        main(["inspect", str(woman)])


def test_ctrl_c_in_a_demo_says_what_to_type(monkeypatch, tmp_path, capsys):
    from directrix.errors import InterruptedRun
    from directrix.experiments import demo

    def interrupted(*_arguments, **_settings):
        raise InterruptedRun("The discovery was interrupted.", remedy="pass checkpoint=FOLDER next time.")

    monkeypatch.setattr(demo, "demo", interrupted)
    assert main(["demo", "-o", str(tmp_path)]) == 130
    said = capsys.readouterr().err
    assert "was interrupted. The page is written at the end; run the same command again." in said
    assert "FOLDER" not in said


def test_ctrl_c_elsewhere(monkeypatch, woman, capsys):
    def interrupted(path):
        raise KeyboardInterrupt

    monkeypatch.setattr(Direction, "load", interrupted)
    assert main(["inspect", str(woman)]) == 130
    assert "Interrupted" in capsys.readouterr().err
