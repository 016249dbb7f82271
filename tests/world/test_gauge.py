"""A gauge of the embedded model's skin tones."""

from pathlib import Path
from typing import Any

import pytest

from directrix.apply.held import Held
from directrix.apply.replaced import Replaced
from directrix.concept import SKIN_TONE
from directrix.discover.attribute import discover_attribute
from directrix.gauge import Gauge
from directrix.gauging import fit_gauge
from directrix.trial import Aim, Trial


@pytest.mark.slow
def test_what_drifts_is_brought_back(emoji: Any, emoji_judge: Any, tmp_path: Path):
    """Brown construction workers turn out dark or light as often as brown, also with what the prompt says taken out."""
    prompts = ["a construction worker", "a technologist", "a factory worker"]
    directions = discover_attribute(emoji, SKIN_TONE)
    aims = {each: Aim("tone", each.name.split("-")[0]) for each in directions}
    fit_gauge(emoji, "skin tone", aims, emoji_judge, prompts, images_per_prompt=12).save(tmp_path / "a.gauge")
    gauge = Gauge.load(tmp_path / "a.gauge")
    trial = Trial(emoji, emoji_judge, [f"a photo of {each}" for each in prompts], 16, seed=77)
    attributes = {"skin tone": {each.name: {each: each.strengths.default} for each in directions}}
    assigned = [{"skin tone": "brown-skinned"}] * 48
    brown, subject = Aim("tone", "brown"), ("construction worker", "technologist", "factory worker")
    shown = {}
    for intervention in (
        Replaced(attributes, assigned),
        Held(attributes, assigned, gauges={"skin tone": gauge}),
    ):
        verdicts = trial.verdicts_under(intervention)
        shown[intervention.combine] = sum(map(brown.shown, verdicts))
        kept = sum(verdict["subject"].label == subject[place // 16] for place, verdict in enumerate(verdicts))
        assert kept >= 46
    assert shown["held"] >= shown["replaced"] + 4
