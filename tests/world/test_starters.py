"""The starter directions in the package fit the embedded models."""

import pytest

from directrix.directions.collection import Catalogue
from directrix.experiments.emoji_world import starters
from directrix.models import embedded
from directrix.models.steerable import SteerableModel


@pytest.mark.world
@pytest.mark.parametrize("name", embedded.MODELS)
def test_each_model_has_every_starter_direction_and_takes_it(name):
    from directrix.interventions.compatibility import check_model
    from directrix.models import load

    found = Catalogue(embedded.directions_path(name))
    assert set(found.names) == set(embedded.STARTERS)
    check_model(SteerableModel.of(load(name)), [found.direction(each) for each in found.names])


@pytest.mark.world
@pytest.mark.parametrize("name", embedded.MODELS)
def test_their_strengths_were_measured_but_of_what_neutral_prompts_never_draw(name):
    found = Catalogue(embedded.directions_path(name))
    unmeasured = {each for each in found.names if "calibration" not in found.direction(each).provenance}
    assert unmeasured == {"no weapon", "no alcohol", "no smoking"}


def test_what_is_kept_out_is_every_object_of_its_category():
    weapon = next(each for each in starters.concepts(["a judge"]) if each.name == "no weapon")
    assert weapon.anti
    assert {"a knife", "a bomb"} <= {pair.negative for pair in weapon.pairs}
