"""What a new user meets first: slips that are named, and warnings that are one line."""

import re
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
