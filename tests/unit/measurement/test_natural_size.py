"""A direction whose own size is right needs no search, and one whose is not gets it."""

from contextlib import suppress
from dataclasses import dataclass

import pytest

from directrix.directions.target_label import TargetLabel
from directrix.errors import NoEffectError
from directrix.measurement.calibration import dose_response, target
from directrix.measurement.calibration.calibrate import calibrate
from directrix.measurement.judges import Verdict

FEMALE = TargetLabel("gender", "female")


@dataclass(frozen=True)
class Picture:
    strength: float

    @property
    def image(self):
        return self


class Judge:
    """Sees a woman between two strengths, and no subject beyond a third one."""

    name, held_out = "thresholds", False

    def __init__(self, reach, breaks=9.0, passes=9.0):
        self.reach, self.breaks, self.passes, self.drawn = reach, breaks, passes, []

    def generate(self, pipeline, prompts, images_per_prompt=1, *, interventions=(), num_inference_steps, **settings):
        listed = [prompts] if isinstance(prompts, str) else prompts
        acting = interventions if isinstance(interventions, tuple) else (interventions,)
        strengths = {key: value for each in acting for key, value in getattr(each, "strengths", {}).items()}
        # In units of the direction's size, so that a rescaled direction acts as it should.
        strength = sum(direction.norm() * value for direction, value in strengths.items())
        self.drawn.append((strength, num_inference_steps, len(listed) * images_per_prompt))
        return [Picture(strength)] * (len(listed) * images_per_prompt)

    def label(self, images):
        gender = ["female" if self.reach <= each.strength < self.passes else "male" for each in images]
        subject = ["person" if abs(each.strength) < self.breaks else None for each in images]
        return [{"gender": Verdict(g, 1.0), "subject": Verdict(s, 1.0)} for g, s in zip(gender, subject, strict=True)]


@pytest.fixture
def calibrated(pipeline, make_direction, monkeypatch):
    def use(judge, **settings):
        monkeypatch.setattr(dose_response, "generate", judge.generate)
        monkeypatch.setattr(target, "generate", judge.generate)
        raw = make_direction()
        name = settings.pop("name", "woman")
        recipe = {"concept": {"name": name, "pairs": [{"target": f"a {name}", "neutral": "a person"}]}}
        return calibrate(pipeline, raw.with_(tensor=raw.tensor / raw.norm(), recipe=recipe), judge, **settings)

    return use


@pytest.mark.parametrize(
    ("judge", "size", "range_", "effects"),
    [
        (Judge(0.4), 1.0, (-1.0, 1.5), [0.0, 1.0, 1.0]),
        (Judge(0.9), 1.5, (-0.6667, 1.0), [0.0, 0.0, 1.0]),
        (Judge(0.4, passes=1.2), 1.0, (-1.0, 1.0), [0.0, 1.0, 0.0]),
    ],
    ids=["half suffices", "half leaves something", "more passes the concept by"],
)
def test_eighteen_images_of_four_steps_confirm_a_size(calibrated, judge, size, range_, effects):
    direction = calibrated(judge)
    assert direction.norm() == pytest.approx(size)
    assert (direction.strengths.minimum, direction.strengths.maximum) == range_
    assert sum(count for _, _, count in judge.drawn) == 18 and {steps for _, steps, _ in judge.drawn} == {4}
    found = direction.provenance["calibration"]
    assert found["sketched"] == [-1.0, 1.5]
    assert found["target_label"] == {"attribute": "gender", "label": "female", "present": True}
    assert [row["effect"]["value"] for row in found["strengths"]] == effects


@pytest.mark.parametrize(
    "judge",
    [Judge(3.0), Judge(0.9, breaks=0.95), Judge(0.4, breaks=0.95), Judge(-9.0)],
    ids=["too weak", "breaks the subject", "breaks it beyond what suffices", "shows the concept whatever the strength"],
)
def test_what_a_few_images_leave_open_is_searched(calibrated, judge):
    with suppress(NoEffectError):
        assert calibrated(judge, target_label=FEMALE).provenance["calibration"]["unsteered"]
    assert {steps for _, steps, _ in judge.drawn} > {4}


def test_more_seeds_join_those_that_leave_it_open(calibrated):
    judge = Judge(0.4)
    drawn = judge.generate

    def unlucky(*given, seed, **settings):
        images = drawn(*given, seed=seed, **settings)
        # One lost subject of six leaves it open, one of twelve does not.
        return [Picture(9.0), *images[1:]] if seed == 1000 and images[0].strength > 1 else images

    judge.generate = unlucky
    found = calibrated(judge)
    assert found.provenance["calibration"]["seeds"] == 2
    assert sum(count for _, _, count in judge.drawn) == 36 and {steps for _, steps, _ in judge.drawn} == {4}
    assert [row["effect"]["n"] for row in found.provenance["calibration"]["strengths"]] == [12, 12, 12]


class Some(Judge):
    """The first images show it whatever the strength, and the last ones never."""

    def __init__(self, reach, always=0, never=0):
        super().__init__(reach)
        self.always, self.never = always, never

    def label(self, images):
        seen, last = super().label(images), len(images) - self.never
        fixed = ["female" if at < self.always else "male" if at >= last else None for at in range(len(images))]
        return [{**each, "gender": Verdict(g, 1.0)} if g else each for g, each in zip(fixed, seen, strict=True)]


@pytest.mark.parametrize(
    ("judge", "size", "drawn"),
    [
        (Some(0.4, always=2), 1.0, 18),
        # Three of three that differ can be chance; six of six of twelve can't.
        (Some(0.4, always=3), 1.0, 36),
        # One lacks at half of the size, and 1.5 shows no less.
        (Some(0.4, never=1), 1.5, 18),
    ],
    ids=["four differ", "three differ", "one lacks"],
)
def test_four_of_four_images_tell_an_effect_and_one_that_lacks_asks_for_more(calibrated, judge, size, drawn):
    direction = calibrated(judge, target_label=FEMALE)
    assert direction.norm() == pytest.approx(size)
    assert sum(count for _, _, count in judge.drawn) == drawn


class Half(Judge):
    """Half of the images want twice as much."""

    def label(self, images):
        seen = super().label(images)
        weak = [{**each, "gender": Verdict("male", 1.0)} for each in seen]
        return [
            each if place % 2 or image.strength >= 2 * self.reach else other
            for place, (image, each, other) in enumerate(zip(images, seen, weak, strict=True))
        ]


def test_where_more_shows_more_and_not_enough_still_more_is_tried(calibrated):
    judge = Half(0.9)
    assert calibrated(judge).norm() == pytest.approx(2.0)
    assert sum(count for _, _, count in judge.drawn) == 24 and {steps for _, steps, _ in judge.drawn} == {4}


def test_an_effect_in_half_of_the_images_is_not_enough(calibrated):
    assert calibrated(Half(1.4), target_label=FEMALE).norm() == pytest.approx(3.0, abs=0.3)
    # Nor is more that breaks the subject.
    assert calibrated(Half(0.9, breaks=1.9), target_label=FEMALE).norm() < 1.9


def test_a_label_that_the_words_do_not_name_is_left_to_the_search(calibrated):
    judge = Judge(0.9)
    with pytest.raises(NoEffectError):
        calibrated(judge, name="glasses")
    assert {steps for _, steps, _ in judge.drawn} > {4}


def test_a_search_that_is_asked_for_is_made(calibrated):
    judge = Judge(0.9)
    assert calibrated(judge, thorough=True, target_label=FEMALE).norm() == pytest.approx(0.84, abs=0.2)
    assert 4 not in {steps for _, steps, _ in judge.drawn}
