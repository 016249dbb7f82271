"""The default method's directions, tried on every test occupation, on animals and at several strengths."""

import json
from collections.abc import Mapping

import pytest

from directrix.discovery.settings import Sampling
from directrix.errors import NoEffectError
from directrix.experiments.methods import default_directions as report
from directrix.experiments.methods.tasks import TEST
from directrix.experiments.tables import table
from directrix.interventions.project_and_set import ProjectAndSet
from directrix.measurement.judges import Verdict
from directrix.measurement.judges.emoji_vocabulary import NON_PEOPLE

TONES = ("light", "brown", "dark")


class Reader:
    """Reads what the stand-in for drawing wrote into a picture."""

    name = "reader"

    def label(self, images) -> list[Mapping[str, Verdict]]:
        return [{key: Verdict(value, 1.0) for key, value in image.items()} for image in images]


class Blind(Reader):
    """Takes every woman for a man."""

    def label(self, images) -> list[Mapping[str, Verdict]]:
        return super().label([{**image, "gender": "male"} for image in images])


JUDGES = {"emoji": Reader(), "blind": Blind()}


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
            woman = (strengths.get("woman", 0) >= 0.5 and not unmoved) or (said and subject != "farmer")
            label = "cat" if subject == "dog" and strengths else subject
            image = {"gender": "female" if woman else "male", "tone": "light", "subject": label}
            pictures.append(Picture(image))
    return pictures


@pytest.fixture(scope="module")
def found(pipeline, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        return found_in(tmp_path_factory.mktemp("directions"), pipeline, patch)


def found_in(tmp_path, pipeline, monkeypatch):
    def calibrate(pipeline, direction, judge, target_label, progress, **settings):
        if direction.name != "woman":
            raise NoEffectError("No effect can be seen.", "one.", "another.")
        return direction

    monkeypatch.setattr("directrix.experiments.judged.generate", drawn)
    monkeypatch.setattr(report, "calibrate", calibrate)
    settings = {"sampling": Sampling(images=1, num_inference_steps=2, guidance_scale=2.0)}
    original = report.discover_attribute
    monkeypatch.setattr(report, "discover_attribute", lambda *a, **k: original(*a, **{**k, **settings}))
    found = report.directions(pipeline, JUDGES, tmp_path, images_per_prompt=4)
    assert {path.stem for path in tmp_path.glob("*.safetensors")} == {"default-woman"}
    # What is kept is not measured again.
    monkeypatch.setattr("directrix.experiments.judged.generate", None)
    monkeypatch.setattr(report, "calibrate", None)
    assert report.directions(pipeline, JUDGES, tmp_path, images_per_prompt=4) == json.loads(json.dumps(found))
    return found


def test_the_occupation_that_moves_least_is_named(found):
    woman = found["concepts"]["woman"]
    assert woman["least"] == {"occupation": "pilot", "value": 0.5, "low": 0.15, "high": 0.85, "n": 4}
    assert woman["effect"]["value"] == pytest.approx((len(TEST) - 0.5) / len(TEST))
    assert woman["subject_accuracy"]["value"] == 1.0 and woman["subject_unsteered"]["value"] == 1.0


def test_what_the_prompt_says_is_also_taken_out(found):
    replaced = found["concepts"]["woman"]["project_and_set"]
    assert replaced["effect"]["value"] == 1.0 and replaced["least"]["value"] == 1.0
    assert replaced["subject_accuracy"]["value"] == 1.0
    assert set(replaced["leakage"]) == {"light"} and replaced["leakage"]["light"]["value"] == 0.0


def test_what_the_model_makes_of_the_words_alone(found):
    prompted = found["concepts"]["woman"]["prompted"]
    assert prompted["least"] == {"occupation": "farmer", "value": 0.0, "low": 0.0, "high": 0.4899, "n": 4}
    assert prompted["effect"]["value"] == pytest.approx((len(TEST) - 1) / len(TEST))


def test_what_else_changes_is_seen(found):
    woman = found["concepts"]["woman"]
    animals = len(NON_PEOPLE)
    assert woman["non_people"]["value"] == pytest.approx((animals - 1) / animals, abs=1e-3)
    assert set(woman["leakage"]) == {"light"} and woman["leakage"]["light"]["value"] == 0.0


def test_whether_the_effect_rises_with_the_strength(found):
    woman = found["concepts"]["woman"]
    rows = {row["strength"]: row["effect"]["value"] for row in woman["strengths"]}
    assert list(rows) == [-1.0, 0.0, 0.5, 1.0] and woman["monotone"]
    assert rows[0.0] == 0.0 and rows[0.5] > 0.9


def test_every_judge_has_its_figures(found):
    woman = found["concepts"]["woman"]
    for row in (woman, woman["project_and_set"], woman["prompted"]):
        assert row["effect"]["value"] > 0.8 and row["judges"]["blind"]["effect"]["value"] == 0.0
        assert row["judges"]["blind"]["subject_accuracy"] == row["subject_accuracy"]


def test_a_direction_without_effect_is_said_so_and_costs_no_other_its_figures(found):
    assert "No effect" in found["concepts"]["man"]["no_effect"]
    assert set(found["concepts"]) == {"woman", "man", *(f"{tone}-skinned" for tone in TONES)}
    assert -1.0001 <= found["cosine"] < 0 and set(found["seconds"]) == {"gender", "skin tone"}
    lines = table("directions", {"directions": found})
    assert lines[2].startswith("| woman | added | ") and "pilot 0.50 [0.15, 0.85]" in lines[2]
    assert lines[3].startswith("| woman | project-and-set | ") and "1.00 [0.51, 1.00]" in lines[3]
    assert lines[4].startswith("| woman | prompted | ") and "farmer 0.00" in lines[4]
    assert lines[5] == "| man | does not reach | | | | | | | |"
    assert {line.count("|") for line in lines} == {10}
