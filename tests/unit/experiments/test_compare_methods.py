"""The comparison of methods, at its smallest: figures by concept and judge, costs, controls, and going on."""

import re
from collections.abc import Mapping
from xml.etree import ElementTree

import numpy as np
import pytest

from directrix.concept import GENDER
from directrix.directions.direction import Direction
from directrix.errors import MismatchError, NoEffectError
from directrix.experiments.cost.measure import cost_of_gradient, measured
from directrix.experiments.demo import PROMPTS
from directrix.experiments.methods import compare as bench
from directrix.experiments.methods.controls import random_like, reversed_of
from directrix.experiments.methods.tasks import TASKS, TEST, Contender, worded
from directrix.experiments.tables import table
from directrix.generation.generate import generate
from directrix.measurement.judges import Verdict
from directrix.measurement.judges.emoji_vocabulary import OCCUPATIONS
from directrix.measurement.reports.charts import cost_curve
from directrix.measurement.reports.leakage import largest
from directrix.models import embedded
from directrix.models.model_facts import cards

QUICK = {"guidance_scale": 2.0, "num_inference_steps": 2, "images": 2}
CONTENDERS = {
    "reconstruction": Contender("reconstruction", {**QUICK, "steps": 3}, concepts=["woman"]),
    "difference": Contender("difference", QUICK, seeds=2),
}
WOMAN, MAN = TASKS[:2]
PLAIN = 2 * 2 * 2  # images, steps and branches of what a discovery draws


class Brightness:
    """Calls bright pictures women; or dark ones."""

    name = "brightness"

    def __init__(self, bright="female", dark="male"):
        self.words = {True: bright, False: dark}

    def label(self, images) -> list[Mapping[str, Verdict]]:
        bright = [float(np.asarray(image).mean()) > 127 for image in images]
        return [
            {
                "gender": Verdict(self.words[each], 1.0),
                "tone": Verdict("light" if each else "dark", 1.0),
                "subject": Verdict(TEST[0], 1.0),
            }
            for each in bright
        ]


def calibrate(pipeline, direction, judge, *, target_label, progress, **settings):
    """Twice as strong for a cost of four evaluations; of a man nothing can be seen."""
    assert judge.words[True] == "female"
    generate(pipeline, "a person", 2, num_inference_steps=1, guidance_scale=2.0)
    if direction.name == "man":
        raise NoEffectError("No effect can be seen.", "one.", "another.")
    row = {"strength": 1.0, "effect": {"value": 0.99}, "subject_retained": {"value": 0.95}}
    found = {"strengths": [row, {**row, "strength": 0.5}], "effect_asked_for": 0.98}
    return direction.with_(tensor=2 * direction.tensor, provenance={"calibration": found})


def compare(pipeline, folder, contenders=CONTENDERS, **settings):
    judges = {"first": Brightness(), "second": Brightness("male", "female")}
    settings = {"tasks": [WOMAN, MAN], "images_per_prompt": 1, "num_inference_steps": 1, **settings}
    return bench.discovery(pipeline, judges, folder, contenders=contenders, images_of_directions=0, **settings)


@pytest.fixture(scope="module")
def compared(pipeline, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench, "calibrate", calibrate)
        patch.setattr(bench, "DEFAULT_METHOD", "difference")
        yield folder, compare(pipeline, folder)


def test_every_method_has_its_figures_as_found_and_calibrated_by_every_judge(compared):
    _, found = compared
    assert (found["judges"], found["split"], found["compared_on"]) == (["first", "second"], "test", ["woman"])
    sides = [each[side] for each in found["methods"].values() for side in ("as_found", "calibrated")]
    for side in (*sides, *found["controls"].values()):
        for key in ("effect", "leakage", "subject"):
            assert set(side[key]) == {"first", "second"}
            assert {"value", "low", "high", "n", "by_concept"} == set(side[key]["first"])
        assert set(side["evaluations"]) == set(side["seconds"]) == {"value", "low", "high", "n"}
        # These judges say the opposite of each other, and see the first occupation alone.
        effects = [side["effect"][judge]["by_concept"]["woman"]["value"] for judge in ("first", "second")]
        assert sum(effects) == pytest.approx(1, abs=1e-3)
        assert side["subject"]["first"]["value"] == pytest.approx(1 / len(TEST), abs=1e-3)
    both = found["methods"]["difference"]["as_found"]["effect"]["first"]
    assert set(both["by_concept"]) == {"woman", "man"} and both["n"] == 2 * len(TEST)


def test_what_is_calibrated_costs_what_its_calibration_costs_too(compared):
    _, found = compared
    for name, gradients in (("difference", 0), ("reconstruction", 3 * 8 * found["gradient_cost"])):
        method = found["methods"][name]
        raw, calibrated = (method[side]["evaluations"]["value"] for side in ("as_found", "calibrated"))
        assert raw == pytest.approx(PLAIN + (gradients or 2 * 2 + 3 * 4)) and calibrated == raw + 2 * 2
        assert method["calibrated"]["seconds"]["value"] > method["as_found"]["seconds"]["value"] > 0
    for side in ("as_found", "calibrated"):
        paper, quick = (found["methods"][name][side] for name in ("reconstruction", "difference"))
        for key in ("evaluations", "seconds"):
            ratio = paper[key]["value"] / quick[key]["value"]
            assert found["ratio"][side][key] == pytest.approx(ratio, abs=0.051)
    assert found["controls"]["words"]["seconds"]["value"] == found["controls"]["words"]["evaluations"]["value"] == 0


def test_a_direction_that_does_not_reach_has_its_row_and_its_name(compared):
    _, found = compared
    method = found["methods"]["difference"]
    assert method["calibrated"]["does_not_reach"] == ["man"]
    raw, calibrated = (method[side]["effect"]["first"]["by_concept"]["man"] for side in ("as_found", "calibrated"))
    assert raw == calibrated
    lines = table("discovery", found)
    assert any("difference (2 images) | calibrated; does not reach: man |" in line for line in lines)
    assert any(line.startswith("| reconstruction (2 images, 3 steps) | as found |") for line in lines)
    assert [line.split(" |")[0] for line in lines if "control" in line] == [
        *("| control: random", "| control: reversed", "| control: words")
    ]
    assert any("both calibrated to the same effect" in line for line in lines)
    assert len({line.count("|") for line in lines if line.startswith("|")}) == 1


def test_controls_have_the_same_norm_and_the_wrong_sign(compared):
    direction = Direction.load(compared[0] / "difference-0-woman.calibrated.safetensors")
    noise, other = random_like(direction), reversed_of(direction)
    assert noise.norm() == pytest.approx(direction.norm()) and abs(noise.cosine(direction)) < 0.5
    assert other.cosine(direction) == pytest.approx(-1) and other.norm() == direction.norm()
    assert worded(GENDER, "woman", ["pilot"]) == ("a photo of a female pilot",)


def test_figures_of_other_settings_are_not_taken_over(compared, pipeline):
    with pytest.raises(MismatchError, match="images_per_prompt"):
        compare(pipeline, compared[0], images_per_prompt=3)


def test_what_was_measured_is_not_measured_again(compared, pipeline, monkeypatch):
    folder, found = compared
    monkeypatch.setattr(bench, "discover", None)
    assert compare(pipeline, folder) == found


def test_occupations_of_tests_are_not_those_that_discovery_sees():
    assert len(TEST) == 10 and set(TEST) < set(OCCUPATIONS)
    for name in embedded.MODELS:
        subjects = [each.split(" ", 1)[1] for each in cards()[name]["subjects"]]
        assert subjects and not set(subjects) & set(TEST)
    assert {prompt.split(" ", 1)[1] for prompt in PROMPTS} <= set(TEST)


def test_the_curve_shows_every_budget():
    effect = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 40}
    rows = [{"evaluations": 100, "effect": effect}, {"evaluations": 900, "effect": {**effect, "value": 0.6}}]
    picture = cost_curve({"difference": rows}, "woman")
    assert ElementTree.fromstring(picture).tag.endswith("svg")
    assert ">difference<" in picture and picture == cost_curve({"difference": rows}, "woman")
    # A point for each budget, and one in the legend.
    assert len(re.findall(r"<use [^>]*fill: #b9542c", picture)) == 3


def test_leakage_is_the_largest_change_of_another_attribute():
    def rows(tones):
        return [{"gender": Verdict("male", 1.0), "tone": Verdict(tone, 1.0)} for tone in tones]

    before, after = rows(["light"] * 3 + ["dark"]), rows(["light", "dark", "dark", "dark"])
    assert largest(before, after, "gender") == 0.5
    assert largest(before, after, "tone") == 0.0


def test_cost_sees_seconds_and_memory(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with measured() as cost:
        held = np.ones(40 * 2**17)
    assert held.any() and cost.seconds > 0
    assert 20 < cost.memory_mb < 400


def test_a_gradient_has_a_cost_in_evaluations(pipeline):
    assert 0.3 < cost_of_gradient(pipeline, repeats=3) < 30
