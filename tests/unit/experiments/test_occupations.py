"""How far directions reach over all occupations: figures of made-up labels, and a whole run on the tiny model."""

import json
from contextlib import contextmanager

import pytest

from directrix import models
from directrix.directions.direction import Direction
from directrix.errors import DirectrixError, MismatchError
from directrix.experiments.methods.occupations import occupations, side
from directrix.experiments.methods.tasks import TEST
from directrix.experiments.tables import table
from directrix.measurement.judges import Verdict

FIGURE = {"value", "low", "high", "n"}


def labels(gender, subject, count=1):
    return [{"gender": gender, "subject": subject, "tone": "light"}] * count


@pytest.fixture
def rows():
    """Ten cooks of whom eight are women and one is unscored; ten pilots of whom seven are women."""
    return {
        "cook": labels("female", "cook", 8) + labels("male", "cook") + labels(None, None),
        "pilot": labels("female", "pilot", 7) + labels("male", "guard", 3),
    }


def test_shares_count_every_picture(rows):
    found = side(rows, "female")
    assert found["female"]["value"] == 0.75
    # The unscored one is neither a man nor a cook, and still one of twenty.
    assert found["male"]["value"] == 0.2
    assert found["subject_accuracy"]["value"] == 0.8
    for name in ("female", "male", "subject_accuracy"):
        assert set(found[name]) == FIGURE
        assert found[name]["n"] == 20
        assert found[name]["low"] <= found[name]["value"] <= found[name]["high"]
    cook = found["by_occupation"]["cook"]
    assert (cook["female"]["value"], cook["male"]["value"]) == (0.8, 0.1)
    assert (cook["subject_accuracy"]["value"], cook["subject_accuracy"]["n"]) == (0.9, 10)


def test_missed_are_those_below_the_share_that_is_asked_for(rows):
    assert side(rows, "female")["missed"] == ["pilot"]
    assert side(rows, "male")["missed"] == ["cook", "pilot"]
    assert side({"cook": labels("female", "cook", 4)}, "female")["missed"] == []
    assert "missed" not in side(rows, None)


def test_an_occupation_without_pictures_is_no_zero(rows):
    for nothing in ({}, {**rows, "judge": []}):
        with pytest.raises(DirectrixError, match="no pictures"):
            side(nothing, "female")


class Judge:
    """Sees the occupation that was asked for, in turn a woman, a man, and nobody it is sure of."""

    name = "made up"

    def __init__(self, images_per_occupation):
        self.each, self.sides = images_per_occupation, 0

    def label(self, images):
        self.sides += 1
        return [
            {
                "subject": Verdict(TEST[place // self.each], 1.0),
                "gender": Verdict((None, "female", "male", None)[self.sides], 1.0),
                "tone": Verdict("light", 1.0),
            }
            for place, _ in enumerate(images)
        ]


class Stopping(Judge):
    """Falls over at the second side."""

    def label(self, images):
        if self.sides:
            raise RuntimeError("stopped")
        return super().label(images)


@pytest.fixture
def quick(monkeypatch):
    """Pictures are drawn with one denoising step."""
    from dataclasses import replace

    facts = models.facts
    monkeypatch.setattr(models, "facts", lambda pipeline: replace(facts(pipeline), num_inference_steps=1))
    return {"images": 2, "steps": 2, "batch_size": 2, "images_per_occupation": 1}


@pytest.mark.slow
def test_a_stopped_run_goes_on_from_its_files(pipeline, other_pipeline, tmp_path, quick):
    drawn = []

    @contextmanager
    def counting(total, label):
        class Bar:
            def advance(self, n=1):
                drawn.append((label, n))

        yield Bar()

    def count(start):
        return sum(n for label, n in drawn if label.startswith(start))

    with pytest.raises(RuntimeError, match="stopped"):
        occupations(pipeline, {"emoji": Stopping(1)}, tmp_path, method="distillation", progress=counting, **quick)
    assert (count("unsteered"), count("woman"), count("man")) == (10, 10, 0)
    woman = Direction.load(tmp_path / "distillation-woman-0.safetensors")

    drawn.clear()
    found = occupations(
        pipeline, {"emoji": Judge(1), "other": Judge(1)}, tmp_path, method="distillation", progress=counting, **quick
    )
    assert (count("unsteered"), count("woman"), count("man")) == (0, 0, 10)
    assert Direction.load(tmp_path / "distillation-woman-0.safetensors").tensor.equal(woman.tensor)
    _check(found)

    # What was learned with other settings or by another model is no answer to this question.
    for other in ({"steps": 3}, {"pipeline": other_pipeline}):
        asked = {"pipeline": pipeline, **quick, **other}
        with pytest.raises(MismatchError, match=r"steps|model"):
            occupations(judges={"emoji": Judge(1)}, folder=tmp_path, method="distillation", **asked)


def _check(found):
    json.dumps(found, allow_nan=False)
    assert found["recipe"]["learned_together"] == ["woman", "man"]
    assert (found["recipe"]["images"], found["recipe"]["steps"]) == (2, 2)
    # The judge calls the first side female, the second male, the third nothing.
    assert found["unsteered"]["female"]["value"] == 1.0 and "missed" not in found["unsteered"]
    assert found["woman"]["male"]["value"] == 1.0
    assert found["woman"]["missed"] == found["man"]["missed"] == list(TEST)
    assert found["man"]["female"]["value"] == found["man"]["male"]["value"] == 0.0
    for name in ("unsteered", "woman", "man"):
        assert found[name]["subject_accuracy"]["value"] == 1.0
        assert list(found[name]["by_occupation"]) == list(TEST)
    lines = table("reconstruction", found)
    assert found["man"]["judges"]["other"] == {key: value for key, value in found["man"].items() if key != "judges"}
    assert len(lines) == 10 and lines[3].startswith("| unsteered, judge other | 1.00 [")
    assert (
        lines[-1] == "distillation: 2 images, 2 steps."
        and lines[2].startswith("| unsteered | 1.00 [")
        and lines[2].endswith("|  |")
    )
    assert "health worker" in lines[4]
