"""The default method's directions, tried on every occupation, on animals and at nine strengths."""

import json
from collections.abc import Mapping

import pytest

from directrix.discovery.settings import Sampling
from directrix.errors import NoEffectError
from directrix.experiments.methods import default_directions as report
from directrix.experiments.tables import table
from directrix.interventions.project_and_set import ProjectAndSet
from directrix.measurement.judges import Verdict
from directrix.measurement.judges.emoji_vocabulary import NON_PEOPLE, OCCUPATIONS

TONES = ("light", "brown", "dark")


class Reader:
    """Reads what the stand-in for drawing wrote into a picture."""

    name = "reader"

    def label(self, images) -> list[Mapping[str, Verdict]]:
        return [{key: Verdict(value, 1.0) for key, value in image.items()} for image in images]


class Picture:
    def __init__(self, image):
        self.image = image


def drawn(pipeline, prompts, images_per_prompt=1, *, interventions=(), **rest):
    """Women by the strength of 'woman', on half of the pictures of a pilot only unless what it says is replaced; every
    steered dog becomes a cat."""
    replaced = isinstance(interventions, ProjectAndSet)
    if replaced:
        given = interventions.select([0], len(prompts) * images_per_prompt).config["directions"]
        strengths = {each["name"]: each["strength"] for each in given}
    else:
        strengths = {d.name: s for d, s in interventions.strengths.items()} if interventions else {}
    pictures = []
    for prompt in prompts:
        subject = prompt.removeprefix("a photo of ").split(" ", 1)[1]
        said = subject.startswith("female ")
        subject = subject.removeprefix("female ")
        for place in range(images_per_prompt):
            unmoved = subject == "pilot" and place % 2 and not replaced
            woman = (strengths.get("woman", 0) >= 0.5 and not unmoved) or (said and subject != "cook")
            label = "cat" if subject == "dog" and strengths else subject
            image = {"gender": "female" if woman else "male", "tone": "light", "subject": label}
            pictures.append(Picture(image))
    return pictures


@pytest.fixture(scope="module")
def found(pipeline, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        return found_in(tmp_path_factory.mktemp("directions"), pipeline, patch)


def found_in(tmp_path, pipeline, monkeypatch):
    def calibrate(pipeline, direction, judge, target_label, progress):
        if direction.name != "woman":
            raise NoEffectError("No effect can be seen.", "one.", "another.")
        return direction

    monkeypatch.setattr("directrix.measurement.calibration.dose_response.generate", drawn)
    monkeypatch.setattr(report, "calibrate", calibrate)
    settings = {"sampling": Sampling(images=1, num_inference_steps=2, guidance_scale=2.0)}
    original = report.discover_attribute
    monkeypatch.setattr(report, "discover_attribute", lambda *a, **k: original(*a, **{**k, **settings}))
    found = report.directions(pipeline, Reader(), tmp_path, images_per_prompt=4)
    assert {path.stem for path in tmp_path.glob("*.safetensors")} == {"calibrated-woman", "default-woman"}
    # What is kept is not measured again.
    monkeypatch.setattr("directrix.measurement.calibration.dose_response.generate", None)
    monkeypatch.setattr(report, "calibrate", None)
    assert report.directions(pipeline, Reader(), tmp_path, images_per_prompt=4) == json.loads(json.dumps(found))
    return found


def test_the_occupation_that_moves_least_is_named(found):
    woman = found["concepts"]["woman"]
    assert woman["least"] == {"occupation": "pilot", "value": 0.5, "low": 0.15, "high": 0.85, "n": 4}
    assert woman["effect"]["value"] == pytest.approx((len(OCCUPATIONS) - 0.5) / len(OCCUPATIONS))
    assert woman["subject_accuracy"]["value"] == 1.0 and woman["subject_unsteered"]["value"] == 1.0


def test_what_the_prompt_says_is_also_taken_out(found):
    replaced = found["concepts"]["woman"]["project_and_set"]
    assert replaced["effect"]["value"] == 1.0 and replaced["least"]["value"] == 1.0
    assert replaced["subject_accuracy"]["value"] == 1.0
    assert set(replaced["leakage"]) == {"light"} and replaced["leakage"]["light"]["value"] == 0.0


def test_what_the_model_makes_of_the_words_alone(found):
    prompted = found["concepts"]["woman"]["prompted"]
    assert prompted["least"] == {"occupation": "cook", "value": 0.0, "low": 0.0, "high": 0.4899, "n": 4}
    assert prompted["effect"]["value"] == pytest.approx((len(OCCUPATIONS) - 1) / len(OCCUPATIONS))


def test_what_else_changes_is_seen(found):
    woman = found["concepts"]["woman"]
    animals = len(NON_PEOPLE)
    assert woman["non_people"]["value"] == pytest.approx((animals - 1) / animals, abs=1e-3)
    assert set(woman["leakage"]) == {"light"} and woman["leakage"]["light"]["value"] == 0.0


def test_nine_strengths_and_whether_the_effect_rises(found):
    woman = found["concepts"]["woman"]
    rows = woman["strengths"]
    assert [row["strength"] for row in rows] == [x / 4 for x in range(-4, 5)]
    assert rows[5]["effect"]["value"] == 0.0 and rows[6]["effect"]["value"] > 0.9 and woman["monotone"]


def test_a_direction_without_effect_is_said_so_and_costs_no_other_its_figures(found):
    assert "No effect" in found["concepts"]["man"]["no_effect"]
    assert set(found["concepts"]) == {"woman", "man", *(f"{tone}-skinned" for tone in TONES)}
    assert -1.0001 <= found["cosine"] < 0 and set(found["seconds"]) == {"gender", "skin tone"}
    lines = table("directions", {"directions": found})
    assert lines[2].startswith("| woman | added | ") and "pilot 0.50 [0.15, 0.85]" in lines[2]
    assert lines[3].startswith("| woman | project-and-set | ") and "1.00 [0.51, 1.00]" in lines[3]
    assert lines[4].startswith("| woman | prompted | ") and "cook 0.00" in lines[4]
    assert lines[5] == "| man | none seen | | | | | | |"
    assert {line.count("|") for line in lines} == {9}


def test_feedback_has_its_row_also_by_its_old_name(found):
    woman = found["concepts"]["woman"]
    corrected = {**woman["project_and_set"], "effect": {"value": 0.75, "low": 0.5, "high": 0.9, "n": 80}}
    for key in ("feedback", "held"):
        lines = table("directions", {"directions": {"concepts": {"woman": {**woman, key: corrected}}}})
        assert lines[4].startswith("| woman | feedback | 0.75 [0.50, 0.90] |") and lines[4].count("|") == 9
