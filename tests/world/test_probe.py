"""A probe of the embedded model's skin tones."""

from pathlib import Path
from typing import Any

import pytest

from directrix.concept import SKIN_TONE
from directrix.directions.target_label import TargetLabel
from directrix.discovery.attribute import discover_attribute
from directrix.interventions.feedback_control import FeedbackSteering
from directrix.interventions.probe import Probe
from directrix.interventions.project_and_set import ProjectAndSet
from directrix.measurement.calibration.dose_response import DoseResponse
from directrix.measurement.calibration.fit_probe import fit_probe
from directrix.models import SteerableModel


@pytest.mark.slow
def test_what_drifts_is_brought_back(emoji: Any, emoji_judge: Any, tmp_path: Path):
    """Brown construction workers turn out dark or light as often as brown, also with what the prompt says taken out."""
    prompts = ["a construction worker", "a technologist", "a factory worker"]
    directions = discover_attribute(emoji, SKIN_TONE)
    target_labels = {each: TargetLabel("tone", each.name.split("-")[0]) for each in directions}
    fit_probe(emoji, "skin tone", target_labels, emoji_judge, prompts, images_per_prompt=12).save(tmp_path / "a.probe")
    probe = Probe.load(tmp_path / "a.probe")
    dose_response = DoseResponse(
        SteerableModel.of(emoji), emoji_judge, [f"a photo of {each}" for each in prompts], 16, seed=77
    )
    attributes = {"skin tone": {each.name: {each: each.strengths.default} for each in directions}}
    assigned = [{"skin tone": "brown-skinned"}] * 48
    brown, subject = TargetLabel("tone", "brown"), ("construction worker", "technologist", "factory worker")
    shown = {}
    for intervention in (
        ProjectAndSet(attributes, assigned),
        FeedbackSteering(attributes, assigned, probes={"skin tone": probe}),
    ):
        verdicts = dose_response.verdicts_under(intervention)
        shown[intervention.combine] = sum(map(brown.shown, verdicts))
        retained = sum(verdict["subject"].label == subject[place // 16] for place, verdict in enumerate(verdicts))
        assert retained >= 46
    assert shown["feedback"] >= shown["project-and-set"] + 4
