"""Calibration on a model whose response to steering is known: a picture is its strength, judged by a threshold."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from directrix.concept import Concept
from directrix.directions.calibrated_on import calibrated_on
from directrix.directions.target_label import TargetLabel
from directrix.discovery.checkpoint import Checkpoint
from directrix.errors import ConceptError, DirectrixError, NoEffectError
from directrix.measurement.calibration import calibrate as calibration
from directrix.measurement.calibration import dose_response, target
from directrix.measurement.calibration.calibrate import calibrate
from directrix.measurement.calibration.dose_response import DoseResponse, shares
from directrix.measurement.calibration.fit_probe import fit_probe
from directrix.measurement.calibration.leakage_correction import compensate_leakage
from directrix.measurement.calibration.target import calibration_prompts, concept_of, find_target_label
from directrix.measurement.judges import Verdict
from directrix.measurement.metrics import fisher_test, sign_test
from directrix.models.steerable import SteerableModel

WOMAN = Concept.of("woman", "a woman", "a person")
FEMALE = TargetLabel("gender", "female")


@dataclass(frozen=True)
class Picture:
    """What the drawn picture knows: how strongly it was steered, and its place among the pictures of a run."""

    strength: float
    place: int
    prompt: str

    @property
    def image(self):
        return self


class Model:
    """Stands in for `generate`: a picture shows a woman from a strength of its own on, and breaks from another one on.

    reach: at strengths up to this, pictures turn one after the other; breaks: where the subject is lost; past: where
    pictures turn back; words: the share of pictures that do what the prompt says, the first ones.
    """

    def __init__(self, reach: float = 2.0, breaks: float = 1e9, words: float = 1.0, past: float = 1e9) -> None:
        self.reach, self.breaks, self.words, self.past = reach, breaks, words, past

    def generate(self, pipeline, prompts, images_per_prompt=1, *, interventions=(), **settings):
        listed = [prompts] if isinstance(prompts, str) else prompts
        acting = interventions if isinstance(interventions, tuple) else (interventions,)
        strengths = {key: value for each in acting for key, value in getattr(each, "strengths", {}).items()}
        # In units of the direction's size, so that a rescaled direction acts as it should.
        strength = sum(direction.norm() * value for direction, value in strengths.items())
        pairs = [(prompt, i) for prompt in listed for i in range(images_per_prompt)]
        return [Picture(strength, place, prompt) for place, (prompt, _) in enumerate(pairs)]

    name, held_out = "thresholds", False

    def label(self, images) -> list[Mapping[str, Verdict]]:
        n = len(images)
        rows = []
        for picture in images:
            prompted = picture.place < self.words * n and "woman" in picture.prompt
            turned = 0 < picture.strength < self.past and picture.strength >= self.reach * (picture.place + 1) / n
            whole = abs(picture.strength) < self.breaks
            gender = "female" if prompted or turned else "male"
            rows.append({"gender": Verdict(gender, 1.0), "subject": Verdict("person" if whole else "none", 1.0)})
        return rows


@pytest.fixture
def model(monkeypatch):
    """Replaces drawing by a model of the given response."""

    def use(**response):
        made = Model(**response)
        monkeypatch.setattr(dose_response, "generate", made.generate)
        monkeypatch.setattr(target, "generate", made.generate)
        return made

    return use


@pytest.fixture
def direction(make_direction):
    raw = make_direction()
    return raw.with_(
        tensor=raw.tensor / raw.norm(),
        recipe={"concept": {"name": "woman", "pairs": [{"target": "a woman", "neutral": "a person"}]}},
    )


def test_strength_one_becomes_the_least_that_has_the_effect(pipeline, direction, model):
    judge = model(reach=1.9)
    calibrated = calibrate(pipeline, direction, judge, images_per_prompt=40, thorough=True)
    assert calibrated.norm() == pytest.approx(2.0)
    facts = calibrated.provenance["calibration"]
    assert facts["unit"] == 2.0 and facts["target_label"] == {"attribute": "gender", "label": "female", "present": True}
    at_one = next(row for row in facts["strengths"] if row["strength"] == 1.0)
    assert at_one["effect"]["value"] >= calibration.EFFECT
    below = [row["effect"]["value"] for row in facts["strengths"] if 0 < row["strength"] < 1]
    assert below and all(value < calibration.EFFECT for value in below)
    # And no further below than a strength that was tried.
    assert max(row["strength"] for row in facts["strengths"] if row["strength"] < 1) > 0.8


def test_a_calibration_of_before_says_its_target_label(pipeline, direction, model):
    calibrated = calibrate(pipeline, direction, model(), target_label=FEMALE, sweep=(), thorough=True)
    assert calibrated_on(calibrated) == FEMALE and calibrated_on(direction) is None
    before = direction.with_(provenance={"calibration": {"aim": asdict(FEMALE)}})
    assert calibrated_on(before) == FEMALE
    with pytest.warns(FutureWarning, match="target_label="):
        again = calibrate(pipeline, direction, model(), aim=FEMALE, sweep=(), thorough=True)  # pyright: ignore[reportCallIssue]
    assert again.provenance == calibrated.provenance


def test_a_stopped_calibration_goes_on(pipeline, direction, model, tmp_path, monkeypatch):
    judge = model(reach=1.9)
    judge.config = {"reach": 1.9}
    whole = calibrate(pipeline, direction, judge, images_per_prompt=40, thorough=True)
    drawn: list[object] = []
    inner = judge.generate

    def counted(pipeline, prompts, *given, **settings):
        drawn.append((prompts, settings))
        if len(drawn) == stop:
            raise KeyboardInterrupt
        return inner(pipeline, prompts, *given, **settings)

    monkeypatch.setattr(dose_response, "generate", counted)
    monkeypatch.setattr(target, "generate", counted)
    stop = 0
    calibrate(pipeline, direction, judge, images_per_prompt=40, thorough=True)
    sets = len(drawn)
    done = 0
    (tmp_path / "notes.txt").write_text("mine")
    for stop in (2, 5):
        drawn.clear()
        with pytest.raises(KeyboardInterrupt):
            calibrate(pipeline, direction, judge, images_per_prompt=40, thorough=True, checkpoint=tmp_path)
        done += stop - 1
    stop = 0
    drawn.clear()
    resumed = calibrate(pipeline, direction, judge, images_per_prompt=40, thorough=True, checkpoint=tmp_path)
    assert len(drawn) == sets - done
    assert resumed.provenance == whole.provenance and resumed.tensor.equal(whole.tensor)
    # Another judge, or the same one with other settings, is asked anew.
    drawn.clear()
    judge.config = {"reach": 2.0}
    calibrate(pipeline, direction, judge, images_per_prompt=40, thorough=True, checkpoint=tmp_path)
    assert len(drawn) == sets
    Checkpoint(tmp_path).remove()
    assert {path.name for path in tmp_path.iterdir()} == {".lock", "notes.txt"}


def test_a_direction_that_does_too_much_is_made_smaller(pipeline, direction, model):
    calibrated = calibrate(pipeline, direction, model(reach=0.5), images_per_prompt=40, thorough=True)
    assert calibrated.norm() == pytest.approx(0.5)


def test_the_sensible_strengths_end_where_subjects_are_lost(pipeline, direction, model):
    judge = model(reach=1.0, breaks=1.4)
    calibrated = calibrate(pipeline, direction, judge, images_per_prompt=40, thorough=True)
    assert calibrated.strengths.default == 1.0
    assert calibrated.strengths.maximum == 1.25 and calibrated.strengths.minimum == -1.0


def test_the_sensible_strengths_end_where_the_effect_falls(pipeline, direction, model):
    """Brown skin lies between light and dark: more of it is less brown."""
    calibrated = calibrate(pipeline, direction, model(reach=1.0, past=1.4), images_per_prompt=40, thorough=True)
    assert calibrated.strengths.maximum == 1.25


def test_where_the_effect_is_never_reached_the_picture_is_not_destroyed(pipeline, direction, model):
    judge = model(reach=6.0, breaks=2.5)
    calibrated = calibrate(pipeline, direction, judge, images_per_prompt=40, thorough=True)
    assert calibrated.norm() == pytest.approx(2**1.25)
    at_one = next(row for row in calibrated.provenance["calibration"]["strengths"] if row["strength"] == 1.0)
    assert at_one["effect"]["value"] < 0.95 and at_one["subject_retained"]["value"] == 1.0


def test_one_prompt_is_drawn_often_enough_to_show_an_effect(pipeline, direction, model):
    calibrated = calibrate(pipeline, direction, model(reach=1.0), prompts="a car")
    assert calibrated.provenance["calibration"]["images_per_prompt"] >= 40


def test_an_effect_that_costs_the_subjects_is_not_taken(pipeline, direction, model):
    """At 2.8 all pictures show the concept and half of the subjects are gone; below 2.5 fewer do, and all stand."""
    judge = model(reach=2.8, breaks=2.5)
    calibrated = calibrate(pipeline, direction, judge, images_per_prompt=40, thorough=True)
    assert calibrated.norm() == pytest.approx(2**1.25)


def test_an_unscored_subject_is_not_retained(pipeline, direction, model, monkeypatch):
    judge = model()
    seen = judge.label
    monkeypatch.setattr(
        judge, "label", lambda images: [{**row, "subject": Verdict(None, 0.3, "unsure")} for row in seen(images)]
    )
    assert (
        DoseResponse(SteerableModel.of(pipeline), judge, ["a person"], 10).step(direction, FEMALE, 1.0).retained.value
        == 0.0
    )


def test_a_direction_without_effect_is_said_to_have_none(pipeline, direction, model):
    judge = model(reach=1e9)
    with pytest.raises(NoEffectError, match="No effect of the direction 'woman'") as raised:
        calibrate(pipeline, direction, judge, images_per_prompt=10, thorough=True)
    assert raised.value.exit_code == 3


def test_a_concept_that_changes_nothing_is_said_to_be_unknown(pipeline, model):
    judge = model(words=0.0)
    with pytest.raises(NoEffectError, match="own prompts change nothing"):
        find_target_label(SteerableModel.of(pipeline), WOMAN, judge)


def test_the_target_label_is_what_the_prompts_change_most(pipeline, model):
    target_label, before, after = find_target_label(SteerableModel.of(pipeline), WOMAN, model())
    assert target_label == FEMALE and (before.value, after.value) == (0.0, 1.0)


def test_a_subject_that_changes_is_the_target_label_and_not_what_goes_with_it(pipeline, model):
    """A dog has no gender, and "none" is seen as often as the dog."""

    class Kennel(Model):
        def label(self, images) -> list[Mapping[str, Verdict]]:
            dogs = ["dog" in picture.prompt for picture in images]
            return [
                {
                    "gender": Verdict("none" if dog else "male", 1.0),
                    "subject": Verdict("dog" if dog and place else "person", 1.0),
                    "tone": Verdict("none" if dog else "light", 1.0),
                }
                for place, dog in enumerate(dogs)
            ]

    model()
    judge: Any = Kennel()
    target_label, before, after = find_target_label(
        SteerableModel.of(pipeline), Concept.of("dog", "a dog", "a person"), judge
    )
    assert target_label == TargetLabel("subject", "dog") and before.value == 0.0 and after.value > 0.9


@pytest.mark.parametrize(("words", "looked_at"), [(1.0, 24), (0.25, 48), (0.15, 96)])
def test_more_pictures_are_drawn_where_few_leave_it_open(pipeline, model, words, looked_at):
    target_label, before, after = find_target_label(SteerableModel.of(pipeline), WOMAN, model(words=words))
    assert target_label == FEMALE and (before.n, after.n) == (looked_at, looked_at)
    assert before.value == 0.0 and after.value == pytest.approx(words, abs=0.05)


def test_a_dose_response_counts_every_picture_and_unscored_ones_as_not_showing(pipeline, direction, model):
    judge = model(reach=2.0)
    run = DoseResponse(SteerableModel.of(pipeline), judge, ["a person"], 10)
    row = run.step(direction, FEMALE, 1.0)
    assert (row.effect.value, row.gained, row.lost, row.retained.value) == (0.5, 5, 0, 1.0)
    assert run.step(direction, FEMALE, 0.0).effect.value == 0.0
    assert not FEMALE.shown({"gender": Verdict(None, 0.4, "unsure")})
    assert not TargetLabel("gender", "female", present=False).shown({"gender": Verdict(None, 0.4, "unsure")})
    assert shares([{"a": Verdict("x", 1.0)}, {"a": Verdict(None, 0.2, "unsure")}]) == {"a": {"x": 0.5}}


def test_prompts_put_the_cards_subjects_in_the_place_of_a_person(pipeline, monkeypatch):
    facts = replace(SteerableModel.of(pipeline).facts, subjects=("a pilot",))
    monkeypatch.setattr(SteerableModel, "facts", facts)
    anti = Concept.of("unarmed", neutral="a person in an alley", negative="a weapon")
    assert calibration_prompts(SteerableModel.of(pipeline), anti) == [
        "a person in an alley",
        "a pilot in an alley",
        "a photo of a person in an alley",
        "a photo of a pilot in an alley",
    ]
    photographer = Concept.of("old", "an old photographer", "a photographer")
    assert calibration_prompts(SteerableModel.of(pipeline), photographer)[1:] == ["a photo of a photographer"]
    car = Concept.of("red", "a photo of a red car", "a photo of a car")
    assert calibration_prompts(SteerableModel.of(pipeline), car) == ["a photo of a car"]


def test_a_direction_that_forgot_its_concept_is_refused(make_direction):
    with pytest.raises(ConceptError, match="which prompts"):
        concept_of(make_direction())


@given(st.integers(1, 30), st.data())
def test_chances_are_those_of_scipy(n, data):
    more, fewer = data.draw(st.integers(0, n)), data.draw(st.integers(0, n))
    table = [[more, n - more], [fewer, n - fewer]]
    assert fisher_test(more, fewer, n) == pytest.approx(scipy.stats.fisher_exact(table, "greater")[1])
    assert sign_test(more, n) == pytest.approx(scipy.stats.binomtest(more, n, 0.5, "greater").pvalue)


def test_nothing_is_fitted_to_a_held_out_judge(pipeline, direction):
    """It must see nothing that was made to please it; refused before anything is drawn."""
    judge = Model()
    judge.held_out = True
    label = TargetLabel("gender", "female")
    others = {direction: label, direction.with_(name="man"): TargetLabel("gender", "male")}
    for fit in (
        lambda: calibrate(pipeline, direction, judge, target_label=label),
        lambda: compensate_leakage(pipeline, direction, others, judge),
        lambda: fit_probe(pipeline, "gender", others, judge),
    ):
        with pytest.raises(DirectrixError, match="Nothing is fitted to this judge: the thresholds only measures"):
            fit()
