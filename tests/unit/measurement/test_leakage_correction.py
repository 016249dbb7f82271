"""Leakage compensation on a model whose response is known: what a direction shifts beside its concept is put back."""

from collections.abc import Mapping
from dataclasses import dataclass

import pytest
import torch

from directrix.directions.target_label import TargetLabel
from directrix.errors import DirectrixError, MismatchError
from directrix.interventions.project_and_set import ProjectAndSet
from directrix.measurement.calibration import dose_response
from directrix.measurement.calibration.leakage_correction import MOST, compensate_leakage
from directrix.measurement.judges import Verdict

PROMPTS = ["a judge", "a pilot"]
LIGHT, DARK = TargetLabel("tone", "light"), TargetLabel("tone", "dark")


@dataclass(frozen=True)
class Picture:
    gender: float
    light: float
    place: float  # in [0, 1), spread evenly over the pictures

    @property
    def image(self):
        return self


class World:
    """A picture turns light where its place is below the mark; the mark rises with the tone's coordinate of what is
    added, and, whichever way it points, with the gender's: a leak that no straight line at the site can take out.
    """

    name = "marks"

    def __init__(self, leak: float = 0.3) -> None:
        self.leak = leak
        self.drawn = 0

    def generate(self, pipeline, prompts, images_per_prompt=1, *, interventions=(), **settings):
        strengths = getattr(interventions, "strengths", {})
        replaced = isinstance(interventions, ProjectAndSet)
        if replaced:
            self.known = {next(iter(effect)).name for _, effect in interventions.candidates()}
            [strengths] = {id(effect): effect for key, effect in interventions.candidates() if "woman" in key}.values()
        total = sum((d.tensor * s for d, s in strengths.items()), torch.zeros(32, 4, 4))
        gender, light = float(total[0, 0, 0]), float(total[1, 0, 0])
        # In the place of what prompts say it leaks three times as much.
        gender *= 3 if replaced else 1
        count = len(prompts) * images_per_prompt
        self.drawn += 1
        return [Picture(gender, light, place / count) for place in range(count)]

    def label(self, images) -> list[Mapping[str, Verdict]]:
        rows = []
        for picture in images:
            light = picture.place < 0.4 + picture.light + self.leak * abs(picture.gender)
            rows.append(
                {
                    "tone": Verdict("light" if light else "dark", 1.0),
                    "gender": Verdict("female" if picture.gender > 0.5 else "male", 1.0),
                }
            )
        return rows


@pytest.fixture
def along(make_direction):
    """A direction along one coordinate."""

    def make(name, place, size=1.0):
        tensor = torch.zeros(32, 4, 4)
        tensor[place, 0, 0] = size
        return make_direction(name=name).with_(tensor=tensor)

    return make


@pytest.fixture
def world(monkeypatch):
    world = World()
    monkeypatch.setattr(dose_response, "generate", world.generate)
    return world


def test_a_shift_is_put_back_by_the_directions_of_what_shifted(pipeline, along, world):
    woman, light, dark = along("woman", 0), along("light", 1), along("dark", 1, -1.0)
    found = compensate_leakage(pipeline, woman, {light: LIGHT, dark: DARK}, world, prompts=PROMPTS)
    done = found.provenance["compensated"]
    assert done["before"][str(LIGHT)] == pytest.approx(0.3, abs=0.01)
    assert abs(done["after"][str(LIGHT)]) < 0.05
    assert done["added"]["light"] < 0 < done["added"]["dark"]
    # The concept itself stays, and so do name and strengths.
    assert float(found.tensor[0, 0, 0]) == 1.0
    assert float(found.tensor[1, 0, 0]) == pytest.approx(-0.3, abs=0.05)
    assert found.name == "woman" and found.strengths == woman.strengths


def test_a_direction_that_stands_in_the_prompt_s_place_is_compensated_for_both_ways(pipeline, along, world):
    world.leak = 0.1
    woman, man, light = along("woman", 0), along("man", 0, -1.0), along("light", 1)
    found = compensate_leakage(pipeline, woman, {light: LIGHT}, world, prompts=PROMPTS, among=[woman, man])
    done = found.provenance["compensated"]
    assert world.known == {"woman", "man"}
    # Added it shifts by .1 and replaced by .3: what is best for both leaves a tenth, one way or the other.
    assert done["before"][str(LIGHT)] == pytest.approx(0.3, abs=0.01)
    assert abs(done["after"][str(LIGHT)]) == pytest.approx(0.1, abs=0.02)
    assert float(found.tensor[1, 0, 0]) == pytest.approx(-0.2, abs=0.02)


def test_so_little_that_it_may_be_chance_is_left_alone(pipeline, along, world):
    world.leak = 0.02
    woman, light = along("woman", 0), along("light", 1)
    found = compensate_leakage(pipeline, woman, {light: LIGHT}, world, prompts=PROMPTS)
    assert torch.equal(found.tensor, woman.tensor) and found.provenance["compensated"]["added"] == {"light": 0.0}
    assert found.provenance["compensated"]["before"][str(LIGHT)] == pytest.approx(0.02, abs=0.005)
    # Unsteered and steered; no probe was drawn.
    assert world.drawn == 2


def test_nothing_is_added_where_nothing_shifts(pipeline, along, world):
    world.leak = 0.0
    woman = along("woman", 0)
    found = compensate_leakage(pipeline, woman, {along("light", 1): LIGHT}, world, prompts=PROMPTS)
    assert torch.equal(found.tensor, woman.tensor)


def test_what_makes_it_no_better_is_not_added(pipeline, along, world):
    """This direction does not move the tone at all."""
    woman = along("woman", 0)
    found = compensate_leakage(pipeline, woman, {along("hat", 2): LIGHT}, world, prompts=PROMPTS)
    assert torch.equal(found.tensor, woman.tensor)
    assert found.provenance["compensated"]["added"] == {"hat": 0.0}


def test_no_more_is_added_than_makes_another_picture(pipeline, along, world):
    world.leak = 0.5
    woman, light = along("woman", 0), along("light", 1, 0.2)
    found = compensate_leakage(pipeline, woman, {light: LIGHT}, world, prompts=PROMPTS)
    assert found.provenance["compensated"]["added"]["light"] == -MOST


def test_the_other_directions_count_at_their_own_strength(pipeline, along, world):
    from directrix.directions.direction import Strengths

    light = along("light", 1, 0.5).with_(strengths=Strengths(2.0, -4.0, 4.0))
    found = compensate_leakage(pipeline, along("woman", 0), {light: LIGHT}, world, prompts=PROMPTS)
    assert found.provenance["compensated"]["added"]["light"] == pytest.approx(-0.3, abs=0.05)


def test_every_probe_is_drawn_once(pipeline, along, world):
    others = {along("light", 1): LIGHT, along("dark", 1, -1.0): DARK}
    compensate_leakage(pipeline, along("woman", 0), others, world, prompts=PROMPTS)
    # Unsteered, steered, a probe each, compensated.
    assert world.drawn == 5


def test_it_needs_something_to_compensate_with(pipeline, along, world):
    with pytest.raises(DirectrixError, match="nothing to compensate with"):
        compensate_leakage(pipeline, along("woman", 0), {}, world, prompts=PROMPTS)


def test_directions_of_another_model_are_refused(pipeline, along, world):
    from dataclasses import replace

    light = along("light", 1)
    foreign = light.with_(model=replace(light.model, fingerprint="f" * 16))
    with pytest.raises(MismatchError):
        compensate_leakage(pipeline, along("woman", 0), {foreign: LIGHT}, world, prompts=PROMPTS)
