"""The command line on a tiny random model: every verb does its work, and says it as text and as JSON."""

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from directrix import progress
from directrix.cli import VERBS, main, old_spellings, options, parser
from directrix.cli.app import HELP
from directrix.directions.direction import Direction

QUICK = ["--training-images", "4", "--optimizer-steps", "6", "--batch-size", "2", "--learning-rate", "0.1"]


@pytest.fixture(scope="module")
def model(make_pipeline, tmp_path_factory):
    """Folder of the tiny pipeline."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    make_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    """Discovery draws with two denoising steps in place of the model's fifty."""
    from directrix import models

    facts = models.facts
    monkeypatch.setattr(models, "facts", lambda pipeline: _with_steps(facts(pipeline), 2))


def _with_steps(facts, steps):
    from dataclasses import replace

    return replace(facts, num_inference_steps=steps)


def discover(model, output, *more):
    return [
        *("discover", "--model", str(model), "--target", "a woman", "--neutral", "a person"),
        *("--method", "reconstruction", "--no-calibration", "-o", str(output), *QUICK, *more),
    ]


@pytest.fixture(scope="module")
def woman(pipeline, tmp_path_factory):
    """A direction file of the tiny pipeline."""
    import torch

    from directrix import models
    from directrix.directions.direction import Direction
    from directrix.models import sites

    tensor = torch.randn(32, 4, 4, generator=torch.Generator().manual_seed(0))
    direction = Direction("woman", tensor, sites.find(pipeline), models.identity(pipeline))
    path = tmp_path_factory.mktemp("directions") / "woman.safetensors"
    direction.save(path)
    return path


HEAVY = {
    "torch",
    "diffusers",
    "transformers",
    "numpy",
    "PIL",
    "yaml",
    "pydantic",
    "rich",
    "scipy",
    "matplotlib",
    "jinja2",
}
COMMANDS = (
    *(name for name in VERBS if name not in ("bench", "world")),
    *("bench occupations", "bench discovery", "bench evaluation", "bench guidance", "bench scale"),
    "bench model",
    *("world list", "world path", "world report", "world renders", "world reference", "world train", "world fetch"),
)


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from directrix.cli import main\n"
        f"for words in ['', *{COMMANDS!r}]: assert main([*words.split(), '--help']) == 0\n"
        f"print(sorted({HEAVY!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_verb_has_help(command, capsys):
    assert main([*command.split(), "--help"]) == 0
    said = capsys.readouterr().out
    assert "--json" in said and f"directrix {command} " in said
    verb = parser()
    for word in command.split():
        verb = verb.commands[word]
    for parameter in verb.params:
        assert parameter.help and parameter.help[-1] == ".", parameter.name


def test_embedded_models_are_listed_each_with_its_folder(capsys):
    assert main(["world", "list", "--json"]) == 0
    listed = {each["name"]: each for each in json.loads(capsys.readouterr().out)["models"]}
    assert listed["emoji-sd3"]["class"] == "StableDiffusion3Pipeline" and listed["emoji"]["megabytes"] > 1
    for name, each in listed.items():
        assert main(["world", "path", name]) == 0
        assert capsys.readouterr().out.strip() == each["path"] and (Path(each["path"]) / "model_index.json").is_file()
    assert main(["world", "path", "emoji-sd4"]) != 0
    assert "did you mean 'emoji-sd3'" in capsys.readouterr().err


def test_help_is_of_verbs_and_options_that_there_are():
    for name, page in HELP.items():
        verb = parser()
        for word in name.split():
            verb = verb.commands[word]
        explained = re.findall(r"^- (\w+)", page, re.MULTILINE)
        assert set(explained) <= {parameter.name for parameter in verb.params}, name


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("directrix ")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_completes_verbs_and_options(shell):
    def directrix(**variables):
        code = "import sys; from directrix.cli import main; sys.exit(main())"
        command = [sys.executable, "-c", code]
        return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **variables})

    script = directrix(_DIRECTRIX_COMPLETE=f"source_{shell}")
    assert script.returncode == 0 and "_DIRECTRIX_COMPLETE" in script.stdout and "directrix" in script.stdout
    if shell == "bash":
        words = {"COMP_WORDS": "directrix gen", "COMP_CWORD": "1", "_DIRECTRIX_COMPLETE": "complete_bash"}
        assert directrix(**words).stdout.split() == ["generate"]
        words |= {"COMP_WORDS": "directrix generate --dir", "COMP_CWORD": "2"}
        assert directrix(**words).stdout.split() == ["--direction"]


OLD = [(verb, old, new) for verb, names in old_spellings.OPTIONS.items() for old, new in names.items()]


@pytest.mark.parametrize(("verb", "old", "new"), OLD)
def test_old_options_are_those_of_today_and_say_so(verb, old, new, capsys):
    assert main([*verb.split(), "--help"]) == 0
    said = capsys.readouterr().out
    assert f"{new} " in said and f"{old} " not in said.replace("  -n,", "")
    # The option takes a value, and `=` goes with it.
    assert main([*verb.split(), f"{old}=?", "--help"]) == 0
    assert f"'{old}' is now called '{new}'" in capsys.readouterr().err


@pytest.mark.parametrize("number", ["-n3", "-n=3", "--number=3"])
def test_an_old_short_option_takes_its_value_at_once(number, caplog):
    assert old_spellings.modern(["world", "renders", number], ["world"]) == ["world", "renders", "--images=3"]
    assert old_spellings.modern(["generate", number], ["world"]) == ["generate", number]


def test_results_have_their_old_keys_too(tmp_path, monkeypatch, capsys):
    from directrix.experiments.emoji_world.training import data

    monkeypatch.setattr(data, "write_reference", lambda art, output, images, progress: [output] * images)
    command = ["world", "renders", "-n3", "-o", str(tmp_path / "renders"), "--art", str(tmp_path / "art"), "--json"]
    assert main(command) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["images"] == printed["pictures"] == 3


def test_an_old_verb_works_and_says_so(capsys):
    assert main(["gauge", "--help"]) == 0
    said = capsys.readouterr()
    assert "directrix fit-probe " in said.out and "'gauge' is now called 'fit-probe'" in said.err


def test_old_spellings_draw_as_today_s(model, woman, tmp_path, capsys):
    command = ["generate", "--model", str(model), "--prompt", "a pilot"]
    assert main([*command, "-o", str(tmp_path / "new"), "--num-inference-steps", "2", "--direction", str(woman)]) == 0
    assert "is now called" not in capsys.readouterr().err
    assert main([*command, "-o", str(tmp_path / "old"), "--steps", "2", "--concept", str(woman)]) == 0
    said = capsys.readouterr().err
    assert "'--steps' is now called '--num-inference-steps'" in said
    assert "'--concept' is now called '--direction'" in said
    new, old = (sorted((tmp_path / folder).glob("*.png")) for folder in ("new", "old"))
    assert new and [each.read_bytes() for each in new] == [each.read_bytes() for each in old]


def test_what_stands_behind_two_hyphens_is_no_option(capsys):
    assert main(["explain", "--", "--steps"]) == 0
    assert old_spellings.modern(["generate", "--", "--steps"], []) == ["generate", "--", "--steps"]


def test_quiet_says_only_what_is_wrong(model, woman, tmp_path, capsys):
    drawing = ["generate", "--model", str(model), "--prompt", "a pilot", "--num-inference-steps", "2"]
    assert main(["-q", *drawing, "-o", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert "Drawing" not in said.err and "drawn now" not in said.err and "1 images in" in said.out
    assert main(["-q", "inspect", str(tmp_path / "absent")]) == 2
    assert "directrix inspect: " in capsys.readouterr().err


def test_verbose_says_where_an_error_arose(tmp_path, capsys):
    assert main(["-v", "inspect", str(tmp_path / "absent")]) == 2
    said = capsys.readouterr().err
    assert "directrix inspect: " in said and "Traceback" in said


def test_discover_writes_a_direction_and_removes_its_checkpoint(model, tmp_path, capsys):
    output = tmp_path / "new" / "woman.safetensors"
    assert main(discover(model, output, "--json")) == 0
    said = capsys.readouterr()
    data = json.loads(said.out)
    assert data["name"] == "woman" and data["file"] == str(output)
    assert data["recipe"]["method"] == "reconstruction"
    assert data["recipe"]["steps"] == 6
    assert "reconstruction: 4 images, 6 steps, 2 images a step, learning rate 0.1" in said.err
    assert Direction.load(output).norm() == pytest.approx(data["norm"], abs=1e-3)
    assert [path.name for path in output.parent.iterdir()] == ["woman.safetensors"]


@pytest.mark.slow
def test_discover_calibrates_and_says_plainly_that_nothing_is_seen(model, tmp_path, capsys, monkeypatch):
    from directrix.measurement.calibration import target as target_labels
    from directrix.measurement.judges import Verdict

    class Blind:
        name = "blind"

        def label(self, images):
            return [{"gender": Verdict("male", 1.0)} for _ in images]

    monkeypatch.setattr("directrix.cli.calibration.check_judge", lambda *_: None)
    monkeypatch.setattr(target_labels, "judge_for", lambda *_, **__: (Blind(), None))
    output = tmp_path / "woman.safetensors"
    command = ["discover", "--model", str(model), "--target", "a woman", "--neutral", "a person"]
    assert main([*command, "--training-images", "2", "-o", str(output)]) == 3
    said = capsys.readouterr()
    assert "No effect" in said.err and "Traceback" not in said.err
    # What was found is kept: whoever knows better can still use it.
    retained = Direction.load(output)
    # Other settings, as the message advises, start anew.
    assert main([*command, "--training-images", "4", "-o", str(output)]) == 3
    assert retained.recipe["method"] == "difference" and "calibration" not in retained.provenance
    assert retained.recipe["command"].startswith("directrix discover --model ")


def test_discover_takes_the_shared_part_out_of_opposites(model, tmp_path):
    files = {}
    for name, target, opposite in (("w", "a woman", "a man"), ("m", "a man", "a woman")):
        files[name] = tmp_path / f"{name}.safetensors"
        command = ["discover", "--model", str(model), "--target", target, "--neutral", "a person"]
        options = ["--opposite", opposite, "--training-images", "2", "--no-calibration", "-o", str(files[name])]
        assert main([*command, *options]) == 0
    found = {name: Direction.load(path) for name, path in files.items()}
    assert found["w"].cosine(found["m"]) == pytest.approx(-1.0, abs=1e-3)
    assert found["w"].recipe["others"][0]["pairs"][0]["target"] == "a man"


def test_discover_writes_a_file_for_each_value_of_an_attribute(model, tmp_path, capsys):
    command = ["discover", "--model", str(model), "--attribute", "gender", "--training-images", "2"]
    assert main([*command, "--no-calibration", "--json", "-o", str(tmp_path)]) == 0
    data = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in data["directions"]] == ["woman", "man"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["man.safetensors", "woman.safetensors"]
    woman, man = (Direction.load(tmp_path / f"{name}.safetensors") for name in ("woman", "man"))
    assert woman.cosine(man) == pytest.approx(-1.0, abs=1e-3)
    assert woman.recipe["preserved"] == 3 and woman.recipe["others"][0]["name"] == "man"
    assert "--attribute gender" in woman.recipe["command"]


def test_an_attribute_has_its_own_prompts(model, tmp_path, capsys):
    command = ["discover", "--model", str(model), "--attribute", "gender", "--target", "a woman"]
    assert main([*command, "-o", str(tmp_path)]) == 2
    assert "--target" in capsys.readouterr().err


def test_one_value_without_effect_costs_the_others_nothing(model, tmp_path, capsys, monkeypatch):
    from directrix.errors import NoEffectError
    from directrix.measurement.calibration import target as target_labels

    def calibrate(pipeline, direction, judge, **rest):
        if direction.name == "woman":
            raise NoEffectError("No effect of 'woman'.", "one.", "another.")
        return direction.with_(provenance={**direction.provenance, "calibration": {"target_label": MALE}})

    MALE = {"attribute": "gender", "label": "male", "present": True}
    monkeypatch.setattr("directrix.cli.calibration.check_judge", lambda *_: None)
    monkeypatch.setattr(target_labels, "judge_for", lambda *_, **__: (None, None))
    monkeypatch.setattr("directrix.calibrate", calibrate)
    command = ["discover", "--model", str(model), "--attribute", "gender", "--training-images", "2"]
    assert main([*command, "-o", str(tmp_path)]) == 3
    assert "No effect of 'woman'" in capsys.readouterr().err
    retained = {name: Direction.load(tmp_path / f"{name}.safetensors") for name in ("woman", "man")}
    assert "calibration" in retained["man"].provenance and "calibration" not in retained["woman"].provenance


def test_discover_says_which_defaults_it_uses():
    from directrix.cli.discover import announcement
    from directrix.discovery.registry import method

    nothing = dict.fromkeys(("images", "steps", "batch_size", "learning_rate"))
    said = announcement("reconstruction", nothing, method("reconstruction").defaults)
    assert said == (
        "Discovering by reconstruction: 1,000 images (default), 2,500 steps (default), "
        "8 images a step (default), learning rate from the model (default)."
    )


@pytest.mark.parametrize("label", ["Drawing", "Fitting"])
def test_ctrl_c_in_a_discovery_is_resumed_to_the_same_bits(model, tmp_path, capsys, monkeypatch, label):
    whole = tmp_path / "whole.safetensors"
    assert main(discover(model, whole, "--name", "woman")) == 0
    capsys.readouterr()
    shown, started = progress.bars, []

    @contextmanager
    def pressing_ctrl_c(total, text):
        started.append(text)
        with shown(total, text) as bar:
            place = {"Drawing": 0, "Fitting": 1}[label]
            if len(started) - 1 == place:
                yield _Pressing(bar)
            else:
                yield bar

    output = tmp_path / "woman.safetensors"
    monkeypatch.setattr(progress, "bars", pressing_ctrl_c)
    assert main(discover(model, output)) == 130
    said = capsys.readouterr().err
    assert "interrupted" in said and "same command again" in said and "Traceback" not in said
    assert not output.exists()
    assert (tmp_path / "woman.safetensors.checkpoint").is_dir()

    monkeypatch.setattr(progress, "bars", shown)
    assert main(discover(model, output)) == 0
    assert "Going on from" in capsys.readouterr().err
    assert Direction.load(output).tensor.equal(Direction.load(whole).tensor)
    assert not (tmp_path / "woman.safetensors.checkpoint").exists()


class _Pressing:
    """Presses Ctrl-C after the first advance."""

    def __init__(self, bar):
        self.bar = bar

    def advance(self, n=1):
        self.bar.advance(n)
        signal.raise_signal(signal.SIGINT)


def test_generate_draws_pictures_sheet_and_manifest(model, woman, tmp_path, capsys):
    command = [
        *(
            "generate",
            "--model",
            str(model),
            "--prompt",
            "a pilot",
            "--prompt",
            "a cook",
            "-n",
            "2",
            "--num-inference-steps",
            "2",
        ),
        *("--direction", f"{woman}:0.5", "-o", str(tmp_path / "out"), "--json"),
    ]
    assert main(command) == 0
    data = json.loads(capsys.readouterr().out)
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert len([name for name in names if name.endswith(".png")]) == 5
    assert {"contact-sheet.png", "manifest.jsonl"} <= set(names)
    rows = [json.loads(line) for line in (tmp_path / "out" / "manifest.jsonl").read_text().splitlines()]
    assert rows == data["images"]
    assert [row["prompt"] for row in rows] == ["a pilot", "a pilot", "a cook", "a cook"]
    assert rows[0]["interventions"][0]["directions"][0]["strength"] == 0.5

    assert main(command[:-1]) == 0
    said = capsys.readouterr()
    assert "0 of 4 images drawn now" in said.err
    assert "4 images in" in said.out


def test_generate_takes_the_files_own_strength(model, woman, tmp_path, capsys):
    command = ["generate", "--model", str(model), "--prompt", "a pilot", "--direction", str(woman)]
    assert main([*command, "--num-inference-steps", "2", "-o", str(tmp_path), "--json"]) == 0
    row = json.loads(capsys.readouterr().out)["images"][0]
    assert row["interventions"][0]["directions"][0]["strength"] == Direction.load(woman).strengths.default


def test_inspect_says_what_a_file_holds(woman, capsys):
    assert main(["inspect", str(woman)]) == 0
    text = capsys.readouterr().out
    for word in ("woman", "mid_block", "32 x 4 x 4", "default 1", "from -1.5 to 1.5"):
        assert word in text
    assert main(["inspect", str(woman), str(woman), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["directions"][0]["shape"] == [32, 4, 4]
    assert data["cosines"] == [[1.0, 1.0], [1.0, 1.0]]


def test_inspect_shows_files_that_cannot_be_compared(woman, make_direction, other_pipeline, tmp_path, capsys):
    other = tmp_path / "other.safetensors"
    make_direction("other", of=other_pipeline).save(other)
    assert main(["inspect", str(woman), str(other)]) == 0
    said = capsys.readouterr()
    assert "other.safetensors" in said.out and "cosines" not in said.out
    assert "Not compared" in said.err


@pytest.mark.parametrize(
    ("text", "path", "strength"),
    [
        ("woman.safetensors", "woman.safetensors", None),
        ("woman.safetensors:1.5", "woman.safetensors", 1.5),
        ("a/b:c.safetensors:-1", "a/b:c.safetensors", -1.0),
        (r"C:\woman.safetensors", r"C:\woman.safetensors", None),
        (r"C:\woman.safetensors:2", r"C:\woman.safetensors", 2.0),
    ],
)
def test_strengths_are_read(text, path, strength):
    found = options.strength_of(text)
    assert (str(found[0]), found[1]) == (path, strength)


def test_a_colon_in_an_existing_name_is_part_of_it(tmp_path):
    path = tmp_path / "woman:1"
    path.touch()
    assert options.strength_of(str(path)) == (path, None)


def test_compensation_needs_calibrated_directions_of_another_attribute(model, tmp_path, capsys):
    command = ["discover", "--model", str(model), "--training-images", "2", "-o", str(tmp_path / "d")]
    compensate = ["--compensate", str(tmp_path / "d")]
    assert main([*command, "--attribute", "skin tone", "--no-calibration"]) == 0
    capsys.readouterr()
    assert main([*command, "--attribute", "gender", *compensate]) == 2
    assert "was not calibrated" in capsys.readouterr().err
    objects = ["--object", "a cup", "--object", "a book", "--no-calibration", "-o", str(tmp_path / "objects")]
    # A run of version 0.1 goes on in the folder that it began.
    begun = tmp_path / "objects" / ".things.checkpoint"
    begun.mkdir(parents=True)
    assert main([*command[:-2], *objects, "--json"]) == 0
    said = capsys.readouterr()
    printed = json.loads(said.out)
    assert printed["objects"] == printed["things"] == ["a cup", "a book"]
    assert f"Going on from {begun}" in " ".join(said.err.split()) and not begun.exists()
    # Objects can lie beside the values of attributes, and nothing is compensated for them.
    assert main([*command, "--attribute", "gender", "--compensate", str(tmp_path / "objects")]) == 2
    assert "no directions of another attribute" in capsys.readouterr().err
    assert main([*command, "--attribute", "skin tone", *compensate]) == 2
    assert "no directions of another attribute" in capsys.readouterr().err
    assert main([*command, "--attribute", "gender", *compensate, "--no-calibration"]) == 2
    assert main([*command, "--neutral", "a person", "--target", "a woman", *compensate]) == 2
    assert "single concept" in capsys.readouterr().err
    assert main([*command, "--attribute", "gender", "--in-place"]) == 2
    assert "without '--compensate'" in capsys.readouterr().err


@pytest.mark.parametrize("in_place", [False, True])
def test_values_are_compensated_once_all_are_calibrated(model, make_direction, tmp_path, monkeypatch, in_place):
    done = []

    def calibrated(pipeline, direction, judge, **_):
        done.append(direction.name)
        return direction.with_(provenance={"calibration": {"target_label": {"attribute": "any", "label": "one"}}})

    def compensated(pipeline, direction, others, judge, *, among, checkpoint, progress):
        done.append((direction.name, [each.name for each in others], [each.name for each in among]))
        found = {"added": {"woman": 0.1}, "before": {"one": 0.2}, "after": {"one": 0.0}}
        return direction.with_(provenance={**direction.provenance, "compensated": found})

    monkeypatch.setattr("directrix.calibrate", calibrated)
    monkeypatch.setattr("directrix.compensate_leakage", compensated)
    monkeypatch.setattr("directrix.cli.calibration.check_judge", lambda *_: None)
    monkeypatch.setattr("directrix.cli.calibration.judge_of", lambda *_: ("a judge", None))
    folder = tmp_path / "d"
    command = ["discover", "--model", str(model), "--training-images", "2", "-o", str(folder)]
    assert main([*command, "--attribute", "gender"]) == 0
    done.clear()
    tones = ["light-skinned", "brown-skinned", "dark-skinned"]
    compensate = ["--compensate", str(folder), *(["--in-place"] if in_place else [])]
    assert main([*command, "--attribute", "skin tone", *compensate]) == 0
    assert done[:3] == tones
    assert done[3:] == [(name, ["man", "woman"], tones if in_place else []) for name in tones]
    written = Direction.load(folder / "dark-skinned.safetensors")
    assert written.provenance["compensated"]["added"] == {"woman": 0.1}
    assert ("--in-place" in written.recipe["command"]) == in_place
