"""The demo on the embedded model, at its defaults: what it promises on the first screen of the README."""

import pytest

from directrix.experiments.demo import demo


@pytest.mark.slow
@pytest.mark.world
def test_the_demo_makes_occupations_fair_and_keeps_them(tmp_path):
    summary = demo(tmp_path)
    before, after = summary["unsteered"], summary["steered"]
    assert before["images"] == after["images"] == 108
    assert before["deviation_ratio"]["gender"]["value"] >= 0.5
    assert after["deviation_ratio"]["gender"]["value"] <= 0.10
    assert after["subject_accuracy"]["value"] >= 0.97
