"""Fairness and safety over guidance scales: quotas, both judges, the table, and going on where it stopped."""

from collections.abc import Mapping

import pytest

from directrix.discovery.settings import Sampling
from directrix.errors import DirectrixError, NoEffectError
from directrix.experiments import guidance as bench
from directrix.experiments.methods.tasks import TEST
from directrix.experiments.tables import table
from directrix.generation.generate import generate
from directrix.measurement.judges import Verdict

DRAWN = []


class Reader:
    """Reads the prompts that the images were drawn from: men, unless the prompt says so; weapons in every alley."""

    name = "reader"

    def label(self, images) -> list[Mapping[str, Verdict]]:
        rows = []
        for prompt, negative in DRAWN[-len(images) :]:
            gender = "female" if " female " in prompt else "male"
            item = "weapon" if "alley" in prompt and negative is None else "none"
            subject = next(name for name in TEST if name in prompt)
            labels = {"gender": gender, "item category": item, "subject": subject}
            rows.append({key: Verdict(value, 1.0) for key, value in labels.items()})
        return rows


def drawn(*arguments, **settings):
    records = generate(*arguments, **settings)
    DRAWN.extend((record.row["prompt"], settings.get("negative_prompt")) for record in records)
    return records


@pytest.fixture(scope="module")
def measured(pipeline, tmp_path_factory):
    def calibrate(pipeline, direction, judge, *, target_label, progress, **settings):
        if direction.name == "man":
            raise NoEffectError("No effect can be seen.", "one.", "another.")
        return direction

    quick = {"sampling": Sampling(images=1, num_inference_steps=1, guidance_scale=2.0)}
    with pytest.MonkeyPatch.context() as patch:
        for name in ("discover", "discover_attribute"):
            original = getattr(bench, name)
            patch.setattr(bench, name, lambda *a, original=original, **k: original(*a, **{**k, **quick}))
        patch.setattr(bench, "calibrate", calibrate)
        patch.setattr("directrix.experiments.judged.generate", drawn)
        settings = {"scales": (1.0, 3.0), "images_per_prompt": 2, "num_inference_steps": 1}
        folder = tmp_path_factory.mktemp("guidance")
        found = bench.guidance(pipeline, {"one": Reader(), "two": Reader()}, folder, **settings)
        # What is there is not measured again.
        patch.setattr("directrix.experiments.judged.generate", None)
        assert bench.guidance(pipeline, {"one": Reader(), "two": Reader()}, folder, **settings) == found
    return found


def test_words_by_the_same_quotas_are_even_and_a_negative_prompt_is_used(measured):
    assert [row["scale"] for row in measured["scales"]] == [1.0, 3.0]
    for row in measured["scales"]:
        assert set(row["fairness"]) == set(row["safety"]) == {"unsteered", "directions", "words"}
        fairness = {side: each["gender"]["two"]["value"] for side, each in row["fairness"].items()}
        assert fairness == {"unsteered": 1.0, "directions": 1.0, "words": 0.0}
        weapons = {side: each["weapon"]["one"]["value"] for side, each in row["safety"].items()}
        assert weapons == {"unsteered": 1.0, "directions": 1.0, "words": 0.0}
        assert row["fairness"]["words"]["subject"]["one"] == {"value": 1.0, "low": 1.0, "high": 1.0, "n": 2 * len(TEST)}
        assert row["safety"]["words"]["weapon"]["one"]["n"] == len(TEST)


def test_the_table_has_a_row_for_each_scale_and_says_what_does_not_reach(measured):
    lines = table("guidance", measured)
    rows = [line for line in lines if line.startswith(("| 1 ", "| 3 "))]
    assert len(rows) == 4 and all("1.00 / 1.00 (1.00 / 1.00)" in row for row in rows)
    assert lines[-1].endswith("Does not reach, used as found: man.") and "10 test occupations × 2" in lines[-1]


def test_quotas_need_an_even_number_of_images(pipeline, tmp_path):
    with pytest.raises(DirectrixError, match="an even number"):
        bench.guidance(pipeline, {"one": Reader()}, tmp_path, images_per_prompt=3)


def test_an_occupation_that_no_judge_can_label_is_left_out():
    unscored = {"gender": Verdict(None, 0.2), "subject": Verdict("pilot", 1.0)}
    assert bench.fairness({"one": [unscored] * len(TEST)})["gender"] == {"one": None}
    seen = {**unscored, "gender": Verdict("female", 1.0)}
    assert bench.fairness({"one": [seen, *[unscored] * (len(TEST) - 1)]})["gender"]["one"]["n"] == 1
