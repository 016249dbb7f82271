"""The comparison of methods, at its smallest: figures by concept, costs, and going on where it stopped."""

import json
import re
from collections.abc import Mapping
from xml.etree import ElementTree

import numpy as np
import pytest

from directrix.concept import Concept
from directrix.directions.target_label import TargetLabel
from directrix.errors import DirectrixError, MismatchError
from directrix.experiments.cost.measure import cost_of_gradient, measured
from directrix.experiments.methods import compare as bench
from directrix.experiments.methods.tasks import Contender, Task
from directrix.experiments.tables import table
from directrix.measurement.judges import Verdict
from directrix.measurement.judges.emoji_vocabulary import OCCUPATIONS
from directrix.measurement.reports.charts import cost_curve
from directrix.measurement.reports.leakage import largest

WOMAN = Concept.of("woman", "a woman", "a person")
QUICK = {"guidance_scale": 2.0, "num_inference_steps": 2, "images": 2}
CONTENDERS = {
    "reconstruction": Contender("reconstruction", {**QUICK, "steps": 3}, calibrated=False),
    "difference": Contender("difference", QUICK, calibrated=False),
}


class Brightness:
    """Calls bright pictures women."""

    name = "brightness"

    def label(self, images) -> list[Mapping[str, Verdict]]:
        bright = [float(np.asarray(image).mean()) > 127 for image in images]
        return [
            {
                "gender": Verdict("female" if each else "male", 1.0),
                "tone": Verdict("light" if each else "dark", 1.0),
                "subject": Verdict(OCCUPATIONS[0], 1.0),
            }
            for each in bright
        ]


def compare(pipeline, folder):
    return bench.discovery(
        pipeline,
        Brightness(),
        folder,
        contenders=CONTENDERS,
        tasks=[Task(WOMAN, TargetLabel("gender", "female"))],
        eight=[WOMAN, Concept.of("man", "a man", "a person")],
        by_budget={"difference": ({"images": 1}, {"images": 2})},
        images_of_directions=0,
        seeds=(0, 1),
        images_per_prompt=1,
    )


@pytest.fixture(scope="module")
def compared(pipeline, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    return folder, compare(pipeline, folder)


def test_every_method_has_its_figures_and_its_cost(compared):
    _, found = compared
    for name in CONTENDERS:
        row = found["methods"][name]
        for key in ("effect", "leakage", "preservation", "cosine_across_seeds"):
            assert set(row[key]) == {"woman"} and set(row[key]["woman"]) == {"value", "low", "high", "n"}
        assert row["effect"]["woman"]["n"] == 2 * len(OCCUPATIONS)
        # Only the first occupation is what this judge always sees.
        assert row["preservation"]["woman"]["value"] == pytest.approx(1 / len(OCCUPATIONS), abs=1e-3)
        assert row["seconds"]["value"] > 0
    plain = 2 * 2 * 2
    assert found["methods"]["difference"]["evaluations"]["value"] == plain + 2 * 2 + 3 * 4
    gradients = 3 * 8 * found["gradient_cost"]
    assert found["methods"]["reconstruction"]["evaluations"]["value"] == pytest.approx(plain + gradients)
    assert set(found["ratio"]) == {"evaluations", "seconds"} and set(found["ratio"]["seconds"]) == {"1", "2"}


def test_figures_of_other_settings_are_not_taken_over(compared, pipeline, monkeypatch):
    with pytest.raises(MismatchError, match="images_per_prompt"):
        bench.discovery(pipeline, Brightness(), compared[0], seeds=(0, 1), images_per_prompt=3)
    with pytest.raises(DirectrixError, match="One seed"):
        bench.discovery(pipeline, Brightness(), compared[0], seeds=(0,))


def test_the_curve_shows_every_budget(compared):
    rows = compared[1]["budgets"]["difference"]
    assert [row["images"] for row in rows] == [1, 2] and rows[0]["evaluations"] < rows[1]["evaluations"]
    picture = cost_curve({"difference": rows}, "woman")
    assert ElementTree.fromstring(picture).tag.endswith("svg")
    assert ">difference<" in picture and picture == cost_curve({"difference": rows}, "woman")
    # A point for each budget, and one in the legend.
    assert len(re.findall(r"<use [^>]*fill: #b9542c", picture)) == 3


@pytest.mark.slow
def test_a_stopped_comparison_goes_on(compared, pipeline, monkeypatch):
    folder, found = compared
    (folder / "difference-1-woman.json").unlink()
    asked = []
    original = bench.discover
    monkeypatch.setattr(bench, "discover", lambda *a, **k: asked.append(k["seed"]) or original(*a, **k))
    again = compare(pipeline, folder)
    assert asked == [1]
    assert again["methods"]["difference"]["eight"] == found["methods"]["difference"]["eight"]
    for key in ("effect", "leakage", "preservation", "cosine_across_seeds"):
        assert again["methods"]["difference"][key] == found["methods"]["difference"][key]


def test_seconds_of_another_machine_are_left_out(compared, pipeline):
    folder, found = compared
    note = folder / "reconstruction-1-woman.json"
    row = json.loads(note.read_text(encoding="utf-8"))
    note.write_text(json.dumps({**row, "seconds": None}), encoding="utf-8")
    again = compare(pipeline, folder)["methods"]["reconstruction"]
    assert (again["seconds"]["n"], again["effect"]["woman"]["n"]) == (1, 2 * len(OCCUPATIONS))
    assert again["effect"] == found["methods"]["reconstruction"]["effect"]


def test_the_table_has_a_row_for_each_method_and_says_what_is_saved(compared):
    lines = table("discovery", compared[1])
    assert [line.split(" ")[1] for line in lines[2:4]] == list(CONTENDERS)
    assert "for 1, " in lines[-1]


def test_leakage_is_the_largest_change_of_another_attribute():
    def rows(tones):
        return [{"gender": Verdict("male", 1.0), "tone": Verdict(tone, 1.0)} for tone in tones]

    before, after = rows(["light"] * 3 + ["dark"]), rows(["light", "dark", "dark", "dark"])
    assert largest(before, after, "gender") == 0.5
    assert largest(before, after, "tone") == 0.0


def test_cost_sees_seconds_and_memory(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with measured() as cost:
        held = np.ones(40 * 2**17)
    assert held.any() and cost.seconds > 0
    assert 20 < cost.memory_mb < 400


def test_a_gradient_has_a_cost_in_evaluations(pipeline):
    assert 0.3 < cost_of_gradient(pipeline, repeats=3) < 30
