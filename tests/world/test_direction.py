"""A calibrated direction does on the embedded model what it says."""

from typing import Any

import pytest

from directrix import calibrate, discover, generate
from directrix.concept import GENDER
from directrix.interventions.steering import Steering

pytestmark = pytest.mark.world


def labels(judge: Any, records: Any, attribute: str) -> list[str | None]:
    return [verdict[attribute].label for verdict in judge.label([record.image for record in records])]


@pytest.mark.slow
def test_a_woman_direction_moves_firefighters_and_spares_dogs(emoji: Any, emoji_judge: Any) -> None:
    woman = calibrate(emoji, discover(emoji, GENDER.concepts[0]), sweep=())
    prompts = ["a photo of a firefighter", "a photo of a dog"]
    plain = generate(emoji, prompts, 8, seed=4)
    steered = generate(emoji, prompts, 8, seed=4, interventions=Steering({woman: 1.0}))
    before, after = (labels(emoji_judge, r, "gender")[:8].count("female") for r in (plain, steered))
    assert before <= 2 and after >= before + 5
    subjects = labels(emoji_judge, steered, "subject")
    assert subjects[:8].count("firefighter") >= 7 and subjects[8:].count("dog") >= 7
