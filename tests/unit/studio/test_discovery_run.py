"""Words become a direction, whose images are shown before its card."""

from contextlib import suppress

import numpy as np
import pytest

from directrix.errors import ConceptError, DirectrixError
from directrix.generation.generate import generate
from directrix.measurement.judges import Verdict
from directrix.studio import direction_markup, discovery_run
from directrix.studio.artist import Artist
from directrix.studio.discovery_run import Ask, find
from directrix.studio.jobs import Job, Later

ASK = {"model": "tiny", "name": "hat", "target": "a person with a hat", "neutral": "a person"}


class Judge:
    """Sees whether an image differs from the first one that it saw."""

    name = "test judge"

    def __init__(self):
        self.first = None

    def label(self, images):
        self.first = self.first if self.first is not None else np.asarray(images[0]).mean()
        return [{"light": Verdict("hat" if np.asarray(each).mean() > self.first else "none", 1.0)} for each in images]


@pytest.fixture
def artist(pipeline, monkeypatch, tmp_path):
    from directrix.models.steerable import SteerableModel

    found = Artist(("tiny",), own=tmp_path)
    monkeypatch.setattr(found, "load", lambda _: SteerableModel.of(pipeline))
    return found


@pytest.mark.parametrize(
    "wrong",
    [{"name": "/"}, {"target": " \n"}, {"neutral": "a person with a hat"}, {"target": "a\nb", "neutral": "c\nd\ne"}],
)
def test_words_that_make_no_concept_are_refused_before_a_job_begins(wrong):
    with pytest.raises(DirectrixError):
        Ask(**{**ASK, **wrong})
    with pytest.raises(ConceptError, match="1 to 8"):
        Ask(**{**ASK, "target": "x\n" * 9})


def test_a_direction_is_shown_found_and_saved_though_no_judge_is_at_hand(artist):
    job = Job(lambda _: None)
    found = find(job, artist, Ask(**ASK))
    # CLIP is not on this machine.
    assert "cannot be calibrated" in found.said or "CLIP" in found.said
    assert job.shows == 1 and job.interim.direction is found.direction
    assert found.direction.recipe["command"].endswith("--neutral 'a person' -o hat.safetensors")
    assert [each.tobytes() for each in found.pairs.plain] != [each.tobytes() for each in found.pairs.steered]
    artist.shelf.save("tiny", found.direction, "hat")
    assert artist.names("tiny") == ["hat"]
    page = direction_markup.found(found, True)
    assert "not measured" in page and page.count("<img") == 8


def test_a_judge_gives_it_a_card(artist, monkeypatch):
    from directrix.directions.target_label import TargetLabel
    from directrix.measurement.calibration import calibrate, target

    monkeypatch.setattr(target, "judge_for", lambda *_, **__: (Judge(), TargetLabel("light", "hat")))
    monkeypatch.setattr(calibrate, "calibrate", lambda model, direction, *_, **__: direction)
    found = find(Job(lambda _: None), artist, Ask(**ASK))
    assert not found.said
    page = direction_markup.found(found, True)
    assert "Leakage at strength 1" in page and "light is hat at strength 1.0" in page


def test_where_an_effect_saturates_is_the_least_strength_with_the_greatest_one(make_direction):
    def measured(*effects):
        rows = [
            {"strength": float(place), "effect": {"value": each, "low": 0.0, "high": 1.0}}
            for place, each in enumerate(effects)
        ]
        return make_direction().with_(provenance={"calibration": {"strengths": rows}})

    assert direction_markup.saturates_at(measured(0.0, 0.5, 0.98, 0.99)) == 2.0
    assert direction_markup.saturates_at(measured(0.0, 0.5, 0.8)) is None
    assert direction_markup.saturates_at(make_direction()) is None


def test_a_direction_without_a_card_says_what_its_calibration_measured(make_direction):
    share = {"low": 0.6, "high": 1.0, "n": 6}
    rows = [
        {"strength": at, "effect": {"value": effect, **share}, "subject_retained": None}
        for at, effect in ((-1.0, 0.0), (0.5, 1.0), (1.5, 1.0))
    ]
    calibration = {"strengths": rows, "target_label": {"attribute": "gender", "label": "female"}}
    page = direction_markup.card(make_direction().with_(provenance={"calibration": calibration}))
    assert "at strength 0.5, 100 % [60, 100] of the images show gender is female" in page
    assert "its effect was not measured" in direction_markup.card(make_direction())


def test_no_more_is_offered_than_a_judge_sees():
    assert discovery_run.labels("some/model") == []
    assert "gender: female" in discovery_run.labels("emoji")


def test_a_search_that_lets_others_go_first_goes_on_where_it_was(artist, monkeypatch, tmp_path):
    """Others wait all the time: it takes as many turns as it draws sets of images, and draws none of them twice."""
    from directrix.directions.target_label import TargetLabel
    from directrix.measurement.calibration import dose_response, target

    judge, drawn = Judge(), []
    judge.config = {}
    monkeypatch.setattr(target, "judge_for", lambda *_, **__: (judge, TargetLabel("light", "hat")))

    def counted(*given, **more):
        records = generate(*given, **more)
        drawn.append(more["interventions"])
        return records

    monkeypatch.setattr(dose_response, "generate", counted)
    whole = find(Job(lambda _: None), artist, Ask(**ASK), tmp_path / "whole")
    sets = len(drawn)
    drawn.clear()
    job = Job(lambda _: None, patience="sets", others=lambda: True)
    turns, found = 0, None
    while found is None:
        job.sets, turns = 0, turns + 1
        with suppress(Later):
            found = find(job, artist, Ask(**ASK), tmp_path / "turns")
    assert turns > 3 and len(drawn) == sets
    assert found.said == whole.said and found.direction.digest() == whole.direction.digest()
